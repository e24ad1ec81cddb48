// The codecs alone: the answer to RetrievePropertiesEx of name, power state and summary of 10,000
// virtual machines, and a request that reconfigures one.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "model/json.h"
#include "model/property_path.h"
#include "model/soap.h"
#include "vim/types.h"

namespace {

using namespace virga;
using namespace virga::model;

constexpr Version kNewest{{255, 255, 255, 255}};
constexpr int kMachines = 10'000;

vim::VirtualMachineSummary summary(int i) {
  vim::VirtualMachineSummary summary;
  summary.vm = MoRef{"VirtualMachine", fmt::format("vm-{}", i)};
  summary.runtime.host = MoRef{"HostSystem", "ha-host"};
  summary.runtime.powerState = vim::VirtualMachinePowerState::poweredOn;
  summary.runtime.bootTime = Time(std::chrono::microseconds(1'767'323'045'678'901));
  summary.runtime.maxCpuUsage = 4800;
  summary.runtime.maxMemoryUsage = 4096;
  auto& guest = summary.guest.edit();
  guest.guestId = "debian11_64Guest";
  guest.hostName = fmt::format("web{}", i);
  guest.ipAddress = "10.0.0.1";
  auto& config = summary.config;
  config.name = fmt::format("web{}", i);
  config.vmPathName = fmt::format("[local] web{}/web{}.vmx", i, i);
  config.memorySizeMB = 4096;
  config.numCpu = 2;
  config.uuid = "564d4a0e-7a5f-4a55-8d0a-0a1b2c3d4e5f";
  config.instanceUuid = "52aabbcc-7a5f-4a55-8d0a-0a1b2c3d4e5f";
  config.guestFullName = "Debian GNU/Linux 11 (64-bit)";
  config.annotation = "A machine that serves <web> pages & more";
  summary.quickStats.guestHeartbeatStatus = vim::ManagedEntityStatus::green;
  summary.overallStatus = vim::ManagedEntityStatus::green;
  return summary;
}

Any answer() {
  vim::RetrieveResult result;
  for (int i = 0; i < kMachines; ++i) {
    auto& object = result.objects.emplace_back();
    object.obj = {"VirtualMachine", fmt::format("vm-{}", i)};
    const auto add = [&](const char* name, Any value) {
      auto& property = object.propSet.emplace_back();
      property.name = name;
      property.val = std::move(value);
    };
    add("name", any(fmt::format("web{}", i)));
    add("runtime.powerState", any(vim::VirtualMachinePowerState::poweredOn));
    add("summary", any(summary(i)));
  }
  return any(result);
}

const MethodInfo& retrieve() {
  return *find_managed("PropertyCollector")->method("RetrievePropertiesEx");
}

void write_soap(benchmark::State& state) {
  const Any result = answer();
  std::size_t bytes = 0;
  for (auto _ : state) bytes += soap::write_response(retrieve(), result, kNewest).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.counters["size"] = static_cast<double>(bytes) / static_cast<double>(state.iterations());
}
BENCHMARK(write_soap)->Unit(benchmark::kMillisecond);

void read_soap_answer(benchmark::State& state) {
  const std::string text = soap::write_response(retrieve(), answer(), kNewest);
  for (auto _ : state) benchmark::DoNotOptimize(soap::read_response(retrieve(), text));
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(read_soap_answer)->Unit(benchmark::kMillisecond);

void write_json(benchmark::State& state) {
  const Any result = answer();
  std::size_t bytes = 0;
  for (auto _ : state) bytes += json_binding::write_result(*result.type(), result, kNewest).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(write_json)->Unit(benchmark::kMillisecond);

std::string reconfigure_request() {
  vim::ReconfigVMRequestType request;
  request.spec.name = "web01";
  request.spec.numCPUs = 2;
  for (int i = 0; i < 4; ++i) {
    auto& change = request.spec.deviceChange.emplace_back();
    change.operation = vim::VirtualDeviceConfigSpecOperation::add;
    vim::VirtualE1000 nic;
    nic.key = -i;
    change.device = share(nic);
  }
  const auto& method = *find_managed("VirtualMachine")->method("ReconfigVM_Task");
  return soap::write_request(method, {"VirtualMachine", "1"}, request, kNewest);
}

void read_soap_request(benchmark::State& state) {
  const std::string text = reconfigure_request();
  for (auto _ : state) benchmark::DoNotOptimize(soap::read_request(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(read_soap_request);

void find_difference(benchmark::State& state) {
  vim::VirtualMachineProperties before;
  before.summary = share(summary(1));
  auto after = before;
  after.summary.edit().runtime.powerState = vim::VirtualMachinePowerState::suspended;
  const DataPtr old_snapshot = share(before).data();
  const DataPtr new_snapshot = share(after).data();
  for (auto _ : state) benchmark::DoNotOptimize(difference(old_snapshot, new_snapshot, ""));
}
BENCHMARK(find_difference);

}  // namespace

BENCHMARK_MAIN();

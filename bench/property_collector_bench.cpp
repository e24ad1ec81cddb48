// What the kernel's reads and waits cost, without connections and codecs.
//
//   property_collector_bench [--benchmark_filter=REGEX]
#include <benchmark/benchmark.h>

#include "../tests/unit/kernel/lab.h"

namespace virga::kernel {
namespace {

constexpr int kMachines = 10'000;
constexpr int kClients = 1'000;

// A datacenter of ten thousand machines, and what is asked of them.
struct Datacenter {
  explicit Datacenter(int machines = kMachines) {
    // Added one by one they would be copied into their folder once each.
    model::Array<MoRef> refs;
    for (int i = 0; i < machines; ++i) {
      vim::VirtualMachineProperties p;
      p.name = "machine-" + std::to_string(i);
      p.parent = lab.vm_folder->self();
      p.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOff;
      p.summary.edit().config.name = p.name;
      this->machines.push_back(lab.kernel.inventory.emplace<MachineExhibit>(
          lab.kernel.inventory, MoRef{"VirtualMachine", "vm-" + std::to_string(i)}, std::move(p)));
      refs.push_back(this->machines.back()->self());
    }
    lab.vm_folder->update([&](auto& p) { p.childEntity = refs; });
  }

  vim::PropertyFilterSpec all_machines() const {
    return walk_from(lab.vm_folder->self(), {traversal("", "Folder", "childEntity")},
                     "VirtualMachine", {"name", "runtime.powerState", "summary"});
  }
  void toggle(int machine) {
    machines[static_cast<std::size_t>(machine)]->update([](auto& p) {
      auto& state = p.runtime.edit().powerState;
      state = state == vim::VirtualMachinePowerState::poweredOn
                  ? vim::VirtualMachinePowerState::poweredOff
                  : vim::VirtualMachinePowerState::poweredOn;
    });
  }

  Lab lab;
  std::vector<std::shared_ptr<MachineExhibit>> machines;
  std::shared_ptr<vim::PropertyCollector> collector =
      lab.service<vim::PropertyCollector>({"PropertyCollector", "collector"});
};

// A client that waits for updates, over and over.
struct Client {
  Async<void> wait_for_ever(std::shared_ptr<vim::PropertyCollector> collector) {
    while (true) {
      vim::WaitForUpdatesExRequestType request;
      request.version = version;
      const auto set = co_await collector->WaitForUpdatesEx(call, request);
      version = set->version;
      ++*answers;
    }
  }

  Call call;
  std::string version;
  int* answers = nullptr;
};

struct Clients {
  Clients(Datacenter& datacenter, const vim::PropertyFilterSpec& spec) {
    for (Client& client : clients) {
      client.call = datacenter.lab.call;
      client.call.session = datacenter.lab.log_in("root");
      client.answers = &answers;
      vim::CreateFilterRequestType request;
      request.spec = spec;
      datacenter.lab.run(datacenter.collector->CreateFilter(client.call, request));
      spawn(datacenter.lab.io.get_executor(), "client", client.wait_for_ever(datacenter.collector));
    }
    run_until(datacenter, kClients);
  }

  // Until so many answers have been given since the last time.
  void run_until(Datacenter& datacenter, int wanted) {
    const auto work = asio::make_work_guard(datacenter.lab.io);
    datacenter.lab.io.restart();
    while (answers < wanted) datacenter.lab.io.run_one();
    answers = 0;
  }

  int answers = 0;
  std::vector<Client> clients{kClients};
};

void read_all_machines(benchmark::State& state) {
  Datacenter datacenter;
  vim::RetrievePropertiesRequestType request;
  request.specSet.push_back(datacenter.all_machines());
  for (auto _ : state) {
    auto contents =
        datacenter.lab.run(datacenter.collector->RetrieveProperties(datacenter.lab.call, request));
    benchmark::DoNotOptimize(contents);
  }
}
BENCHMARK(read_all_machines)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

void read_one_machine(benchmark::State& state) {
  Datacenter datacenter(100);
  vim::RetrievePropertiesRequestType request;
  request.specSet.push_back(
      spec_of({datacenter.machines[7]->self()}, "VirtualMachine", {"name", "runtime.powerState"}));
  for (auto _ : state) {
    auto contents =
        datacenter.lab.run(datacenter.collector->RetrieveProperties(datacenter.lab.call, request));
    benchmark::DoNotOptimize(contents);
  }
}
BENCHMARK(read_one_machine)->Unit(benchmark::kMicrosecond)->MeasureProcessCPUTime();

void first_answer_of_all_machines(benchmark::State& state) {
  Datacenter datacenter;
  vim::CreateFilterRequestType request;
  request.spec = datacenter.all_machines();
  datacenter.lab.run(datacenter.collector->CreateFilter(datacenter.lab.call, request));
  for (auto _ : state) {
    auto set = datacenter.lab.run(datacenter.collector->WaitForUpdatesEx(datacenter.lab.call, {}));
    benchmark::DoNotOptimize(set);
  }
}
BENCHMARK(first_answer_of_all_machines)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

// A change that a thousand clients wait for: until the last has its answer.
void one_change_to_many_clients(benchmark::State& state, int machines) {
  Datacenter datacenter(machines);
  Clients clients(datacenter, datacenter.all_machines());
  for (auto _ : state) {
    datacenter.toggle(7);
    clients.run_until(datacenter, kClients);
  }
}
BENCHMARK_CAPTURE(one_change_to_many_clients, of_one_machine, 8)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(one_change_to_many_clients, of_all_machines, kMachines)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

// A change that a thousand clients wait for nothing of.
void one_change_to_nobody(benchmark::State& state) {
  Datacenter datacenter(8);
  Clients clients(datacenter, datacenter.all_machines());
  for (auto _ : state) {
    datacenter.machines[7]->update([](auto& p) { p.guest.edit().guestState = "running"; });
    datacenter.machines[7]->update([](auto& p) { p.guest.edit().guestState = "unknown"; });
    datacenter.lab.settle();
  }
}
BENCHMARK(one_change_to_nobody)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

// A machine comes and goes, in the sight of a thousand clients that watch all machines.
void machine_comes_and_goes(benchmark::State& state) {
  Datacenter datacenter;
  Clients clients(datacenter, datacenter.all_machines());
  for (auto _ : state) {
    const auto machine = datacenter.lab.add_machine("fresh", "fresh");
    clients.run_until(datacenter, kClients);
    datacenter.lab.remove_machine(machine);
    clients.run_until(datacenter, kClients);
  }
}
BENCHMARK(machine_comes_and_goes)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

}  // namespace
}  // namespace virga::kernel

BENCHMARK_MAIN();

#include "host/check.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>

#include "base/error.h"
#include "hypervisor/host_probe.h"
#include "hypervisor/qemu/qemu_hypervisor.h"

namespace virga::host {
namespace {

// What QEMU says of itself; an account of its failure when it cannot be run.
Async<void> ask_hypervisor(hypervisor::CheckInput& input) {
  hypervisor::QemuOptions options;
  options.run_directory = "/run/virga/check";
  const auto qemu = hypervisor::make_qemu_hypervisor(co_await asio::this_coro::executor, options);
  try {
    const auto capabilities = co_await qemu->capabilities();
    input.hypervisor = capabilities.backend + " " + capabilities.version;
    if (!capabilities.accelerator_reason.empty())
      input.no_kvm_reason = capabilities.accelerator_reason;
  } catch (const Error& failure) {
    input.no_hypervisor_reason = failure.what();
  }
}

const char* mark(hypervisor::Requirement::Verdict verdict) {
  using Verdict = hypervisor::Requirement::Verdict;
  if (verdict == Verdict::met) return "ok";
  return verdict == Verdict::degraded ? "degraded" : "MISSING";
}

Async<int> check(std::filesystem::path state) {
  using Verdict = hypervisor::Requirement::Verdict;
  hypervisor::CheckInput input;
  input.facts = hypervisor::probe_host();
  input.datastore = hypervisor::probe_volume(std::filesystem::exists(state) ? state.string() : ".");
  co_await ask_hypervisor(input);
  bool fit = true;
  for (const auto& requirement : hypervisor::check(input)) {
    fit = fit && requirement.verdict != Verdict::missing;
    fmt::print("{:<8}  {}: {}\n", mark(requirement.verdict), requirement.name, requirement.found);
    if (requirement.verdict != Verdict::met) fmt::print("          {}\n", requirement.why);
  }
  co_return fit ? 0 : 1;
}

}  // namespace

int check_machine(const std::filesystem::path& state) {
  asio::io_context io;
  int code = 1;
  std::exception_ptr failure;
  asio::co_spawn(io, check(state), [&](std::exception_ptr thrown, int result) {
    failure = thrown;
    code = result;
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace virga::host

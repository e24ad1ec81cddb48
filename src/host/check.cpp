#include "host/check.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>

#include "hypervisor/host_probe.h"
#include "hypervisor/qemu/qemu_hypervisor.h"

namespace virga::host {
namespace {

Async<int> check(std::filesystem::path state) {
  hypervisor::CheckInput input;
  input.facts = hypervisor::probe_host();
  input.datastore = hypervisor::probe_volume(std::filesystem::exists(state) ? state.string() : ".");
  hypervisor::QemuOptions options;
  options.run_directory = "/run/virga/check";
  const auto backend =
      hypervisor::make_qemu_hypervisor(co_await asio::this_coro::executor, options);
  const auto capabilities = co_await backend->capabilities();
  if (!capabilities.accelerator_reason.empty())
    input.no_kvm_reason = capabilities.accelerator_reason;
  bool fit = true;
  for (const auto& requirement : hypervisor::check(input)) {
    using Verdict = hypervisor::Requirement::Verdict;
    const char* mark = requirement.verdict == Verdict::met        ? "ok      "
                       : requirement.verdict == Verdict::degraded ? "degraded"
                                                                  : "MISSING ";
    fit = fit && requirement.verdict != Verdict::missing;
    fmt::print("{}  {}: {}\n", mark, requirement.name, requirement.found);
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

#include "hypervisor/qemu/accelerator.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "hypervisor/qemu/launcher.h"

namespace virga::hypervisor {
namespace {

constexpr unsigned char verdict = 0x2a;
constexpr int verdict_exit_code = verdict << 1 | 1;  // as isa-debug-exit makes it

// A 64 KiB ROM. The processor starts 16 bytes before its end: mov al,0x2a; out 0xf4,al; hlt; jmp.
std::string trial_rom() {
  const unsigned char start[] = {0xb0, verdict, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd};
  std::string rom(64 << 10, '\xf4');
  rom.replace(rom.size() - 16, sizeof start, reinterpret_cast<const char*>(start), sizeof start);
  return rom;
}

std::string read_memory_file(const Fd& fd) {
  std::string text(4096, '\0');
  const ssize_t n = ::pread(fd.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

// Why the process did not report success; empty if it did.
std::string await_verdict(const Fd& process, const Fd& output, std::chrono::milliseconds timeout) {
  pollfd ended{process.get(), POLLIN, 0};
  const bool in_time = ::poll(&ended, 1, static_cast<int>(timeout.count())) == 1;
  if (!in_time) kill_process(process.get());
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(process.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  if (!in_time) return fmt::format("a trial guest did not finish within {} ms", timeout.count());
  if (info.si_code == CLD_EXITED && info.si_status == verdict_exit_code) return {};
  return fmt::format("a trial guest failed: {}", read_memory_file(output));
}

}  // namespace

bool has_virtualization(const std::string& cpuinfo) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (word == "vmx" || word == "svm") return true;
    return false;
  }
  return false;
}

std::string try_accelerator(const QemuOptions& options, const std::string& accelerator,
                            std::chrono::milliseconds timeout) {
  const Fd rom = make_memory_file("trial-rom", trial_rom());
  const Fd output = make_memory_file("trial-output", "");
  LaunchRequest request;
  request.argv = {options.program,
                  "-nodefaults",
                  "-no-user-config",
                  "-display",
                  "none",
                  "-machine",
                  "pc",
                  "-accel",
                  accelerator,
                  "-m",
                  "8",
                  "-bios",
                  "/proc/self/fd/3",
                  "-device",
                  "isa-debug-exit,iobase=0xf4,iosize=1"};
  if (!options.user.empty()) request.account = find_account(options.user, accelerator == "kvm");
  request.descriptors = {{rom.get(), 3}};
  request.output = output.get();
  const Launched launched = launch(request, [](const ProcessIdentity&) {});
  return await_verdict(launched.process, output, timeout);
}

Accelerator find_accelerator(const QemuOptions& options) {
  if (!options.allow_kvm) return {false, "KVM is switched off"};
  if (!has_virtualization(read_file("/proc/cpuinfo")))
    return {false, "the processor offers neither VT-x nor AMD-V"};
  if (::access("/dev/kvm", F_OK) != 0) return {false, "/dev/kvm does not exist"};
  std::string failure = try_accelerator(options, "kvm", std::chrono::seconds(5));
  return {failure.empty(), std::move(failure)};
}

}  // namespace virga::hypervisor

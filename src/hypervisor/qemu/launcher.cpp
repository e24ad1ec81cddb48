#include "hypervisor/qemu/launcher.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/process.h"
#include "base/unix_socket.h"

namespace virga::hypervisor {
namespace {

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = ::getenv("PATH");
  std::string rest = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  while (!rest.empty()) {
    const auto colon = std::min(rest.find(':'), rest.size());
    std::string candidate = rest.substr(0, colon) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.erase(0, colon + 1);
  }
  throw error(ErrorKind::not_found, name, "the program {} is not installed", name);
}

// What the child needs, prepared beforehand: between fork and exec it may not allocate.
struct ChildPlan {
  std::string program;
  std::vector<char*> argv;
  std::vector<std::pair<int, int>> descriptors;
  int output;
  std::uint64_t locked_bytes;
  bool ends_with_parent;
  const Account* account;
  int go;       // one byte comes when before_exec() is through
  int failure;  // where a ChildFailure is written
};
struct ChildFailure {
  char step[32];
  int code;
};

constexpr rlim_t open_files = 16384;

[[noreturn]] void fail(const ChildPlan& plan, const char* step) {
  ChildFailure failure{};
  failure.code = errno;
  ::strncpy(failure.step, step, sizeof failure.step - 1);
  (void)!::write(plan.failure, &failure, sizeof failure);
  ::_exit(127);
}

// Moves all descriptors out of the way first: ours and the wanted numbers may overlap. Returns
// where the failure pipe is now.
void place_descriptors(ChildPlan& plan) {
  int last = STDERR_FILENO;
  for (const auto& [ours, wanted] : plan.descriptors) last = std::max(last, wanted);
  for (auto& [ours, wanted] : plan.descriptors)
    if ((ours = ::fcntl(ours, F_DUPFD, last + 2)) < 0) fail(plan, "hand over a descriptor");
  const int output = ::fcntl(plan.output, F_DUPFD, last + 2);
  const int failure = ::fcntl(plan.failure, F_DUPFD, last + 2);
  const int nothing = ::open("/dev/null", O_RDWR);
  if (output < 0 || failure < 0 || nothing < 0) fail(plan, "hand over a descriptor");
  for (const auto& [ours, wanted] : plan.descriptors)
    if (::dup2(ours, wanted) < 0) fail(plan, "hand over a descriptor");
  if (::dup2(nothing, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 ||
      ::dup2(output, STDERR_FILENO) < 0 || ::dup3(failure, last + 1, O_CLOEXEC) < 0)
    fail(plan, "hand over a descriptor");
  plan.failure = last + 1;
  if (::close_range(static_cast<unsigned>(last + 2), ~0U, 0) != 0) fail(plan, "close descriptors");
}

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void set_limits(const ChildPlan& plan) {
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) fail(plan, "limit core dumps");
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max = std::min(files.rlim_max, open_files);
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) fail(plan, "limit open files");
  const rlimit locked{plan.locked_bytes, plan.locked_bytes};
  if (plan.locked_bytes > 0 && ::setrlimit(RLIMIT_MEMLOCK, &locked) != 0)
    fail(plan, "raise the limit of locked memory");
}

// The system calls themselves: the library's wrappers take locks that another thread of the daemon
// may have held at the fork.
void drop_privileges(const ChildPlan& plan) {
  if (const Account* account = plan.account) {
    const gid_t gid = account->gid;
    const uid_t uid = account->uid;
    if (::syscall(SYS_setgroups, account->groups.size(), account->groups.data()) != 0)
      fail(plan, "set groups");
    if (::syscall(SYS_setresgid, gid, gid, gid) != 0) fail(plan, "change group");
    if (::syscall(SYS_setresuid, uid, uid, uid) != 0) fail(plan, "change user");
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(plan, "give up privileges");
}

[[noreturn]] void run_child(ChildPlan& plan) {
  char go;
  ssize_t n;
  do {
    n = ::read(plan.go, &go, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) ::_exit(0);  // the daemon gave up, or died
  reset_signals();
  if (::setsid() < 0) fail(plan, "start a session");
  if (::chdir("/") != 0) fail(plan, "leave the working directory");
  ::umask(077);
  place_descriptors(plan);
  set_limits(plan);
  drop_privileges(plan);
  if (plan.ends_with_parent && ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail(plan, "end in time");
  static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  static char language[] = "LC_ALL=C";
  char* environment[] = {path, language, nullptr};
  ::execve(plan.program.c_str(), plan.argv.data(), environment);
  fail(plan, "execute");
}

void end_child(pid_t pid) {
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Returns when the child has become its program: exec closes the pipe's other end.
void await_exec(int pipe, const std::string& program) {
  ChildFailure failure{};
  ssize_t n;
  do {
    n = ::read(pipe, &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof failure)
    throw system_error(program, fmt::format("could not {} to run", failure.step), failure.code);
}

}  // namespace

Account find_account(const std::string& user, bool kvm) {
  errno = 0;
  const passwd* entry = ::getpwnam(user.c_str());
  if (!entry)
    throw error(ErrorKind::not_found, user,
                "the system user {}, as which guests run, does not exist: "
                "useradd --system --no-create-home --shell /usr/sbin/nologin {}",
                user, user);
  if (::geteuid() != 0 && ::geteuid() != entry->pw_uid)
    throw error(ErrorKind::access_denied, user, "only root can run guests as the user {}", user);
  Account account{.name = user, .uid = entry->pw_uid, .gid = entry->pw_gid};
  struct stat device {};
  if (kvm && ::stat("/dev/kvm", &device) == 0) account.groups.push_back(device.st_gid);
  return account;
}

Launched launch(const LaunchRequest& request,
                const std::function<void(const ProcessIdentity&)>& before_exec) {
  ChildPlan plan{.program = find_program(request.argv.front()),
                 .descriptors = request.descriptors,
                 .output = request.output,
                 .locked_bytes = request.locked_bytes,
                 .ends_with_parent = request.ends_with_parent,
                 .account = request.account ? &*request.account : nullptr};
  for (const auto& argument : request.argv)
    plan.argv.push_back(const_cast<char*>(argument.c_str()));
  plan.argv.push_back(nullptr);
  // One at a time, or children would inherit each other's pipes and keep them open.
  static std::mutex launching;
  const std::lock_guard lock(launching);
  Pipe go = make_pipe(), failure = make_pipe();
  plan.go = go.read.get();
  plan.failure = failure.write.get();

  const pid_t pid = ::fork();
  if (pid < 0) throw system_error(plan.program, "cannot fork for");
  if (pid == 0) {
    ::close(go.write.get());
    run_child(plan);
  }
  go.read.reset();
  failure.write.reset();
  try {
    Launched launched{identify(pid), open_pidfd(pid)};
    if (!launched.process) throw system_error(plan.program, "cannot watch");
    before_exec(launched.identity);
    write_all(go.write.get(), "g", plan.program);
    await_exec(failure.read.get(), plan.program);
    return launched;
  } catch (...) {
    end_child(pid);
    throw;
  }
}

Fd make_memory_file(const char* name, std::string_view content) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd ||
      ::pwrite(fd.get(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size()))
    throw system_error(name, "cannot make");
  return fd;
}

Fd connect_pair(Fd& other) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw system_error("socket", "cannot make");
  other = Fd(ends[1]);
  return Fd(ends[0]);
}

Fd listen_for_qemu(const std::string& path) {
  return listen_unix(path, SOCK_STREAM | SOCK_NONBLOCK);
}

Fd listen_tcp(const std::string& host, int port) {
  const std::string name = fmt::format("{}:{}", host, port);
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  wanted.ai_socktype = SOCK_STREAM;
  const std::string service = std::to_string(port);
  if (const int code =
          ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &wanted, &found))
    throw error(ErrorKind::invalid_argument, name, "cannot listen on {}: {}", name,
                ::gai_strerror(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), 1) != 0)
    throw system_error(name, "cannot listen on");
  return fd;
}

Fd connect_unix(const std::string& path) {
  const sockaddr_un address = unix_address(path);
  Fd fd = make_unix_socket(SOCK_STREAM);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw error(ErrorKind::gone, path, "nobody listens on {}: {}", path, std::strerror(errno));
  return fd;
}

}  // namespace virga::hypervisor

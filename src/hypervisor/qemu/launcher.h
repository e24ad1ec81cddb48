// Starting a process that is to outlive the daemon: its own session, an unprivileged user, no way
// to gain privileges, and no descriptor but those it is handed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "hypervisor/qemu/process_identity.h"

namespace virga::hypervisor {

struct Account {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary, beside gid
};

// The account guests run as. Throws ErrorKind::not_found when it does not exist and access_denied
// when this process may not become it. With `kvm`, it is given the group that owns /dev/kvm.
Account find_account(const std::string& user, bool kvm);

struct LaunchRequest {
  std::vector<std::string> argv;                 // argv[0] is found through PATH
  std::optional<Account> account;                // none: stay who we are
  std::vector<std::pair<int, int>> descriptors;  // {ours, number in the new process}
  int output = -1;                               // becomes its standard output and error
  std::uint64_t locked_bytes = 0;  // of memory that it may keep in place; 0: the limit stays
  bool ends_with_parent = false;   // it is killed when the thread that launched it ends
};

struct Launched {
  ProcessIdentity identity;
  Fd process;  // a pidfd
};

// Starts the process. `before_exec` is called with its identity when it exists but does not run its
// program yet: what it throws ends the process. Should the daemon die before `before_exec` has
// returned, the process ends by itself, so none ever runs without whatever that wrote down. Blocks.
Launched launch(const LaunchRequest& request,
                const std::function<void(const ProcessIdentity&)>& before_exec);

// A file of that content in memory alone, to be handed on; its position is its beginning.
Fd make_memory_file(const char* name, std::string_view content = {});
// A connected pair of unix sockets: one is returned.
Fd connect_pair(Fd& other);
// Sockets for QEMU to accept from. They do not block: two of its threads may call accept() for one
// client, and the one that is left without must not hold up the machine.
Fd listen_for_qemu(const std::string& path);
// `host`: an address of this machine, or empty for all of them.
Fd listen_tcp(const std::string& host, int port);
// A connected unix socket. ErrorKind::gone when nobody listens.
Fd connect_unix(const std::string& path);

}  // namespace virga::hypervisor

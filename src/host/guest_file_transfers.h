// Files on their way into guests and out of them, over HTTPS:
//   /guestFile?id=N&token=TOKEN     GET or HEAD what leaves, PUT what arrives, once each
// Whoever asked for a transfer had proved to be a user of the guest: the token stands for that, for
// ten minutes. The daemon keeps no file and no transfer: one that was killed left at most a file
// with an unused name in the guest.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "host/guest_session.h"
#include "hypervisor/guest/files.h"
#include "wire/http_server.h"

namespace virga::host {

// What of a file in a guest is to change; unset: as it is.
struct FileAttributes {
  std::optional<std::chrono::sys_seconds> modified, accessed;
  std::optional<std::uint32_t> uid, gid, permissions;

  // Those of set_attributes_script.
  std::vector<std::string> arguments(const std::string& path) const;
};
// Throws InvalidArgument for those of other guests than Linux.
FileAttributes read_attributes(const vim::GuestFileAttributes& from);
extern const char* const set_attributes_script;

// A file that a guest is to get.
struct Arrival {
  std::string path;
  FileAttributes attributes;
  std::uint64_t size = 0;
  bool overwrite = false;
};

// The file that is to leave: FileNotFound, NotAFile, GuestPermissionDenied.
Async<hypervisor::GuestFile> file_to_send(const GuestSession& session, std::string path);
// Whether it can arrive: FileAlreadyExists, NotAFile, GuestPermissionDenied, FileNotFound.
Async<void> check_arrival(const GuestSession& session, const Arrival& arrival);

class GuestFileTransfers {
 public:
  explicit GuestFileTransfers(Host& host) : host_(host) {}

  // The address of what leaves, or of where it arrives. Kernel executor.
  std::string offer(GuestSession session, std::string path, std::uint64_t size, model::Call& call);
  std::string expect(GuestSession session, Arrival arrival, model::Call& call);

  void serve(wire::HttpServer& server);

 private:
  struct Departure {
    std::string path;
    std::uint64_t size = 0;
  };
  struct Transfer {
    GuestSession session;
    std::variant<Departure, Arrival> file;
    std::chrono::steady_clock::time_point expiry;
  };
  using TransferPtr = std::shared_ptr<const Transfer>;

  std::string admit(GuestSession session, std::variant<Departure, Arrival> file, model::Call& call);
  // Taken out of the table, unless a client only looks at its head.
  Async<TransferPtr> redeem(std::string token, std::string method);
  Async<wire::Response> handle(wire::Request& request);
  wire::Response send(const Transfer& transfer);
  Async<wire::Response> receive(wire::Request& request, TransferPtr transfer);

  Host& host_;
  std::map<std::string, TransferPtr> transfers_;  // by token
  std::uint64_t last_id_ = 0;
};

}  // namespace virga::host

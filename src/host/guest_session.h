// A user in the guest of a VM, for one operation or transfer: who may come in, and what is done as
// that user. Linux guests only; it all runs as scripts of /bin/sh that the guest's agent starts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/host.h"
#include "hypervisor/guest/account.h"
#include "hypervisor/guest/program.h"

namespace virga::host {

inline constexpr const char* guest_query = "VirtualMachine.GuestOperations.Query";
inline constexpr const char* guest_modify = "VirtualMachine.GuestOperations.Modify";
inline constexpr const char* guest_execute = "VirtualMachine.GuestOperations.Execute";

class GuestSession {
 public:
  // Throws ManagedObjectNotFound, NoPermission, InvalidPowerState and GuestOperationsFault's
  // family.
  static Async<GuestSession> open(Host& host, model::Call& call, MoRef vm,
                                  model::Ptr<vim::GuestAuthentication> credentials,
                                  const char* privilege);

  const hypervisor::GuestAccount& account() const { return account_; }
  const MoRef& vm() const { return ref_; }

  // What a user's programs find there.
  std::vector<std::string> environment() const;

  // What the script printed. A script that fails throws what its last words mean: FileFault's
  // family under `subject`, the path it was about, or GuestPermissionDenied.
  Async<std::string> run(std::string script, std::vector<std::string> arguments,
                         std::string subject, std::string input = std::string()) const;
  // Starts a script that nobody hears; its number in the guest.
  Async<std::int64_t> start(std::string script, std::vector<std::string> arguments,
                            std::vector<std::string> environment) const;
  // None when the agent no longer knows it.
  Async<std::optional<hypervisor::GuestProgramState>> state(std::int64_t pid) const;

 private:
  GuestSession(const std::shared_ptr<VirtualMachine>& vm, hypervisor::GuestAccount account);
  std::shared_ptr<VirtualMachine> virtual_machine() const;
  hypervisor::GuestProgram program(std::string script, std::vector<std::string> arguments) const;

  // Sessions of transfers end on other threads than VMs do.
  std::weak_ptr<VirtualMachine> vm_;
  MoRef ref_;
  hypervisor::GuestAccount account_;
};

// "/a/b" and no other: InvalidArgument that names `property`.
void require_guest_path(const std::string& path, const char* property);

}  // namespace virga::host

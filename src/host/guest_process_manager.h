// GuestProcessManager: programs in guests.
#pragma once

#include <map>
#include <string>

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class GuestSession;

class GuestProcessManager final : public kernel::Implements<vim::GuestProcessManager> {
 public:
  explicit GuestProcessManager(Host& host);

  Async<std::int64_t> StartProgramInGuest(model::Call&,
                                          const vim::StartProgramInGuestRequestType&) override;
  Async<vim::List<vim::GuestProcessInfo>> ListProcessesInGuest(
      model::Call&, const vim::ListProcessesInGuestRequestType&) override;
  Async<void> TerminateProcessInGuest(model::Call&,
                                      const vim::TerminateProcessInGuestRequestType&) override;
  Async<model::Array<std::string>> ReadEnvironmentVariableInGuest(
      model::Call&, const vim::ReadEnvironmentVariableInGuestRequestType&) override;

 private:
  // What was started here, by its number in the guest. The daemon's database keeps it, for the
  // agent outlives the daemon, and tells an exit code once.
  using Started = std::map<std::int64_t, vim::GuestProcessInfo>;

  Started started_in(const MoRef& vm) const;
  void keep(const MoRef& vm, const vim::GuestProcessInfo& process);
  void forget(const MoRef& vm, std::int64_t pid);
  // Asks the agent which of them have ended.
  Async<Started> follow(const GuestSession& session);

  Host& host_;
};

}  // namespace virga::host

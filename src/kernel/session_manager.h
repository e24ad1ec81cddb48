// SessionManager: logging in and out, and who is logged in.
#pragma once

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class SessionManager final : public Implements<vim::SessionManager> {
 public:
  SessionManager(Kernel& kernel, MoRef self);

  DataPtr snapshot_for(const Session* session) const override;

  Async<model::Ptr<vim::UserSession>> Login(model::Call&, const vim::LoginRequestType&) override;
  Async<void> Logout(model::Call&, const vim::LogoutRequestType&) override;
  Async<void> TerminateSession(model::Call&, const vim::TerminateSessionRequestType&) override;
  Async<void> SetLocale(model::Call&, const vim::SetLocaleRequestType&) override;
  Async<bool> SessionIsActive(model::Call&, const vim::SessionIsActiveRequestType&) override;
  Async<std::string> AcquireCloneTicket(model::Call&,
                                        const vim::AcquireCloneTicketRequestType&) override;
  Async<model::Ptr<vim::UserSession>> CloneSession(model::Call&, const vim::CloneSessionRequestType&) override;
  Async<void> UpdateServiceMessage(model::Call&,
                                   const vim::UpdateServiceMessageRequestType&) override;
  Async<model::Ptr<vim::SessionManagerGenericServiceTicket>> AcquireGenericServiceTicket(
      model::Call&, const vim::AcquireGenericServiceTicketRequestType&) override;

  // Whether a one-time ticket of AcquireGenericServiceTicket allows this HTTP request; the ticket
  // is used up. `user`: whose it was.
  std::optional<std::string> redeem_ticket(const std::string& ticket, const std::string& method,
                                           const std::string& path);

 private:
  model::Ptr<vim::UserSession> open(Call& call, const std::string& user, const std::string& locale);
  void list_sessions();

  struct HttpTicket {
    std::string user, method, path;
    std::chrono::steady_clock::time_point expiry;
  };

  Kernel& kernel_;
  std::map<std::string, HttpTicket> tickets_;
};

}  // namespace virga::kernel

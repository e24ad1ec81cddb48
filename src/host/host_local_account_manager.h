// HostLocalAccountManager: the host's own accounts.
#pragma once

#include "host/host.h"
#include "kernel/authorization_manager.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostLocalAccountManager final : public kernel::Implements<vim::HostLocalAccountManager> {
 public:
  HostLocalAccountManager(Host& host, kernel::AuthorizationManager& authorization);

  Async<void> CreateUser(model::Call&, const vim::CreateUserRequestType&) override;
  Async<void> UpdateUser(model::Call&, const vim::UpdateUserRequestType&) override;
  Async<void> RemoveUser(model::Call&, const vim::RemoveUserRequestType&) override;

 private:
  Host& host_;
  kernel::AuthorizationManager& authorization_;
};

}  // namespace virga::host

// GuestAuthManager: whether a guest knows somebody.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class GuestAuthManager final : public kernel::Implements<vim::GuestAuthManager> {
 public:
  explicit GuestAuthManager(Host& host);

  Async<void> ValidateCredentialsInGuest(
      model::Call&, const vim::ValidateCredentialsInGuestRequestType&) override;

 private:
  Host& host_;
};

}  // namespace virga::host

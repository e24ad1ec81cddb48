#include "host/guest_auth_manager.h"

#include "host/guest_session.h"
#include "host/names.h"

namespace virga::host {

GuestAuthManager::GuestAuthManager(Host& host)
    : Implements(host.kernel.inventory, names::guest_auth_manager), host_(host) {}

Async<void> GuestAuthManager::ValidateCredentialsInGuest(
    model::Call& call, const vim::ValidateCredentialsInGuestRequestType& r) {
  co_await GuestSession::open(host_, call, r.vm, r.auth, guest_query);
}

}  // namespace virga::host

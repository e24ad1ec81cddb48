#include "host/host_local_account_manager.h"

#include "host/names.h"
#include "kernel/accounts.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

[[noreturn]] void user_not_found(const std::string& name) {
  vim::UserNotFound detail;
  detail.principal = name;
  detail.unresolved = true;
  throw kernel::Fault(std::move(detail), fmt::format("There is no user '{}'.", name));
}

}  // namespace

HostLocalAccountManager::HostLocalAccountManager(Host& host,
                                                 kernel::AuthorizationManager& authorization)
    : Implements(host.kernel.inventory, names::account_manager),
      host_(host),
      authorization_(authorization) {}

Async<void> HostLocalAccountManager::CreateUser(model::Call& call,
                                                const vim::CreateUserRequestType& r) {
  const std::string name = r.user->id;
  if (!r.user->password) throw kernel::invalid_argument("user.password", "a new user needs one");
  if (host_.kernel.accounts->find(name)) throw kernel::already_exists(name);
  kernel::Account account{name, r.user->description.value_or(""), {}};
  vim::AccountCreatedEvent event;
  vim::HostAccountSpec spec;
  spec.id = name;
  event.spec = model::share(std::move(spec));
  co_await host_.kernel.accounts->create(std::move(account), *r.user->password);
  host_.post(std::move(event), fmt::format("Account {} was created on host {}", name,
                                           host_.identity.name), kernel::context(call).user());
}

Async<void> HostLocalAccountManager::UpdateUser(model::Call& call,
                                                const vim::UpdateUserRequestType& r) {
  const std::string name = r.user->id;
  if (!host_.kernel.accounts->find(name)) user_not_found(name);
  vim::AccountUpdatedEvent event;
  vim::HostAccountSpec spec;
  spec.id = name;
  event.spec = model::share(std::move(spec));
  co_await host_.kernel.accounts->update(name, r.user->description, r.user->password);
  host_.post(std::move(event), fmt::format("Account {} was updated on host {}", name,
                                           host_.identity.name), kernel::context(call).user());
}

Async<void> HostLocalAccountManager::RemoveUser(model::Call& call,
                                                const vim::RemoveUserRequestType& r) {
  const std::string name = r.userName;
  if (!host_.kernel.accounts->find(name)) user_not_found(name);
  host_.kernel.accounts->remove(name);
  authorization_.forget_user(name);
  for (const auto& session : host_.kernel.sessions.all())
    if (session->user == name) host_.kernel.sessions.end(session->key);
  vim::AccountRemovedEvent event;
  event.account = name;
  host_.post(std::move(event), fmt::format("Account {} was removed on host {}", name,
                                           host_.identity.name), kernel::context(call).user());
  co_return;
}

}  // namespace virga::host

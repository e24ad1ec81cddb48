#include "kernel/session_manager.h"

#include <algorithm>

#include "base/uuid.h"
#include "kernel/accounts.h"
#include "kernel/event_log.h"
#include "kernel/faults.h"

namespace virga::kernel {
namespace {

constexpr auto kTicketLife = std::chrono::minutes(2);
const std::vector<std::string> kLocales = {"en", "en_US"};

vim::UserSession describe(const Session& session) {
  vim::UserSession described;
  described.key = session.key;
  described.userName = session.user;
  described.fullName = session.full_name;
  described.loginTime = session.login_time;
  described.lastActiveTime = session.last_active;
  described.locale = session.locale;
  described.messageLocale = session.locale;
  described.ipAddress = session.peer_address;
  described.userAgent = session.user_agent;
  described.callCount = session.call_count;
  return described;
}

void check_locale(const std::string& locale) {
  if (std::find(kLocales.begin(), kLocales.end(), locale) == kLocales.end())
    throw Fault(vim::InvalidLocale{}, fmt::format("There is no locale '{}'.", locale));
}

// Whether any permission, of the user or of a group, gives access to anything.
bool has_access(const AccessTable& table, const std::string& user) {
  const auto groups = table.groups_of(user);
  const auto gives_it = [&](const PermissionEntry& entry) {
    if (entry.role == kRoleNoAccess) return false;
    if (!entry.group) return entry.principal == user;
    return std::find(groups.begin(), groups.end(), entry.principal) != groups.end();
  };
  return std::any_of(table.permissions().begin(), table.permissions().end(), gives_it);
}

}  // namespace

SessionManager::SessionManager(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self), [] {
        Properties properties;
        properties.messageLocaleList = kLocales;
        properties.supportedLocaleList = kLocales;
        properties.defaultLocale = "en";
        properties.message = "";
        return properties;
      }()), kernel_(kernel) {
  kernel_.sessions.on_end([this] { list_sessions(); });
}

DataPtr SessionManager::snapshot_for(const Session* session) const {
  DataPtr common = snapshot();
  if (!session) return common;
  auto mine = model::Ptr<Properties>(model::clone(*common));
  mine.edit().currentSession = model::share(describe(*session));
  return mine.data();
}

void SessionManager::list_sessions() {
  update([&](Properties& p) {
    p.sessionList.clear();
    for (const SessionPtr& session : kernel_.sessions.all())
      p.sessionList.push_back(describe(*session));
  });
}

model::Ptr<vim::UserSession> SessionManager::open(Call& call, const std::string& user,
                                      const std::string& locale) {
  const auto account = kernel_.accounts->find(user);
  const auto session = kernel_.sessions.create(user, account ? account->description : "",
                                               call.peer_address, call.user_agent);
  session->locale = locale;
  call.opened = session;
  list_sessions();
  vim::UserLoginSessionEvent event;
  event.ipAddress = call.peer_address;
  event.userAgent = call.user_agent;
  event.locale = locale;
  event.sessionId = session->key;
  kernel_.events->post(std::move(event),
                       fmt::format("User {}@{} logged in as {}", user, call.peer_address,
                                   call.user_agent), user);
  return model::share(describe(*session));
}

Async<model::Ptr<vim::UserSession>> SessionManager::Login(model::Call& c, const vim::LoginRequestType& r) {
  Call& call = context(c);
  if (call.session)
    throw invalid_request(fmt::format("The session of {} is logged in already.", call.user()));
  const std::string user = r.userName, locale = r.locale.value_or("en");
  check_locale(locale);
  const bool right = co_await kernel_.accounts->verify(user, r.password);
  if (!right) {
    vim::BadUsernameSessionEvent event;
    event.ipAddress = call.peer_address;
    kernel_.events->post(std::move(event),
                         fmt::format("Cannot login {}@{}", user, call.peer_address), user);
    throw invalid_login(user);
  }
  const auto table = kernel_.authorization.table();
  if (table && !has_access(*table, user)) throw no_permission(table->root(), "System.View");
  co_return open(call, user, locale);
}

Async<void> SessionManager::Logout(model::Call& c, const vim::LogoutRequestType&) {
  Call& call = context(c);
  const SessionPtr session = call.session;
  vim::UserLogoutSessionEvent event;
  event.ipAddress = session->peer_address;
  event.userAgent = session->user_agent;
  event.callCount = session->call_count;
  event.sessionId = session->key;
  event.loginTime = session->login_time;
  kernel_.events->post(std::move(event),
                       fmt::format("User {}@{} logged out", session->user, session->peer_address),
                       session->user);
  call.closed = true;
  kernel_.sessions.end(session->key);
  co_return;
}

Async<void> SessionManager::TerminateSession(model::Call& c,
                                             const vim::TerminateSessionRequestType& r) {
  Call& call = context(c);
  for (const std::string& key : r.sessionId) {
    if (!kernel_.sessions.find(key)) throw not_found("Session " + key);
    if (call.session->key == key)
      throw invalid_argument("sessionId", "a session cannot terminate itself; it logs out");
  }
  for (const std::string& key : r.sessionId) {
    const SessionPtr session = kernel_.sessions.find(key);
    if (!session) continue;    // named twice
    vim::SessionTerminatedEvent event;
    event.sessionId = key;
    event.terminatedUsername = session->user;
    kernel_.sessions.end(key);
    kernel_.events->post(std::move(event),
                         fmt::format("A session for user '{}' has stopped", session->user),
                         call.user());
  }
  co_return;
}

Async<void> SessionManager::SetLocale(model::Call& c, const vim::SetLocaleRequestType& r) {
  check_locale(r.locale);
  context(c).session->locale = r.locale;
  co_return;
}

Async<bool> SessionManager::SessionIsActive(model::Call&,
                                            const vim::SessionIsActiveRequestType& r) {
  const SessionPtr session = kernel_.sessions.find(r.sessionID);
  co_return session && session->user == r.userName;
}

Async<std::string> SessionManager::AcquireCloneTicket(model::Call& c,
                                                      const vim::AcquireCloneTicketRequestType&) {
  co_return kernel_.sessions.issue_clone_ticket(context(c).session);
}

Async<model::Ptr<vim::UserSession>> SessionManager::CloneSession(model::Call& c,
                                                     const vim::CloneSessionRequestType& r) {
  const SessionPtr source = kernel_.sessions.redeem_clone_ticket(r.cloneTicket);
  if (!source)
    throw Fault(vim::InvalidLogin{}, "The clone ticket is unknown, used or too old.");
  co_return open(context(c), source->user, source->locale);
}

Async<void> SessionManager::UpdateServiceMessage(model::Call&,
                                                 const vim::UpdateServiceMessageRequestType& r) {
  update([&](Properties& p) { p.message = r.message; });
  co_return;
}

Async<model::Ptr<vim::SessionManagerGenericServiceTicket>> SessionManager::AcquireGenericServiceTicket(
    model::Call& c, const vim::AcquireGenericServiceTicketRequestType& r) {
  Call& call = context(c);
  if (!call.session) throw not_authenticated(self(), "System.View");
  const auto* http = r.spec.as<vim::SessionManagerHttpServiceRequestSpec>();
  if (!http)
    throw not_supported("A ticket for " + std::string(r.spec->type_info().name));
  std::string path = http->url;
  if (const auto scheme = path.find("://"); scheme != std::string::npos) {
    const auto slash = path.find('/', scheme + 3);
    path = slash == std::string::npos ? "/" : path.substr(slash);
  }
  path = path.substr(0, path.find('?'));
  // "httpGet", "httpPut", …; none means GET.
  std::string method = http->method.value_or("httpGet");
  if (method.starts_with("http")) method = method.substr(4);
  std::transform(method.begin(), method.end(), method.begin(), ::toupper);

  const auto now = std::chrono::steady_clock::now();
  std::erase_if(tickets_, [&](const auto& entry) { return entry.second.expiry < now; });
  vim::SessionManagerGenericServiceTicket ticket;
  ticket.id = random_hex(20);
  ticket.hostName = call.local_address;
  ticket.ticketType = "HttpServiceTicket";
  tickets_[ticket.id] = {call.user(), method, path, now + kTicketLife};
  co_return model::share(std::move(ticket));
}

std::optional<std::string> SessionManager::redeem_ticket(const std::string& ticket,
                                                         const std::string& method,
                                                         const std::string& path) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return std::nullopt;
  const HttpTicket taken = found->second;
  const bool fits = taken.method == method && taken.path == path &&
                    taken.expiry > std::chrono::steady_clock::now();
  if (!fits) return std::nullopt;
  tickets_.erase(found);
  return taken.user;
}

}  // namespace virga::kernel

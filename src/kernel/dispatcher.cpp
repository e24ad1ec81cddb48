#include "kernel/dispatcher.h"

#include "kernel/access.h"
#include "kernel/faults.h"
#include "kernel/requested_property.h"
#include "model/clock.h"

namespace virga::kernel {
namespace {

// Keeps the session's clock: it is in use from the call's beginning to its end.
class InUse {
 public:
  explicit InUse(SessionPtr session) : session_(std::move(session)) {
    if (!session_) return;
    session_->last_active = model::now();
    ++session_->call_count;
    ++session_->calls_in_flight;
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() {
    if (!session_) return;
    session_->last_active = model::now();
    --session_->calls_in_flight;
  }

 private:
  SessionPtr session_;
};

}  // namespace

std::shared_ptr<Object> Dispatcher::find(const Call& call, const MoRef& ref) const {
  auto object = kernel_.inventory.get(ref);
  const bool others = !object->owner().empty() && (!call.session || object->owner() != call.session->key);
  if (others) throw managed_object_not_found(ref);
  return object;
}

void Dispatcher::check(const Call& call, const Object& object, std::string_view privilege) const {
  if (privilege == "System.Anonymous") return;
  if (!call.session) throw not_authenticated(object.self(), std::string(privilege));
  if (!object.owner().empty()) return;    // what a session made for itself is its own
  kernel_.authorization.check(kernel_.inventory, call.session->user, object, privilege);
}

Async<Any> Dispatcher::run(std::shared_ptr<Call> call, MoRef ref, const model::MethodInfo& method,
                           DataPtr parameters) {
  const auto object = find(*call, ref);
  model::ManagedObject& target = object->interface();
  const model::MethodInfo* served = target.info().method(method.name);
  if (!served)
    throw invalid_request(fmt::format("{} has no method {}", target.info().name, method.name));
  if (served->since > call->version)
    throw invalid_request(fmt::format("{} is newer than the API version the client speaks",
                                      method.name));
  check(*call, *object, served->privilege);
  const InUse in_use(call->session);
  Any result = co_await served->invoke(target, *call, *parameters);
  co_return result;
}

Async<Any> Dispatcher::invoke(std::shared_ptr<Call> call, MoRef object,
                              const model::MethodInfo& method, DataPtr parameters) {
  std::exception_ptr failure;
  try {
    Any result = co_await run_on(
        kernel_.executor, run(std::move(call), std::move(object), method, std::move(parameters)));
    co_return result;
  } catch (...) {
    failure = std::current_exception();
  }
  throw from_exception(failure, std::string(method.name));
}

Async<Any> Dispatcher::read_property(std::shared_ptr<Call> call, MoRef ref, std::string property) {
  Access access(kernel_, Reader::of(*call));
  const auto object = access.find(ref);
  if (!object) throw managed_object_not_found(ref);
  const RequestedProperty requested(object->interface().info(), property, call->version);
  if (!access.allows(*object, requested.privilege()))
    throw access.refusal(*object, requested.privilege());
  co_return requested.read(object->snapshot_for(call->session.get()));
}

}  // namespace virga::kernel

// Between typed methods and the untyped calls of codecs and channels; the generated code's helper.
#pragma once

#include <optional>
#include <utility>

#include "base/async.h"
#include "model/managed_object.h"
#include "model/metadata.h"

namespace virga::model {

namespace result {

// A method's typed result as an Any: none for an optional that is unset.
template <class T>
Any to_any(T value) {
  return any(std::move(value));
}
template <class T>
Any to_any(std::optional<T> value) {
  return value ? any(std::move(*value)) : Any();
}
inline Any to_any(Any value) {
  return value;
}

template <class R>
struct From {
  static R any(const Any& value) {
    const R* found = value.get<R>();
    return found ? *found : R();
  }
};
template <class T>
struct From<Ptr<T>> {
  static Ptr<T> any(const Any& value) {
    const T* found = value.get<T>();
    return found ? Ptr<T>(clone(*found)) : nullptr;
  }
};
template <class T>
struct From<std::optional<T>> {
  static std::optional<T> any(const Any& value) {
    const T* found = value.get<T>();
    return found ? std::optional<T>(*found) : std::nullopt;
  }
};
template <>
struct From<Any> {
  static Any any(const Any& value) { return value; }
};

}  // namespace result

// Invocation<&Interface::method>::invoke calls that method: what MethodInfo::invoke holds.
template <auto method>
struct Invocation;

template <class Interface, class R, class Request,
          Async<R> (Interface::*method)(Call&, const Request&)>
struct Invocation<method> {
  static Async<Any> invoke(ManagedObject& object, Call& call, const DataObject& request) {
    auto& target = static_cast<Interface&>(object);
    const auto& parameters = static_cast<const Request&>(request);
    if constexpr (std::is_void_v<R>) {
      co_await (target.*method)(call, parameters);
      co_return Any();
    } else {
      R answer = co_await (target.*method)(call, parameters);
      co_return result::to_any(std::move(answer));
    }
  }
};

// A typed call through a channel: what the client stubs do.
template <class R>
Async<R> call(Channel& channel, const MethodInfo& method, MoRef object, DataPtr request) {
  Any answer = co_await channel.invoke(method, std::move(object), std::move(request));
  if constexpr (!std::is_void_v<R>) co_return result::From<R>::any(answer);
}

}  // namespace virga::model

// Properties that differ from session to session: a singleton such as the ViewManager lists to each
// caller only what is the caller's.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "kernel/object.h"
#include "model/values.h"

namespace virga::kernel {

// Implemented beside Object by objects that have such properties.
class PerSession {
 public:
  virtual ~PerSession() = default;
  // The properties as the session of this key ("" before login) reads them. Any thread.
  virtual DataPtr snapshot_for(const std::string& session) const = 0;
};

// What a session reads of an object.
DataPtr snapshot_for(const Object& object, const std::string& session);

// The references that sessions hold: what a PerSession answers from. Any thread.
class SessionReferences {
 public:
  void add(const std::string& session, const MoRef& ref);
  void remove(const std::string& session, const MoRef& ref);
  model::Array<MoRef> of(const std::string& session) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, model::Array<MoRef>> references_;
};

// A reference to a new object of the session's own, named as vSphere names them:
// "session[KEY]UUID".
MoRef session_reference(std::string_view type, const std::string& session);

}  // namespace virga::kernel

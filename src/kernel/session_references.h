// The objects that sessions have made for themselves, as a singleton lists them to each session:
// ViewManager.viewList, PropertyCollector.filter.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "model/values.h"

namespace virga::kernel {

using model::MoRef;

// By the session's key. Any thread.
class SessionReferences {
 public:
  void add(const std::string& session, const MoRef& ref);
  void remove(const std::string& session, const MoRef& ref);
  model::Array<MoRef> of(const std::string& session) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, model::Array<MoRef>> references_;
};

// A reference to a new object of the session's own, named as vSphere does: "session[KEY]UUID".
MoRef session_reference(std::string_view type, const std::string& session);

}  // namespace virga::kernel

#include "kernel/session_references.h"

#include <fmt/format.h>

#include "base/uuid.h"

namespace virga::kernel {

void SessionReferences::add(const std::string& session, const MoRef& ref) {
  std::lock_guard lock(mutex_);
  references_[session].push_back(ref);
}

void SessionReferences::remove(const std::string& session, const MoRef& ref) {
  std::lock_guard lock(mutex_);
  const auto found = references_.find(session);
  if (found == references_.end()) return;
  std::erase(found->second, ref);
  if (found->second.empty()) references_.erase(found);
}

model::Array<MoRef> SessionReferences::of(const std::string& session) const {
  std::lock_guard lock(mutex_);
  const auto found = references_.find(session);
  return found == references_.end() ? model::Array<MoRef>{} : found->second;
}

MoRef session_reference(std::string_view type, const std::string& session) {
  return {std::string(type), fmt::format("session[{}]{}", session, make_uuid())};
}

}  // namespace virga::kernel

// What the managed entities of a host have in common.
#pragma once

#include "host/host.h"
#include "kernel/faults.h"
#include "vim/interfaces.h"

namespace virga::host {

// The base of an entity's implementation. Renaming and destroying are refused by name until an
// entity says otherwise; reloading has nothing to do where the properties are the truth.
template <class Interface>
class Entity : public kernel::Implements<Interface> {
 public:
  using typename kernel::Implements<Interface>::Properties;

  Async<void> Reload(model::Call&, const vim::ReloadRequestType&) override { co_return; }
  Async<MoRef> Rename_Task(model::Call&, const vim::RenameRequestType&) override {
    throw kernel::not_supported("Renaming " + this->properties().name);
    co_return MoRef{};
  }
  Async<MoRef> Destroy_Task(model::Call&, const vim::DestroyRequestType&) override {
    throw kernel::not_supported("Destroying " + this->properties().name);
    co_return MoRef{};
  }

 protected:
  Entity(Host& host, MoRef self, Properties initial)
      : kernel::Implements<Interface>(host.kernel.inventory, std::move(self), std::move(initial)),
        host_(host) {}

  Host& host() const { return host_; }

 private:
  Host& host_;
};

// The properties every entity starts with.
template <class Properties>
Properties entity_properties(std::string name, std::optional<MoRef> parent) {
  Properties properties;
  properties.name = std::move(name);
  properties.parent = std::move(parent);
  properties.overallStatus = vim::ManagedEntityStatus::green;
  properties.configStatus = vim::ManagedEntityStatus::green;
  properties.effectiveRole = {kernel::kRoleAdministrator};
  return properties;
}

}  // namespace virga::host

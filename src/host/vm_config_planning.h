// Internal to vm_config: a plan in the making.
#pragma once

#include <algorithm>
#include <string>

#include "host/vm_config.h"

namespace virga::host {

// What the VM is doing while it is to change.
enum class Life { created, powered_off, powered_on, suspended };

struct Planning {
  const ConfigContext& context;
  Life life;
  ConfigPlan plan;

  bool is_new() const { return life == Life::created; }
  bool is_running() const { return life == Life::powered_on; }

  void need(const char* privilege) {
    if (std::ranges::find(plan.privileges, privilege) == plan.privileges.end())
      plan.privileges.emplace_back(privilege);
  }
  // Throws InvalidPowerState naming `what` unless the VM is powered off.
  void require_powered_off(const std::string& what) const;
};

// Applies the device changes of a spec. Throws InvalidDeviceSpec and its kin, naming the device.
void plan_devices(Planning& planning, const model::List<vim::VirtualDeviceConfigSpec>& changes);

// Throws InvalidArgument for a number of shares out of range; `field`: where it stands in the spec.
void set_shares(const vim::SharesInfo& shares, const std::string& field,
                vmx::Allocation& allocation);

// Throws InvalidArgument for a reservation, limit or shares out of range; what is not given stays.
void set_allocation(const vim::ResourceAllocationInfo& wanted, const std::string& field,
                    vmx::Allocation& allocation);

// A storage policy is none of ours, but for the one that means "the datastore's own".
void refuse_profiles(const model::List<vim::VirtualMachineProfileSpec>& profiles,
                     const std::string& name);

}  // namespace virga::host

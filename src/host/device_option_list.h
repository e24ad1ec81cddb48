// Internal to device_options: the devices that a hardware version can have, in the making.
#pragma once

#include <string_view>

#include "host/device_options.h"

namespace virga::host {

// What a version does not have is left out.
class DeviceOptionList {
 public:
  explicit DeviceOptionList(const HardwareVersion& version) : version_(version) {}

  template <class Option>
  void add(Option option) {
    if (version_has(option.type)) options_.push_back(model::share(std::move(option)));
  }
  bool version_has(std::string_view feature) const {
    return first_version_with(feature) <= version_.number;
  }
  const HardwareVersion& version() const { return version_; }
  model::List<vim::VirtualDeviceOption> take() { return std::move(options_); }

 private:
  const HardwareVersion& version_;
  model::List<vim::VirtualDeviceOption> options_;
};

template <class Backing>
void add_backing(vim::VirtualDeviceOption& option, std::string_view type, Backing backing = {}) {
  backing.type = type;
  option.backingOption.push_back(model::share(std::move(backing)));
  option.defaultBackingOptionIndex = 0;
}

void add_connect_option(vim::VirtualDeviceOption& option);

}  // namespace virga::host

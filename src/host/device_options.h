// The devices VMs of a hardware version can have, as the API's options. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "host/hardware_version.h"
#include "vim/types.h"

namespace virga::host {

model::List<vim::VirtualDeviceOption> device_options(const HardwareVersion& version);

vim::IntOption int_option(std::int32_t min, std::int32_t max, std::int32_t preset);
vim::LongOption long_option(std::int64_t min, std::int64_t max, std::int64_t preset);
vim::BoolOption bool_option(bool supported, bool preset);
vim::SharesOption shares_option();
// The first is the default.
vim::ChoiceOption choice(std::initializer_list<std::string_view> words);

}  // namespace virga::host

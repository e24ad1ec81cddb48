// The privileges of vSphere that methods ask for by what they are given, so that the schema cannot
// name them: of what a ReconfigVM_Task changes, of what a path leads to. Roles may hold those that
// Virga does not ask for yet: they come with the scripts of whoever moves here.
#pragma once

#include <span>
#include <string_view>

namespace virga::kernel {

// "VirtualMachine.Config.AddNewDisk", in no order.
std::span<const std::string_view> privileges_by_content();

}  // namespace virga::kernel

// The .vmxf beside a .vmx: what VMware's products keep of a VM outside its configuration. They
// write one for every VM and miss it in none; nothing of it is read here.
#pragma once

#include <string>
#include <string_view>

namespace virga::vmx {

// The text of a new one. `instance_uuid` in canonical form; `config_file`: the .vmx's name.
std::string make_vmxf(std::string_view instance_uuid, std::string_view config_file);

}  // namespace virga::vmx

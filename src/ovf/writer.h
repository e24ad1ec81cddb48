// Writing OVF descriptors: version 1, as VMware's products write it.
#pragma once

#include <string>

#include "ovf/envelope.h"

namespace virga::ovf {

// read() finds in it what `envelope` says, but for lines.
std::string write(const Envelope& envelope);

}  // namespace virga::ovf

// Switching that only keeps the books: same rules, same errors, no network, no processes, nothing
// on disk. For scale tests.
#pragma once

#include "switching/switching.h"

namespace virga::switching {

std::shared_ptr<Switching> make_sim_switching();

}  // namespace virga::switching

// Guests that exist only as state in this process: every transition instant, counters plausible, an
// agent that answers. For tests of everything above, and of scale.
#pragma once

#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace virga::hypervisor {

struct SimOptions {
  std::string state_directory;  // one small file per machine, for adopt(); empty: remember nothing
};

std::unique_ptr<Hypervisor> make_sim_hypervisor(asio::any_io_executor executor,
                                                SimOptions options = {});

}  // namespace virga::hypervisor

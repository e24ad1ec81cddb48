// The time, as the API tells it: UTC, in microseconds.
#pragma once

#include "model/values.h"

namespace virga::model {

inline Time now() {
  return std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
}

}  // namespace virga::model

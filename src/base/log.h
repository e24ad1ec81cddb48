// Logging: one line an event, to standard error, in the form
//   2026-01-02T03:04:05.678Z info  [hypervisor] started vm=web01 pid=4711
// Secrets (passwords, tickets, session ids) are never passed to it.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace virga {

// The logger of one module; made on first use. Thread-safe.
std::shared_ptr<spdlog::logger> logger(const std::string& module);

// Sets the level of every logger, present and future: trace, debug, info, warn, error, off.
void set_log_level(const std::string& level);

}  // namespace virga

// Locks of a whole file that belong to the process: fcntl()'s. They end with it, and its children
// do not inherit them: one that is about to become a guest, and outlives its daemon for a moment,
// does not keep out the next. Closing any descriptor of the file gives the lock up.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/file.h"

namespace virga {

// False: another process has it.
bool take_process_lock(const Fd& file);
void wait_for_process_lock(const Fd& file);
// Another process that has it.
std::optional<pid_t> process_lock_holder(const Fd& file);

}  // namespace virga

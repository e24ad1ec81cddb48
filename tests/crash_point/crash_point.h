// kill -9 at a chosen step: a program that runs with this library dies just before its Nth step
// that outlives it, such as a rename, an fsync, a fork, or a message on a Unix socket. To go
// through every N until the work is done is to have killed it in the middle of everything it does.
#pragma once

namespace virga {

// Counts from here on; 0 counts no more.
void crash_before_step(long number);

}  // namespace virga

// What every daemon of the API is made of, in one place. The daemon makes a Kernel, fills the
// inventory, and serves it (kernel/sdk_service.h).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>

#include "kernel/authorization.h"
#include "kernel/call.h"
#include "kernel/inventory.h"
#include "kernel/session.h"
#include "kernel/task.h"

namespace virga::kernel {

class Accounts;
class Database;
class EventLog;

struct Kernel {
  explicit Kernel(asio::any_io_executor executor)
      : executor(executor), inventory(executor), sessions(inventory), tasks(inventory) {}
  // Waits for what the pools have begun: it may refer to everything else here.
  ~Kernel() {
    readers.join();
    workers.join();
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  asio::any_io_executor executor;          // the kernel executor: one thread at a time
  asio::thread_pool readers{2};            // property reads
  asio::thread_pool workers{4};            // what blocks: files, disks, hashing
  // Before the inventory: its objects refer to them to their end.
  std::shared_ptr<Database> database;
  std::shared_ptr<EventLog> events;
  std::shared_ptr<Accounts> accounts;
  Inventory inventory;
  SessionTable sessions;
  Authorization authorization;
  TaskTable tasks;
  MoRef root_folder;                       // the entity that guards what nothing nearer guards
};

}  // namespace virga::kernel

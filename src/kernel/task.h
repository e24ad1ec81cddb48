// Tasks: operations that go on after the call that asked for them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "kernel/call.h"
#include "kernel/object.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class TaskTable;

// What a running task tells and is told. Kernel executor, except report() and stop_token().
class TaskHandle {
 public:
  virtual ~TaskHandle() = default;
  // 0 to 100; any thread. Calls that change nothing cost nothing.
  virtual void report(int percent) = 0;
  // Asked to stop by CancelTask; the work throws RequestCanceled once it has cleaned up.
  virtual std::stop_token stop_token() const = 0;
  virtual MoRef task() const = 0;
};

struct TaskSpec {
  std::string method;          // "PowerOnVM_Task"
  std::string description_id;  // "VirtualMachine.powerOn"
  MoRef entity;
  std::string entity_name;
  bool cancelable = false;
};

// The tasks of a daemon and how one is run. Of those that have ended the newest 10,000 are kept:
// who starts thousands and asks for each afterwards still finds the first.
class TaskTable {
 public:
  TaskTable(Inventory& inventory, std::size_t keep = 10'000);
  ~TaskTable();

  // Starts `work` on the kernel executor and answers the task's reference at once, before the
  // work's first step. The task ends with the work: success and its value, or the fault it threw.
  MoRef run(model::Call& call, TaskSpec spec, std::function<Async<Any>(TaskHandle&)> work);
  // The same of the daemon's own accord.
  MoRef run(TaskSpec spec, std::function<Async<Any>(TaskHandle&)> work);

  // A task whose work somebody else does and reports through the API (CreateTask, SetTaskState).
  MoRef create(model::Call& call, TaskSpec spec);

  // Hears of every task's beginning: the event log does.
  void on_start(std::function<void(const vim::TaskInfo&)> hook);
  // Hears that recent() has changed.
  void on_change(std::function<void()> hook);

  // The newest 200, newest first.
  std::vector<MoRef> recent() const;
  // Of every task that is kept, oldest first.
  std::vector<model::Ptr<vim::TaskInfo>> history() const;
  // Waits until no task runs, for a clean stop; those that can be cancelled are.
  Async<void> drain();

 private:
  struct State;
  MoRef run(model::Ptr<vim::TaskReason> reason, TaskSpec spec,
            std::function<Async<Any>(TaskHandle&)> work);

  std::shared_ptr<State> state_;
};

}  // namespace virga::kernel

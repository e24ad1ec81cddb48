// TaskManager and its collectors.
#pragma once

#include "kernel/history_collector.h"

namespace virga::kernel {

class TaskManager final : public Implements<vim::TaskManager> {
 public:
  TaskManager(Kernel& kernel, MoRef self);

  Async<MoRef> CreateCollectorForTasks(model::Call&,
                                       const vim::CreateCollectorForTasksRequestType&) override;
  Async<model::Ptr<vim::TaskInfo>> CreateTask(model::Call&, const vim::CreateTaskRequestType&) override;

 private:
  Kernel& kernel_;
};

class TaskHistoryCollector final : public HistoryCollector<vim::TaskHistoryCollector> {
 public:
  TaskHistoryCollector(Kernel& kernel, MoRef self, vim::TaskFilterSpec filter);

  Async<model::List<vim::TaskInfo>> ReadNextTasks(model::Call&,
                                                  const vim::ReadNextTasksRequestType&) override;
  Async<model::List<vim::TaskInfo>> ReadPreviousTasks(
      model::Call&, const vim::ReadPreviousTasksRequestType&) override;

 protected:
  std::vector<std::int64_t> keys() const override;
  void refresh_page() override;

 private:
  std::vector<model::Ptr<vim::TaskInfo>> selected() const;
  model::List<vim::TaskInfo> pick(const std::vector<std::size_t>& indexes) const;

  Kernel& kernel_;
  const vim::TaskFilterSpec filter_;
};

}  // namespace virga::kernel

// One of QEMU's block jobs, by its id; it must have been started with auto-dismiss off, so that its
// outcome waits for whoever asks.
#pragma once

#include <stop_token>
#include <string>

#include "base/async.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/qmp.h"

namespace virga::hypervisor {

class BlockJob {
 public:
  // `changed` is notified of every JOB_STATUS_CHANGE. `machine` is what errors name. All outlive
  // the object.
  BlockJob(Qmp& qmp, Signal& changed, std::string id, const std::string& machine)
      : qmp_(qmp), changed_(changed), id_(std::move(id)), machine_(machine) {}

  enum class Stage {
    ready,      // all is copied, and what is written meanwhile too; waits for "job-complete"
    concluded,  // it has ended
  };
  // Errors: why the job failed, cancelled, timed_out when it does not move on.
  Async<void> await(Stage stage, Progress progress, std::stop_token stop) const;
  // Ends it without its effect, unless it has just ended by itself: returns whether it had it.
  Async<bool> end() const;
  Async<void> dismiss() const;

 private:
  Async<json::object> query() const;  // empty when there is no such job

  Qmp& qmp_;
  Signal& changed_;
  std::string id_;
  const std::string& machine_;
};

}  // namespace virga::hypervisor

#include "hypervisor/qemu/block_job.h"

#include "base/error.h"
#include "hypervisor/qemu/fields.h"

namespace virga::hypervisor {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 250ms;
constexpr auto stall_timeout = 5min;

std::string status_of(const json::object& job) {
  return job.empty() ? "null" : std::string(job.at("status").as_string());
}

int percent_of(const json::object& job) {
  const double total = job.at("total-progress").to_number<double>();
  return total > 0 ? static_cast<int>(100 * job.at("current-progress").to_number<double>() / total)
                   : 0;
}

}  // namespace

Async<json::object> BlockJob::query() const {
  const json::value jobs = co_await qmp_.execute("query-jobs");
  for (const json::value& job : jobs.as_array())
    if (job.at("id").as_string() == id_) co_return job.as_object();
  co_return json::object();
}

Async<void> BlockJob::await(Stage stage, Progress progress, std::stop_token stop) const {
  std::int64_t reached = -1;
  auto last_moved = std::chrono::steady_clock::now();
  for (;;) {
    const json::object job = co_await query();
    const std::string status = status_of(job);
    if (status == "null")
      throw error(ErrorKind::gone, machine_, "QEMU of {} has lost its job {}", machine_, id_);
    if (const json::value* why = job.if_contains("error")) {
      const std::string words(why->as_string());
      const bool full = words.find("No space left") != std::string::npos;
      throw error(full ? ErrorKind::no_space : ErrorKind::io, machine_, "{} of {} failed: {}", id_,
                  machine_, words);
    }
    if (progress) progress(percent_of(job));
    if (status == "concluded") co_return;
    if (stop.stop_requested())
      throw error(ErrorKind::cancelled, machine_, "{} of {} was cancelled", id_, machine_);
    if (stage == Stage::ready && status == "ready") co_return;
    const auto now = std::chrono::steady_clock::now();
    const std::int64_t at = job.at("current-progress").to_number<std::int64_t>();
    if (at != std::exchange(reached, at)) last_moved = now;
    if (now - last_moved > stall_timeout)
      throw error(ErrorKind::timed_out, machine_, "{} of {} has not moved for {} minutes", id_,
                  machine_, stall_timeout.count());
    co_await changed_.wait(look_interval);
  }
}

Async<bool> BlockJob::end() const {
  bool asked = false;
  for (;;) {
    const json::object job = co_await query();
    const std::string status = status_of(job);
    if (status == "concluded") co_return !job.contains("error");
    if (status == "null") co_return false;
    // A job that is just ending takes no orders any more.
    const bool takes_orders = status == "running" || status == "ready" || status == "paused" ||
                              status == "standby" || status == "created";
    if (takes_orders && !std::exchange(asked, true))
      co_await qmp_.execute("block-job-cancel", fields("device", id_, "force", true));
    co_await changed_.wait(look_interval);
  }
}

Async<void> BlockJob::dismiss() const {
  co_await qmp_.execute("job-dismiss", fields("id", id_));
}

}  // namespace virga::hypervisor

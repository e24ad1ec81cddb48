// Suspending, resuming and keeping a guest's memory: by a copy to a file while the guest stands
// still, or with every page copied before the guest writes it. A guest that runs is never copied by
// rounds, as live migration does: under TCG that corrupts it.
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/huge_pages.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {
namespace {

using namespace std::chrono_literals;

constexpr auto progress_interval = 250ms;
constexpr auto stall_timeout = 60s;
constexpr auto finishing_interval = 2ms;

Fd create_state_file(const std::string& path, const std::string& header) {
  ::unlink(path.c_str());  // what is left of an attempt that nothing else remembers
  Fd file = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  write_all(file.get(), header, path);
  return file;
}

void name_complete_state(int file, const std::string& path) {
  if (::fsync(file) != 0) throw system_error(path, "cannot sync");
  if (::rename(unfinished_state(path).c_str(), path.c_str()) != 0)
    throw system_error(path, "cannot create");
  sync_directory(fs::path(path).parent_path());
}

double percent_sent(const json::object& reply) {
  const json::value* ram = reply.if_contains("ram");
  if (!ram) return 0;
  const double total = ram->at("total").to_number<double>();
  const double remaining = ram->at("remaining").to_number<double>();
  return total > 0 && ram->at("transferred").to_number<double>() > 0
             ? 100 * (total - remaining) / total
             : 0;
}

double percent_read(int file, off_t size) {
  return size > 0
             ? 100.0 * static_cast<double>(::lseek(file, 0, SEEK_CUR)) / static_cast<double>(size)
             : 0;
}

}  // namespace

Async<void> QemuMachine::record_operation(MachineRecord::Operation operation) {
  record_.operation = operation;
  const auto write = [directory = directory_, record = record_] {
    write_record(directory, record);
  };
  co_await offload(context_->pool, write);
}

Async<void> QemuMachine::prepare_migration() {
  json::array capabilities;
  capabilities.push_back(fields("capability", "events", "state", true));
  capabilities.push_back(fields("capability", "background-snapshot", "state", false));
  co_await qmp_->execute("migrate-set-capabilities",
                         fields("capabilities", std::move(capabilities)));
  // The file decides the speed; QEMU's own limit is 128 MiB/s.
  co_await qmp_->execute("migrate-set-parameters", fields("max-bandwidth", std::int64_t(1) << 40));
}

Async<void> QemuMachine::await_migration(std::function<double(const json::object&)> percent,
                                         Progress progress) {
  double reached = -1;
  auto last_moved = std::chrono::steady_clock::now();
  for (;;) {
    co_await migration_changed_.wait(progress_interval);
    const json::value answer = co_await qmp_->execute("query-migrate");
    const json::object& reply = answer.as_object();
    const json::value* found = reply.if_contains("status");
    const std::string status = found ? std::string(found->as_string()) : "none";
    const bool completed = status == "completed";
    if (status == "failed" || status == "cancelled") {
      const json::value* why = reply.if_contains("error-desc");
      const std::string words = why ? std::string(why->as_string()) : status;
      const bool full = words.find("No space left") != std::string::npos;
      throw error(full ? ErrorKind::no_space : ErrorKind::io, id(),
                  "QEMU of {} could not move its state: {}", record_.spec.name, words);
    }
    const double now_at = completed ? 100 : percent(reply);
    const auto now = std::chrono::steady_clock::now();
    if (now_at > reached) {
      reached = now_at;
      last_moved = now;
      if (progress) progress(static_cast<int>(reached));
    }
    if (completed) co_return;
    if (now - last_moved > stall_timeout)
      throw error(ErrorKind::timed_out, id(), "the state of {} has not moved for {} s",
                  record_.spec.name, stall_timeout.count());
  }
}

Async<void> QemuMachine::save(std::string path, Progress progress) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("suspend");
  if (state_ == MachineState::ready)
    throw error(ErrorKind::invalid_state, id(), "cannot suspend {}: it has not run yet",
                record_.spec.name);
  const auto exists = [path] { return fs::exists(path); };
  if (co_await offload(context_->pool, exists))
    throw error(ErrorKind::already_exists, path, "{} exists already", path);
  require_savable("be suspended");
  const bool was_running = state_ == MachineState::running;
  std::exception_ptr failure;
  try {
    record_.state_path = path;
    co_await record_operation(MachineRecord::Operation::saving);
    co_await write_state(path, std::move(progress));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    co_await end_process(Intent::save);
    co_return;
  }
  co_await undo_save(was_running);
  std::rethrow_exception(failure);
}

void QemuMachine::require_savable(const char* to) const {
  if (const auto device = unsavable_device(record_.spec))
    throw error(ErrorKind::unsupported, *device,
                "{} cannot {}: QEMU has no way to save the state of {}", record_.spec.name, to,
                *device);
}

// The file a state goes to; QEMU has it as "state" from here on.
Async<Fd> QemuMachine::begin_state(std::string path) {
  const std::string header = encode_header({.machine_type = record_.machine_type,
                                            .accelerator = record_.accelerator,
                                            .version = qmp_->version(),
                                            .spec = record_.spec});
  const auto create = [path, header] { return create_state_file(unfinished_state(path), header); };
  Fd file = co_await offload(context_->pool, create);
  co_await prepare_migration();
  co_await qmp_->execute("getfd", fields("fdname", "state"), file.get());
  co_return file;
}

Async<void> QemuMachine::stream_state(Progress progress) {
  co_await qmp_->execute("migrate", fields("uri", "fd:state"));
  co_await await_migration(percent_sent, std::move(progress));
}

Async<void> QemuMachine::complete_state(Fd file, std::string path) {
  const auto complete = [fd = file.get(), path] { name_complete_state(fd, path); };
  co_await offload(context_->pool, complete);
}

Async<void> QemuMachine::write_state(std::string path, Progress progress) {
  Fd file = co_await begin_state(path);
  set_state(MachineState::saving);
  co_await qmp_->execute("stop");
  co_await stream_state(std::move(progress));
  co_await complete_state(std::move(file), path);
}

// With the overlays put in place while the guest stands still. It goes on at once where QEMU can
// hold back what it writes to pages not copied yet (its user must be allowed userfaultfd), else
// when all is copied.
Async<void> QemuMachine::write_memory(std::string path, json::array overlays, Progress progress) {
  Fd file = co_await begin_state(path);
  const bool goes_on_meanwhile = co_await enable_background_snapshot();
  co_await qmp_->execute("stop");
  co_await put_overlays(std::move(overlays));
  co_await stream_state(std::move(progress));
  if (!goes_on_meanwhile) co_await go_on();
  co_await complete_state(std::move(file), path);
  if (!goes_on_meanwhile) co_return;
  const auto join = [process = record_.process] { join_huge_pages(process); };
  co_await offload(context_->pool, join);
}

Async<bool> QemuMachine::enable_background_snapshot() {
  json::array capabilities;
  capabilities.push_back(fields("capability", "background-snapshot", "state", true));
  try {
    co_await qmp_->execute("migrate-set-capabilities",
                           fields("capabilities", std::move(capabilities)));
    co_return true;
  } catch (const Error& e) {
    logger("hypervisor")
        ->info("vm={}: it stands still while its memory is written: {}", record_.spec.name,
               e.what());
  }
  co_return false;
}

// A migration that is complete still takes a moment to finish: QEMU refuses to go on until then.
Async<void> QemuMachine::go_on() {
  const auto deadline = std::chrono::steady_clock::now() + context_->options.reply_timeout;
  for (;;) {
    const json::value reply = co_await qmp_->execute("query-status");
    if (reply.at("status") != "finish-migrate" || std::chrono::steady_clock::now() > deadline)
      break;
    co_await sleep_for(finishing_interval);
  }
  co_await qmp_->execute("cont");
}

bool QemuMachine::state_is_complete() const {
  return record_.operation == MachineRecord::Operation::saving && fs::exists(record_.state_path);
}

void QemuMachine::remove_unfinished_state() const {
  if (record_.operation == MachineRecord::Operation::saving ||
      record_.operation == MachineRecord::Operation::snapshotting)
    ::unlink(unfinished_state(record_.state_path).c_str());
}

// Whatever stage a save has reached, the guest still is as it was: only QEMU must be told to go on.
Async<void> QemuMachine::undo_save(bool was_running) {
  remove_unfinished_state();
  if (state_ == MachineState::exited) co_return;
  ::unlink(record_.state_path.c_str());  // it has its name when only syncing the directory failed
  try {
    co_await qmp_->execute("migrate_cancel");
    const auto deadline = std::chrono::steady_clock::now() + context_->options.reply_timeout;
    for (;;) {
      const json::value reply = co_await qmp_->execute("query-migrate");
      const json::value* status = reply.as_object().if_contains("status");
      const bool ending = status && (*status == "active" || *status == "cancelling" ||
                                     *status == "setup" || *status == "device");
      if (!ending || std::chrono::steady_clock::now() > deadline) break;
      co_await migration_changed_.wait(progress_interval);
    }
    if (was_running) co_await go_on();
    if (!was_running) set_state(MachineState::paused);
    co_await record_operation(MachineRecord::Operation::none);
  } catch (const Error& e) {
    logger("hypervisor")
        ->error("vm={}: saving its state could not be undone: {}", record_.spec.name, e.what());
  }
}

Async<void> QemuMachine::restore(std::shared_ptr<Fd> file, Progress progress) {
  const auto self = shared_from_this();
  const off_t start = ::lseek(file->get(), 0, SEEK_CUR);
  const off_t size = ::lseek(file->get(), 0, SEEK_END);
  ::lseek(file->get(), start, SEEK_SET);
  co_await prepare_migration();
  co_await qmp_->execute("getfd", fields("fdname", "state"), file->get());
  co_await qmp_->execute("migrate-incoming", fields("uri", "fd:state"));
  const auto percent = [file, size](const json::object&) {
    return percent_read(file->get(), size);
  };
  co_await await_migration(percent, std::move(progress));
}

}  // namespace virga::hypervisor

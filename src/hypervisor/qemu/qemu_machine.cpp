#include "hypervisor/qemu/qemu_machine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "hypervisor/qemu/command_line.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/launcher.h"

namespace virga::hypervisor {
namespace {

using namespace std::chrono_literals;

constexpr auto kill_timeout = 10s;
// How long a process that no longer answers may take to end by itself.
constexpr auto ending_timeout = 2s;

double time_of(const json::object& event) {
  const auto& timestamp = event.at("timestamp");
  return timestamp.at("seconds").to_number<double>() +
         timestamp.at("microseconds").to_number<double>() / 1e6;
}

std::string text(const json::object& data, std::string_view name) {
  const json::value* found = data.if_contains(name);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

bool flag(const json::object& data, std::string_view name) {
  const json::value* found = data.if_contains(name);
  return found && found->is_bool() && found->as_bool();
}

// The number after the last dash: "disk-2000", "/machine/…/disk-2000".
int key_in(const std::string& name) {
  const auto dash = name.rfind('-');
  return dash == std::string::npos ? 0 : std::atoi(name.c_str() + dash + 1);
}

std::uint64_t count(const json::value& stats, std::string_view name) {
  return stats.at(name).to_number<std::uint64_t>();
}

DiskCounters disk_counters(const json::value& stats) {
  return {.reads = count(stats, "rd_operations"),
          .writes = count(stats, "wr_operations"),
          .flushes = count(stats, "flush_operations"),
          .read_bytes = count(stats, "rd_bytes"),
          .written_bytes = count(stats, "wr_bytes"),
          .read_time = std::chrono::nanoseconds(count(stats, "rd_total_time_ns")),
          .write_time = std::chrono::nanoseconds(count(stats, "wr_total_time_ns")),
          .flush_time = std::chrono::nanoseconds(count(stats, "flush_total_time_ns"))};
}

std::uint64_t tap_statistic(const std::string& tap, const char* name) {
  try {
    return std::stoull(read_file(fmt::format("/sys/class/net/{}/statistics/{}", tap, name)));
  } catch (const std::exception&) {
    return 0;  // the tap is in another network namespace, or gone
  }
}

// What the tap receives is what the guest sends.
NicCounters nic_counters(const std::string& tap) {
  return {.received_bytes = tap_statistic(tap, "tx_bytes"),
          .received_packets = tap_statistic(tap, "tx_packets"),
          .sent_bytes = tap_statistic(tap, "rx_bytes"),
          .sent_packets = tap_statistic(tap, "rx_packets")};
}

}  // namespace

QemuMachine::QemuMachine(std::shared_ptr<QemuContext> context, MachineRecord record,
                         std::string directory, MachineState state)
    : context_(std::move(context)),
      record_(std::move(record)),
      directory_(std::move(directory)),
      state_(state),
      qmp_(std::make_shared<Qmp>(context_->executor, record_.spec.id,
                                 context_->options.reply_timeout)),
      agent_(context_->executor, record_.spec.id, agent_socket(directory_)),
      operations_(context_->executor),
      ended_(context_->executor),
      migration_changed_(context_->executor),
      jobs_changed_(context_->executor),
      devices_changed_(context_->executor) {}

QemuMachine::~QemuMachine() {
  if (process_) process_->stop();
  qmp_->on_event({});
  qmp_->close();
}

void QemuMachine::watch(Fd process) {
  process_ = std::make_shared<ProcessWatch>(context_->executor, std::move(process));
  process_->start([weak = weak_from_this()](std::optional<ProcessEnd> end) {
    const auto self = weak.lock();
    if (self) spawn(self->context_->executor, "end of a guest", finish(self, end));
  });
  qmp_->on_event([weak = weak_from_this()](const json::object& event) {
    if (const auto self = weak.lock()) self->handle(event);
  });
}

void QemuMachine::declare_dead(std::string detail) {
  exit_ = explain(std::nullopt);
  if (!detail.empty()) exit_->detail = std::move(detail);
  remove_unfinished_state();
  state_ = MachineState::exited;
  emit(Exited{*exit_});
}

Async<void> QemuMachine::connect(Fd monitor) {
  const auto self = shared_from_this();
  co_await qmp_->open(std::move(monitor));
  co_await refresh_facts();
  if (record_.spec.guest_agent) agent_.connect();
}

// What no event has told us because we were not there.
Async<void> QemuMachine::refresh_facts() {
  const json::value processors = co_await qmp_->execute("query-cpus-fast");
  vcpu_threads_.clear();
  for (const json::value& cpu : processors.as_array())
    vcpu_threads_.push_back(cpu.at("thread-id").to_number<pid_t>());
  const json::value lines = co_await qmp_->execute("query-chardev");
  for (const json::value& line : lines.as_array())
    if (line.at("label") == "agent") agent_connected_ = line.at("frontend-open").as_bool();
}

Async<void> QemuMachine::take_over() {
  const auto self = shared_from_this();
  const bool is_saved = state_is_complete();
  std::exception_ptr failure;
  try {
    co_await connect(connect_unix(qmp_socket(directory_)));
    if (!is_saved) co_await settle();
  } catch (...) {
    failure = std::current_exception();
  }
  if (is_saved) co_await end_process(Intent::save);
  if (!failure || is_saved) co_return;
  if (record_.operation == MachineRecord::Operation::starting) {
    co_await end_process(Intent::interrupted_start);
    co_return;
  }
  const bool ended = co_await wait_for_end(ending_timeout);
  if (!ended) std::rethrow_exception(failure);
}

Async<void> QemuMachine::settle() {
  const json::value reply = co_await qmp_->execute("query-status");
  const std::string status(reply.at("status").as_string());
  if (status == "shutdown") {
    handle_shutdown({{"guest", true}});
    co_return;
  }
  switch (record_.operation) {
    case MachineRecord::Operation::starting:
      if (status == "inmigrate") {
        co_await end_process(Intent::interrupted_start);
      } else if (status == "running") {
        co_await record_operation(MachineRecord::Operation::none);
      } else {
        state_ = MachineState::ready;
      }
      break;
    case MachineRecord::Operation::saving:
    case MachineRecord::Operation::snapshotting:
      co_await undo_save(true);
      break;
    case MachineRecord::Operation::resetting:
      co_await finish_reset();
      break;
    case MachineRecord::Operation::none:
      if (status != "running") state_ = MachineState::paused;
  }
  if (state_ != MachineState::exited) co_await settle_disks();
  if (state_ != MachineState::exited) co_await settle_growth();
  if (state_ != MachineState::exited) co_await lift_budgets();
  if (state_ != MachineState::exited && state_ != MachineState::ready) co_await settle_tracks();
  if (record_.frozen) spawn(context_->executor, "thawing a guest", thaw_guest());
}

Async<std::string> QemuMachine::discard() {
  const auto self = shared_from_this();
  observer_ = [](const MachineEvent&) {};
  process_->kill();
  co_await wait_for_end(kill_timeout);
  co_return exit_ ? exit_->detail : std::string();
}

// ---- Events

void QemuMachine::on_event(Observer observer) {
  observer_ = std::move(observer);
  for (MachineEvent& event : std::exchange(unheard_, {})) deliver(std::move(event));
}

void QemuMachine::emit(MachineEvent event) {
  if (observer_) {
    deliver(std::move(event));
  } else {
    unheard_.push_back(std::move(event));
  }
}

void QemuMachine::deliver(MachineEvent event) {
  asio::post(context_->executor, [self = shared_from_this(), event = std::move(event)] {
    const Observer observer = self->observer_;  // it may replace itself
    if (observer) observer(event);
  });
}

void QemuMachine::set_state(MachineState state) {
  if (state == state_) return;
  const MachineState former = std::exchange(state_, state);
  emit(StateChanged{former, state});
}

bool QemuMachine::repeated(const std::string& what, double at, double window) {
  const auto [known, fresh] = last_seen_.try_emplace(what, at);
  return !fresh && at - std::exchange(known->second, at) < window;
}

void QemuMachine::handle(const json::object& event) {
  const std::string name = text(event, "event");
  const json::value* found = event.if_contains("data");
  const json::object data = found ? found->as_object() : json::object();
  if (name == "STOP" || name == "RESUME") {
    handle_stop_and_resume(name);
  } else if (name == "SHUTDOWN") {
    handle_shutdown(data);
  } else if (name == "RESET") {
    // The firmware resets once or twice more on its way up: that is one restart.
    if (!repeated("reset", time_of(event), 1)) emit(WasReset{.by_guest = flag(data, "guest")});
  } else if (name == "VSERPORT_CHANGE" && text(data, "id") == "agent-port") {
    agent_connected_ = flag(data, "open");
    if (agent_connected_) {
      agent_.connect();
      // The agent that froze the guest has ended without thawing it.
      if (record_.frozen) spawn(context_->executor, "thawing a guest", thaw_guest());
    } else {
      agent_.close();
    }
    emit(AgentChanged{agent_connected_});
  } else if (name == "DEVICE_TRAY_MOVED" && !moving_medium_) {
    emit(TrayMoved{key_in(text(data, "id")), flag(data, "tray-open")});
  } else if (name == "WATCHDOG") {
    emit(WatchdogExpired{});
  } else if (name == "BLOCK_IO_ERROR") {
    handle_storage_error(data, time_of(event));
  } else if (name == "DEVICE_DELETED") {
    released_.insert(text(data, "device"));
    devices_changed_.notify();
  } else if (name == "DEVICE_UNPLUG_GUEST_ERROR") {
    refused_.insert(text(data, "device"));
    devices_changed_.notify();
  } else if (name == "MIGRATION") {
    migration_changed_.notify();
  } else if (name == "JOB_STATUS_CHANGE") {
    jobs_changed_.notify();
  }
}

void QemuMachine::handle_stop_and_resume(const std::string& name) {
  if (name == "RESUME") {
    set_state(MachineState::running);
  } else if (state_ == MachineState::running) {
    set_state(MachineState::paused);
  }
}

void QemuMachine::handle_shutdown(const json::object& data) {
  if (text(data, "reason") == "host-signal") ended_by_signal_ = true;
  if (!flag(data, "guest")) return;
  set_state(MachineState::shut_down);
  spawn(context_->executor, "end of a guest that shut down", end_process(Intent::guest_shutdown));
}

void QemuMachine::handle_storage_error(const json::object& data, double at) {
  const bool paused = text(data, "action") == "stop";
  const int key = key_of_node(text(data, "node-name"));
  // A guest that retries a bad sector could report it thousands of times a second.
  if (!paused && repeated(fmt::format("storage {}", key), at, 10)) return;
  emit(StorageFailed{
      .disk_key = key,
      .out_of_space = paused,
      .message = fmt::format("{} failed: {}", text(data, "operation"), text(data, "reason"))});
}

// ---- The end

Async<void> QemuMachine::finish(std::shared_ptr<QemuMachine> self, std::optional<ProcessEnd> end) {
  // What QEMU said last may explain why it ended.
  co_await self->qmp_->wait_closed(1s);
  self->exit_ = self->explain(end);
  self->remove_unfinished_state();
  self->agent_connected_ = false;
  self->agent_.close();
  std::error_code ignored;
  fs::remove_all(self->directory_, ignored);
  logger("hypervisor")
      ->info("ended vm={} how=\"{}\"", self->record_.spec.name, describe(*self->exit_));
  self->set_state(MachineState::exited);
  self->emit(Exited{*self->exit_});
  self->ended_.notify();
  self->devices_changed_.notify();
  self->migration_changed_.notify();
  self->jobs_changed_.notify();
}

Exit QemuMachine::explain(std::optional<ProcessEnd> end) const {
  const std::string words = read_output_tail(directory_);
  if (state_is_complete()) return {Exit::Cause::saved};
  switch (intent_) {
    case Intent::power_off:
      return {Exit::Cause::powered_off};
    case Intent::guest_shutdown:
      return {Exit::Cause::guest_shut_down};
    case Intent::save:
      return {Exit::Cause::saved};
    case Intent::interrupted_start:
      return {Exit::Cause::interrupted_start};
    case Intent::none:
      break;
  }
  if (ended_by_signal_) return {Exit::Cause::killed, SIGTERM, words};
  if (!end && record_.operation == MachineRecord::Operation::starting)
    return {Exit::Cause::interrupted_start, 0, words};
  if (!end) return {Exit::Cause::unknown, 0, words};
  if (end->signalled) return {Exit::Cause::killed, end->code, words};
  return {Exit::Cause::failed, end->code, words};
}

Async<bool> QemuMachine::wait_for_end(std::chrono::steady_clock::duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (state_ != MachineState::exited) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= 0s) co_return false;
    co_await ended_.wait(left);
  }
  co_return true;
}

Async<void> QemuMachine::end_process(Intent intent) {
  const auto self = shared_from_this();
  if (intent_ == Intent::none) intent_ = intent;
  if (qmp_->is_open()) co_await end_tracks();
  if (qmp_->is_open()) {
    qmp_->post("quit");
    const bool ended = co_await wait_for_end(context_->options.quit_timeout);
    if (ended) co_return;
  }
  process_->kill();
  const bool ended = co_await wait_for_end(kill_timeout);
  if (!ended)
    throw error(ErrorKind::timed_out, id(), "process {} of {} does not end, even killed",
                record_.process.pid, record_.spec.name);
}

// ---- Power

void QemuMachine::require_alive(const char* doing) const {
  if (state_ == MachineState::exited || state_ == MachineState::shut_down)
    throw error(ErrorKind::invalid_state, id(), "cannot {} {}: it does not run", doing,
                record_.spec.name);
}

void QemuMachine::require_stoppable(const char* doing) const {
  require_alive(doing);
  if (state_ == MachineState::saving)
    throw error(ErrorKind::busy, id(), "cannot {} {}: it is being suspended", doing,
                record_.spec.name);
}

Async<void> QemuMachine::power_off() {
  const auto self = shared_from_this();
  if (state_ != MachineState::exited) co_await end_process(Intent::power_off);
}

Async<void> QemuMachine::reset(std::map<int, std::string> fresh) {
  const auto self = shared_from_this();
  require_stoppable("reset");
  const auto guard = co_await operations_.lock();
  if (!fresh.empty()) {
    co_await reset_discarding(std::move(fresh));
  } else {
    co_await qmp_->execute("system_reset");
  }
}

Async<void> QemuMachine::pause() {
  const auto self = shared_from_this();
  require_stoppable("pause");
  co_await qmp_->execute("stop");
}

Async<void> QemuMachine::resume() {
  const auto self = shared_from_this();
  require_stoppable("resume");
  const auto guard = co_await operations_.lock();
  const bool first = state_ == MachineState::ready;
  if (first) {
    for (const Nic& nic : record_.spec.nics)
      if (!nic.link_up) co_await set_cable(device_id(nic), false);
    for (const Disk& disk : record_.spec.disks)
      if (disk.iops_limit != 0) co_await throttle(disk.key);
    co_await begin_tracks();
  }
  co_await qmp_->execute("cont");
  if (first) co_await record_operation(MachineRecord::Operation::none);
}

// ---- The guest

Async<ShutdownMeans> QemuMachine::shutdown_guest() {
  const auto self = shared_from_this();
  require_stoppable("shut down");
  if (agent_connected_) {
    try {
      co_await agent_.tell("guest-shutdown", fields("mode", "powerdown"));
      co_return ShutdownMeans::guest_agent;
    } catch (const Error& e) {
      logger("hypervisor")
          ->warn("vm={}: {}; pressing the power button", record_.spec.name, e.what());
    }
  }
  co_await qmp_->execute("system_powerdown");
  co_return ShutdownMeans::acpi;
}

Async<void> QemuMachine::reboot_guest() {
  const auto self = shared_from_this();
  require_stoppable("restart");
  if (!agent_connected_)
    throw error(ErrorKind::invalid_state, id(),
                "cannot restart the guest of {}: no agent runs in it", record_.spec.name);
  co_await agent_.tell("guest-shutdown", fields("mode", "reboot"));
}

Async<void> QemuMachine::freeze_guest(std::chrono::steady_clock::duration timeout) {
  const auto self = shared_from_this();
  require_stoppable("quiesce");
  if (!agent_connected_)
    throw error(ErrorKind::invalid_state, id(),
                "cannot quiesce the guest of {}: no agent runs in it", record_.spec.name);
  {
    const auto guard = co_await operations_.lock();
    record_.frozen = true;
    co_await record_operation(record_.operation);
  }
  std::exception_ptr failure;
  try {
    co_await agent_.execute("guest-fsfreeze-freeze", json::object(), timeout);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  // An agent that was only too slow may have frozen them after all.
  spawn(context_->executor, "thawing a guest", thaw_guest());
  std::rethrow_exception(failure);
}

Async<void> QemuMachine::thaw_guest() {
  const auto self = shared_from_this();
  require_alive("thaw");
  co_await agent_.execute("guest-fsfreeze-thaw");
  const auto guard = co_await operations_.lock();
  record_.frozen = false;
  if (state_ != MachineState::exited) co_await record_operation(record_.operation);
}

Async<GuestInfo> QemuMachine::guest_info() {
  const auto self = shared_from_this();
  if (!agent_connected_ || state_ != MachineState::running) co_return GuestInfo{};
  co_return co_await agent_.info();
}

void QemuMachine::require_agent(const char* to) const {
  require_alive(to);
  if (!agent_connected_ || state_ != MachineState::running)
    throw error(ErrorKind::invalid_state, id(), "cannot {} the guest of {}: no agent runs in it",
                to, record_.spec.name);
}

Async<std::int64_t> QemuMachine::start_guest_program(GuestProgram program) {
  const auto self = shared_from_this();
  require_agent("run a program in");
  co_return co_await agent_.start(std::move(program));
}

Async<GuestProgramState> QemuMachine::guest_program_state(std::int64_t pid) {
  const auto self = shared_from_this();
  require_agent("ask about a program in");
  co_return co_await agent_.state(pid);
}

// ---- Consoles

Async<Fd> QemuMachine::open_display() {
  const auto self = shared_from_this();
  require_alive("show the screen of");
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw system_error("socket", "cannot make");
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  const std::string name = fmt::format("display-{}", ++last_handle_);
  co_await qmp_->execute("getfd", fields("fdname", name), theirs.get());
  co_await qmp_->execute("add_client", fields("protocol", "vnc", "fdname", name, "skipauth", true));
  co_return ours;
}

const SerialPort& QemuMachine::find_socket_port(int key) const {
  const auto& ports = record_.spec.serial_ports;
  const auto at = std::ranges::find(ports, key, &SerialPort::key);
  const bool is_secure = at != ports.end() && at->network && at->network->security;
  if (at == ports.end() || (at->backend != LineBackend::socket && !is_secure))
    throw error(ErrorKind::not_found, id(), "{} has no serial port {} to connect to",
                record_.spec.name, key);
  return *at;
}

Async<Fd> QemuMachine::open_serial(int key) {
  const auto self = shared_from_this();
  require_alive("open a serial port of");
  co_return connect_unix(serial_socket(directory_, find_socket_port(key)));
}

std::string QemuMachine::serial_log(int key) const {
  return serial_log_path(directory_, find_socket_port(key));
}

Async<std::string> QemuMachine::screenshot() {
  const auto self = shared_from_this();
  require_alive("photograph");
  const Fd picture = make_memory_file("screenshot");
  // QEMU insists on a descriptor that can only write.
  const Fd writer = open_file(fmt::format("/proc/self/fd/{}", picture.get()), O_WRONLY);
  const int set = ++last_handle_;
  co_await qmp_->execute("add-fd", fields("fdset-id", set), writer.get());
  std::exception_ptr failure;
  try {
    co_await qmp_->execute("screendump", fields("filename", fdset_path(set), "format", "png"));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await attempt("remove-fd", fields("fdset-id", set));
  if (failure) std::rethrow_exception(failure);
  co_return read_file(fmt::format("/proc/self/fd/{}", picture.get()));
}

// ---- Counters

Async<Counters> QemuMachine::counters() {
  const auto self = shared_from_this();
  require_alive("measure");
  Counters counters;
  const pid_t pid = record_.process.pid;
  if (const auto stat = read_process_stat(pid)) counters.cpu_time = stat->cpu_time;
  for (const pid_t thread : vcpu_threads_)
    if (const auto time = read_thread_cpu_time(pid, thread)) counters.vcpu_time.push_back(*time);
  counters.resident_bytes = read_resident_bytes(pid);
  for (const Nic& nic : record_.spec.nics)
    if (!nic.tap.empty()) counters.nics[nic.key] = nic_counters(nic.tap);
  const json::value devices = co_await qmp_->execute("query-blockstats");
  for (const json::value& device : devices.as_array()) {
    const std::string name = text(device.as_object(), "qdev");
    if (const int key = key_in(name)) counters.disks[key] = disk_counters(device.at("stats"));
  }
  co_return counters;
}

}  // namespace virga::hypervisor

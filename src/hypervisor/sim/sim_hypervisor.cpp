#include "hypervisor/sim/sim_hypervisor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "hypervisor/saved_state.h"

namespace virga::hypervisor {
namespace {

using Clock = std::chrono::steady_clock;

// One file per machine, present while it runs. Nothing is synced: what is lost with the whole
// machine are guests that would have been lost with it.
class StateDirectory {
 public:
  explicit StateDirectory(std::string path) : path_(std::move(path)) {
    if (!path_.empty()) fs::create_directories(path_);
  }
  void remember(const MachineSpec& spec, MachineState now) const {
    if (path_.empty()) return;
    const json::object state = {{"state", static_cast<int>(now)},
                                {"machine", json::parse(to_json(spec))}};
    const std::string draft = file_of(spec.id) + "~";
    write_all(open_file(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600).get(), json::serialize(state),
              draft);
    fs::rename(draft, file_of(spec.id));
  }
  void forget(const std::string& id) const {
    if (!path_.empty()) ::unlink(file_of(id).c_str());
  }
  std::vector<std::pair<MachineSpec, MachineState>> recall() const {
    std::vector<std::pair<MachineSpec, MachineState>> all;
    if (path_.empty()) return all;
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().extension() != ".json") continue;
      const json::value state = json::parse(read_file(entry.path()));
      all.emplace_back(machine_spec_from_json(json::serialize(state.at("machine"))),
                       static_cast<MachineState>(state.at("state").to_number<int>()));
    }
    return all;
  }

 private:
  std::string file_of(const std::string& id) const { return path_ + "/" + id + ".json"; }
  std::string path_;
};

// How busy a machine pretends to be, 2 to 31 percent: always the same for the same machine.
double load_of(const std::string& id) {
  return 0.02 + static_cast<double>(std::hash<std::string>{}(id) % 30) / 100;
}

// An address in 10.0.0.0/8 that follows from the last three bytes of the MAC.
std::string address_of(const std::string& mac) {
  const auto byte = [&](std::size_t at) { return std::stoi(mac.substr(at, 2), nullptr, 16); };
  return fmt::format("10.{}.{}.{}", byte(9), byte(12), byte(15));
}

template <class Device>
void erase_key(std::vector<Device>& devices, int key) {
  std::erase_if(devices, [key](const Device& device) { return device.key == key; });
}
template <class Device>
Device& at_key(std::vector<Device>& devices, int key) {
  return *std::ranges::find(devices, key, &Device::key);
}

class SimMachine final : public Machine, public std::enable_shared_from_this<SimMachine> {
 public:
  SimMachine(asio::any_io_executor executor, std::shared_ptr<const StateDirectory> directory,
             MachineSpec spec, MachineState state)
      : executor_(std::move(executor)),
        directory_(std::move(directory)),
        spec_(std::move(spec)),
        state_(state),
        since_(Clock::now()) {
    directory_->remember(spec_, state_);
  }

  const std::string& id() const override { return spec_.id; }
  const MachineSpec& spec() const override { return spec_; }
  MachineState state() const override { return state_; }
  const std::optional<Exit>& exit() const override { return exit_; }
  bool agent_connected() const override {
    return spec_.guest_agent && state_ == MachineState::running;
  }
  void on_event(Observer observer) override {
    observer_ = std::move(observer);
    for (MachineEvent& event : std::exchange(unheard_, {})) deliver(std::move(event));
  }

  Async<void> power_off() override {
    if (state_ != MachineState::exited) end({Exit::Cause::powered_off});
    co_return;
  }
  Async<void> reset(std::map<int, std::string> fresh) override {
    require_alive("reset");
    MachineSpec changed = spec_;
    for (const auto& [key, path] : fresh) {
      find_disk(spec_, key);
      at_key(changed.disks, key).chain.back() = {path, DiskFormat::qcow2};
    }
    keep(std::move(changed));
    emit(WasReset{.by_guest = false});
    co_return;
  }
  Async<void> pause() override {
    require_alive("pause");
    set_state(MachineState::paused);
    co_return;
  }
  Async<void> resume() override {
    require_alive("resume");
    set_state(MachineState::running);
    co_return;
  }
  Async<void> save(std::string path, Progress progress) override {
    require_alive("suspend");
    const std::string header =
        encode_header({.machine_type = "sim", .accelerator = "sim", .version = "1", .spec = spec_});
    if (fs::exists(path)) throw error(ErrorKind::already_exists, path, "{} exists already", path);
    write_file_atomically(path, header, 0600);
    if (progress) progress(100);
    end({Exit::Cause::saved});
    co_return;
  }

  Async<void> snapshot(SnapshotRequest request) override {
    require_alive("take a snapshot of");
    if (request.memory) {
      const std::string header = encode_header(
          {.machine_type = "sim", .accelerator = "sim", .version = "1", .spec = spec_});
      write_file_atomically(*request.memory, header, 0600);
      if (request.progress) request.progress(100);
    }
    MachineSpec changed = spec_;
    for (const auto& [key, path] : request.overlays) {
      find_disk(spec_, key);
      at_key(changed.disks, key).chain.push_back({path, DiskFormat::qcow2});
    }
    keep(std::move(changed));
    co_return;
  }
  // A simulated guest writes nothing: there is nothing to merge.
  Async<void> merge(MergeRequest request) override {
    require_alive("merge images of");
    MachineSpec changed = spec_;
    find_disk(spec_, request.disk_key);
    auto& chain = at_key(changed.disks, request.disk_key).chain;
    const auto into = std::ranges::find(chain, request.into, &DiskImage::path);
    const auto top = std::ranges::find(chain, request.top, &DiskImage::path);
    if (into >= top || top == chain.end())
      throw error(ErrorKind::invalid_argument, id(), "{} does not lie below {}", request.into,
                  request.top);
    const bool is_written = top + 1 == chain.end();
    chain.erase(into + 1, top + 1);
    keep(std::move(changed));
    if (request.progress) request.progress(100);
    if (is_written && request.commit) co_await request.commit();
  }
  Async<void> freeze_guest(std::chrono::steady_clock::duration) override {
    require_agent("quiesce");
    co_return;
  }
  Async<void> thaw_guest() override {
    require_agent("thaw");
    co_return;
  }

  Async<ShutdownMeans> shutdown_guest() override {
    require_alive("shut down");
    const ShutdownMeans means =
        agent_connected() ? ShutdownMeans::guest_agent : ShutdownMeans::acpi;
    set_state(MachineState::shut_down);
    end({Exit::Cause::guest_shut_down});
    co_return means;
  }
  Async<void> reboot_guest() override {
    require_agent("restart");
    emit(WasReset{.by_guest = true});
    co_return;
  }
  Async<GuestInfo> guest_info() override {
    GuestInfo info;
    if (agent_connected()) info = describe_guest();
    co_return info;
  }

  Async<std::int64_t> start_guest_program(GuestProgram) override {
    require_agent("run a program in");
    throw error(ErrorKind::unsupported, id(), "{} is simulated: it runs no programs", spec_.name);
  }
  Async<GuestProgramState> guest_program_state(std::int64_t pid) override {
    throw error(ErrorKind::not_found, id(), "{} runs no program {}", spec_.name, pid);
  }

  Async<void> add_controller(Controller controller) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.controllers.push_back(controller);
    keep(std::move(changed));
    co_return;
  }
  Async<void> remove_controller(int key) override {
    require_alive("change");
    require_hot_plug(find_controller(spec_, key));
    MachineSpec changed = spec_;
    erase_key(changed.controllers, key);
    keep(std::move(changed));
    co_return;
  }
  Async<void> add_disk(Disk disk) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.disks.push_back(disk);
    validate(changed);
    require_hot_plug(find_controller(changed, disk.controller_key));
    keep(std::move(changed));
    co_return;
  }
  Async<void> remove_disk(int key) override {
    require_alive("change");
    require_hot_plug(find_controller(spec_, find_disk(spec_, key).controller_key));
    MachineSpec changed = spec_;
    erase_key(changed.disks, key);
    std::erase(changed.boot_order, device_id(find_disk(spec_, key)));
    keep(std::move(changed));
    co_return;
  }
  Async<void> limit_disk(int key, std::uint64_t iops) override {
    require_alive("change");
    MachineSpec changed = spec_;
    find_disk(spec_, key);
    at_key(changed.disks, key).iops_limit = iops;
    keep(std::move(changed));
    co_return;
  }
  // A simulated disk is never busy.
  Async<void> budget_disk(int key, std::uint64_t) override {
    require_alive("change");
    find_disk(spec_, key);
    co_return;
  }
  Async<void> resize_disk(int key, std::uint64_t bytes) override {
    require_alive("change");
    const std::string path = find_disk(spec_, key).chain.back().path;
    if (fs::exists(path)) fs::resize_file(path, bytes);
    co_return;
  }
  Async<void> add_nic(Nic nic, Fd) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.nics.push_back(nic);
    keep(std::move(changed));
    co_return;
  }
  Async<void> remove_nic(int key) override {
    require_alive("change");
    MachineSpec changed = spec_;
    erase_key(changed.nics, key);
    std::erase(changed.boot_order, device_id(find_nic(spec_, key)));
    keep(std::move(changed));
    co_return;
  }
  Async<void> set_link(int key, bool up) override {
    require_alive("change");
    find_nic(spec_, key);
    MachineSpec changed = spec_;
    at_key(changed.nics, key).link_up = up;
    keep(std::move(changed));
    co_return;
  }
  Async<void> change_medium(int drive_key, std::optional<std::string> path) override {
    require_alive("change");
    MachineSpec changed = spec_;
    medium_of(changed, drive_key) = std::move(path);
    keep(std::move(changed));
    co_return;
  }
  Async<void> add_vcpus(int count) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.vcpus += count;
    keep(std::move(changed));
    co_return;
  }
  Async<void> add_memory(std::uint64_t mib) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.memory_mib += mib;
    changed.dimms.push_back(mib);
    keep(std::move(changed));
    co_return;
  }
  Async<void> add_usb_device(UsbDevice device) override {
    require_alive("change");
    MachineSpec changed = spec_;
    changed.usb_devices.push_back(std::move(device));
    keep(std::move(changed));
    co_return;
  }
  Async<void> remove_usb_device(int key) override {
    require_alive("change");
    find_usb_device(spec_, key);
    MachineSpec changed = spec_;
    erase_key(changed.usb_devices, key);
    keep(std::move(changed));
    co_return;
  }

  // The co_return after a throw is what makes each of these a coroutine.
  Async<Fd> open_display() override {
    throw refusal("screen");
    co_return Fd();
  }
  Async<Fd> open_serial(int) override {
    throw refusal("serial line");
    co_return Fd();
  }
  std::string serial_log(int) const override { throw refusal("serial line"); }
  Async<std::string> screenshot() override {
    throw refusal("screen");
    co_return std::string();
  }

  Fd process() const override { return {}; }
  Async<Counters> counters() override {
    require_alive("measure");
    const auto ran = running_time();
    const double load = load_of(id());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(ran).count();
    const auto units = static_cast<std::uint64_t>(static_cast<double>(seconds) * load * 100);
    const auto busy = std::chrono::nanoseconds(
        static_cast<std::int64_t>(static_cast<double>(ran.count()) * load));
    Counters counters;
    counters.vcpu_time.assign(static_cast<std::size_t>(spec_.vcpus), busy);
    counters.cpu_time = busy * spec_.vcpus;
    counters.resident_bytes = spec_.memory_mib * (1 << 20) / 2;
    for (const Disk& disk : spec_.disks)
      counters.disks[disk.key] = {.reads = units,
                                  .writes = units / 2,
                                  .flushes = units / 10,
                                  .read_bytes = units * 16384,
                                  .written_bytes = units * 4096};
    for (const Nic& nic : spec_.nics)
      counters.nics[nic.key] = {.received_bytes = units * 900,
                                .received_packets = units,
                                .sent_bytes = units * 300,
                                .sent_packets = units};
    co_return counters;
  }

 private:
  void require_alive(const char* doing) const {
    if (state_ == MachineState::exited)
      throw error(ErrorKind::invalid_state, id(), "cannot {} {}: it does not run", doing,
                  spec_.name);
  }
  void require_agent(const char* doing) const {
    require_alive(doing);
    if (!agent_connected())
      throw error(ErrorKind::invalid_state, id(), "cannot {} the guest of {}: no agent runs in it",
                  doing, spec_.name);
  }
  void require_hot_plug(const Controller& controller) const {
    if (!is_hot_pluggable(controller.model))
      throw error(ErrorKind::unsupported, device_id(controller),
                  "nothing can change on {} while the machine runs", device_id(controller));
  }
  Error refusal(const char* what) const {
    return error(ErrorKind::unsupported, id(), "{} is simulated and has no {}", spec_.name, what);
  }

  void keep(MachineSpec changed) {
    validate(changed);
    spec_ = std::move(changed);
    directory_->remember(spec_, state_);
  }

  std::chrono::nanoseconds running_time() const {
    return state_ == MachineState::running ? ran_ + (Clock::now() - since_) : ran_;
  }

  void set_state(MachineState state) {
    if (state == state_) return;
    ran_ = running_time();
    since_ = Clock::now();
    const bool had_agent = agent_connected();
    const MachineState former = std::exchange(state_, state);
    emit(StateChanged{former, state});
    if (agent_connected() != had_agent) emit(AgentChanged{!had_agent});
    if (state == MachineState::running || state == MachineState::paused)
      directory_->remember(spec_, state);
  }

  void end(Exit exit) {
    exit_ = std::move(exit);
    directory_->forget(id());
    set_state(MachineState::exited);
    emit(Exited{*exit_});
  }

  void emit(MachineEvent event) {
    if (observer_) {
      deliver(std::move(event));
    } else {
      unheard_.push_back(std::move(event));
    }
  }
  void deliver(MachineEvent event) {
    asio::post(executor_, [self = shared_from_this(), event = std::move(event)] {
      const Observer observer = self->observer_;
      if (observer) observer(event);
    });
  }

  GuestInfo describe_guest() const {
    GuestInfo info{.agent_running = true, .agent_version = "1", .host_name = spec_.name};
    info.os = {.id = "sim",
               .name = "Simulated guest",
               .pretty_name = "Simulated guest",
               .version = "1",
               .kernel = "1",
               .machine = "x86_64"};
    for (const Nic& nic : spec_.nics)
      info.nics.push_back({.name = fmt::format("eth{}", nic.slot),
                           .mac = nic.mac,
                           .addresses = {{address_of(nic.mac), 8}}});
    return info;
  }

  asio::any_io_executor executor_;
  std::shared_ptr<const StateDirectory> directory_;
  MachineSpec spec_;
  MachineState state_;
  std::optional<Exit> exit_;
  Observer observer_;
  std::vector<MachineEvent> unheard_;
  Clock::time_point since_;
  std::chrono::nanoseconds ran_{};
};

class SimHypervisor final : public Hypervisor {
 public:
  SimHypervisor(asio::any_io_executor executor, SimOptions options)
      : executor_(std::move(executor)),
        directory_(std::make_shared<StateDirectory>(std::move(options.state_directory))) {}

  Async<Capabilities> capabilities() override {
    Capabilities capabilities{.backend = "sim",
                              .version = "1",
                              .accelerator = "sim",
                              .accelerator_reason = "guests are simulated",
                              .machine_type = "sim",
                              .max_vcpus = 255,
                              .max_memory_mib = 1 << 24};
    co_return capabilities;
  }

  Async<std::shared_ptr<Machine>> start(MachineSpec spec, StartOptions options) override {
    validate(spec);
    if (is_held(spec.id))
      throw error(ErrorKind::already_exists, spec.id, "{} runs already", spec.name);
    if (options.restore_from) {
      const std::string block = read_file(*options.restore_from);
      const SavedState saved = decode_header(block, *options.restore_from);
      check_restorable(saved, spec, "sim");
      adopt_growth(saved, spec);
      if (options.progress) options.progress(100);
    }
    co_return hold(std::move(spec), MachineState::ready);
  }

  Async<std::vector<std::shared_ptr<Machine>>> adopt() override {
    std::vector<std::shared_ptr<Machine>> adopted;
    for (auto& [spec, state] : directory_->recall())
      if (!is_held(spec.id)) adopted.push_back(hold(std::move(spec), state));
    co_return adopted;
  }
  Async<void> merge_unused(std::vector<DiskImage>, std::size_t, Progress progress,
                           std::stop_token) override {
    if (progress) progress(100);
    co_return;
  }

 private:
  bool is_held(const std::string& id) const {
    const auto found = machines_.find(id);
    const auto machine = found == machines_.end() ? nullptr : found->second.lock();
    return machine && machine->state() != MachineState::exited;
  }
  std::shared_ptr<Machine> hold(MachineSpec spec, MachineState state) {
    auto machine = std::make_shared<SimMachine>(executor_, directory_, std::move(spec), state);
    machines_[machine->id()] = machine;
    return machine;
  }

  asio::any_io_executor executor_;
  std::shared_ptr<const StateDirectory> directory_;
  std::map<std::string, std::weak_ptr<SimMachine>> machines_;
};

}  // namespace

std::unique_ptr<Hypervisor> make_sim_hypervisor(asio::any_io_executor executor,
                                                SimOptions options) {
  return std::make_unique<SimHypervisor>(std::move(executor), std::move(options));
}

}  // namespace virga::hypervisor

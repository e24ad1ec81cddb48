// One guest under QEMU. How it is started is the hypervisor's business (qemu_hypervisor.cpp); this
// is what can be done with it while it runs.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/async.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/guest_agent.h"
#include "hypervisor/qemu/machine_record.h"
#include "hypervisor/qemu/process_watch.h"
#include "hypervisor/qemu/qemu_hypervisor.h"
#include "hypervisor/qemu/qmp.h"
#include "hypervisor/saved_state.h"
#include "vmx/change_track.h"

namespace virga::hypervisor {

// What a hypervisor shares with its machines.
struct QemuContext {
  QemuContext(asio::any_io_executor executor, QemuOptions options)
      : executor(std::move(executor)), options(std::move(options)) {}

  asio::any_io_executor executor;
  QemuOptions options;
  asio::thread_pool pool{2};  // for what blocks
};

class QemuMachine final : public Machine, public std::enable_shared_from_this<QemuMachine> {
 public:
  // `state`: ready when it is started, running when it is adopted.
  QemuMachine(std::shared_ptr<QemuContext> context, MachineRecord record, std::string directory,
              MachineState state);
  ~QemuMachine() override;

  // The steps of a start and of an adoption, in this order.
  void watch(Fd process);  // a pidfd
  // Instead of all the others, when there is no process; `detail` is why, where that is known.
  void declare_dead(std::string detail);
  Async<void> connect(Fd monitor);
  // Feeds the saved state in `file`, positioned at its stream, to a QEMU started for that.
  Async<void> restore(std::shared_ptr<Fd> file, Progress progress);
  // Instead of the two before: connects, and finishes or undoes what the former daemon was about.
  // Throws when the process neither answers nor ends.
  Async<void> take_over();
  // Ends the process without a word to anybody; returns what it wrote last.
  Async<std::string> discard();

  const std::string& id() const override { return record_.spec.id; }
  const MachineSpec& spec() const override { return record_.spec; }
  MachineState state() const override { return state_; }
  const std::optional<Exit>& exit() const override { return exit_; }
  bool agent_connected() const override { return agent_connected_; }
  void on_event(Observer observer) override;

  Async<void> power_off() override;
  Async<void> reset(std::map<int, std::string> fresh) override;
  Async<void> pause() override;
  Async<void> resume() override;
  Async<void> save(std::string path, Progress progress) override;
  Async<void> snapshot(SnapshotRequest request) override;
  Async<void> merge(MergeRequest request) override;
  Async<void> freeze_guest(std::chrono::steady_clock::duration timeout) override;
  Async<void> thaw_guest() override;

  Async<ShutdownMeans> shutdown_guest() override;
  Async<void> reboot_guest() override;
  Async<GuestInfo> guest_info() override;
  Async<std::int64_t> start_guest_program(GuestProgram program) override;
  Async<GuestProgramState> guest_program_state(std::int64_t pid) override;

  Async<void> add_controller(Controller controller) override;
  Async<void> remove_controller(int key) override;
  Async<void> add_disk(Disk disk) override;
  Async<void> remove_disk(int key) override;
  Async<void> resize_disk(int key, std::uint64_t bytes) override;
  Async<void> limit_disk(int key, std::uint64_t iops) override;
  Async<void> budget_disk(int key, std::uint64_t iops) override;
  Async<void> add_nic(Nic nic, Fd tap) override;
  Async<void> remove_nic(int key) override;
  Async<void> set_link(int key, bool up) override;
  Async<void> change_medium(int drive_key, std::optional<std::string> path) override;
  Async<void> add_vcpus(int count) override;
  Async<void> add_memory(std::uint64_t mib) override;
  Async<void> add_usb_device(UsbDevice device) override;
  Async<void> remove_usb_device(int key) override;

  Async<Fd> open_display() override;
  Async<Fd> open_serial(int key) override;
  std::string serial_log(int key) const override;
  Async<std::string> screenshot() override;
  Async<Counters> counters() override;
  Fd process() const override { return process_ ? process_->process() : Fd(); }

 private:
  // A descriptor that goes into a set of QEMU's.
  struct HandedOver {
    std::int64_t set = 0;
    Fd file;
  };

  // Why the process is going to end, where that is known beforehand.
  enum class Intent { none, power_off, guest_shutdown, save, interrupted_start };

  // qemu_machine.cpp
  void handle(const json::object& event);
  void handle_stop_and_resume(const std::string& name);
  void handle_shutdown(const json::object& data);
  void handle_storage_error(const json::object& data, double at);
  void emit(MachineEvent event);
  void deliver(MachineEvent event);
  void set_state(MachineState state);
  static Async<void> finish(std::shared_ptr<QemuMachine> self, std::optional<ProcessEnd> end);
  Exit explain(std::optional<ProcessEnd> end) const;
  Async<void> end_process(Intent intent);
  // False when it still runs after `timeout`.
  Async<bool> wait_for_end(std::chrono::steady_clock::duration timeout);
  Async<void> settle();
  Async<void> refresh_facts();
  void require_alive(const char* doing) const;
  void require_stoppable(const char* doing) const;
  const SerialPort& find_socket_port(int key) const;
  // True when the same thing was last seen less than `window` seconds before `at`.
  bool repeated(const std::string& what, double at, double window);

  // qemu_machine_state.cpp
  void require_agent(const char* to) const;
  void require_savable(const char* to) const;
  Async<Fd> begin_state(std::string path);
  Async<void> stream_state(Progress progress);
  Async<void> complete_state(Fd file, std::string path);
  Async<void> write_state(std::string path, Progress progress);
  Async<void> write_memory(std::string path, json::array overlays, Progress progress);
  Async<bool> enable_background_snapshot();
  Async<void> go_on();
  bool state_is_complete() const;
  void remove_unfinished_state() const;
  Async<void> undo_save(bool was_running);
  Async<void> prepare_migration();
  // `percent` of a query-migrate reply; must move on at least every minute.
  Async<void> await_migration(std::function<double(const json::object&)> percent,
                              Progress progress);
  Async<void> record_operation(MachineRecord::Operation operation);

  // qemu_machine_devices.cpp
  Async<void> add_nodes(Disk disk, int image, DiskImage of, ImageNodes nodes);
  Async<void> add_nodes(int key, int image, std::vector<HandedOver> files, ImageNodes nodes);
  Async<void> remove_nodes(int key, int image);
  Async<std::vector<std::int64_t>> sets_of(int key, int image);
  Async<void> add_images(Disk disk);
  Async<void> remove_images(int key, std::vector<int> images);
  Async<void> add_secret(Disk disk);
  Async<void> remove_secret(Disk disk);
  Async<void> remove_device(std::string id);
  Async<void> add_device(json::object device);
  Async<void> attempt(std::string command, json::object arguments);
  Async<void> keep_spec(MachineSpec spec);
  Async<void> replace_medium(std::string drive, int key, Fd file, ImageNodes nodes);
  Async<void> with_open_tray(std::string drive, std::string command, json::object arguments);
  Async<void> set_cable(std::string nic_id, bool up);
  Async<void> throttle(int key);
  Async<void> lift_budgets();

  // qemu_machine_growth.cpp
  Async<void> add_vcpu();
  Async<void> settle_growth();

  // qemu_machine_disks.cpp
  Async<void> put_overlays(json::array actions);
  Async<json::array> add_overlays(std::map<int, std::string> overlays,
                                  std::map<int, std::string> change_tracks);
  Async<std::vector<int>> forget_images(int key, std::size_t from, std::size_t to);
  Async<void> drop_unused_overlays();
  bool is_stray(int key, int image) const;
  Async<void> reset_discarding(std::map<int, std::string> fresh);
  Async<void> finish_reset();
  Async<int> replace_overlay(Disk disk);
  Async<std::string> written_node(int key);
  Async<void> remove_stray_nodes();
  Async<void> pivot(std::string job_id, MergeRequest request);
  Async<void> settle_disks();
  std::vector<DiskImage>& chain_of(int key);

  // qemu_machine_tracks.cpp
  Async<void> begin_track(int key, int image, std::string track);
  Async<void> begin_tracks();
  Async<void> end_tracks();
  Async<void> end_tracks_of(Disk disk);
  Async<void> end_track(int key, int image, DiskImage of, std::uint64_t capacity);
  Async<void> pass_track_on(int key, std::string into, std::string track);
  Async<void> settle_tracks();
  Async<void> settle_track(int key, std::size_t position, std::optional<std::uint64_t> capacity);
  bool keeps_track() const;
  void warn_of_open_track(const std::string& why) const;
  Async<std::map<std::string, std::uint64_t>> query_recording_nodes();
  Async<std::vector<vmx::Area>> query_written(std::string node, std::uint64_t capacity);

  std::shared_ptr<QemuContext> context_;
  MachineRecord record_;
  std::string directory_;

  MachineState state_;
  std::optional<Exit> exit_;
  Intent intent_ = Intent::none;
  bool ended_by_signal_ = false;  // QEMU said so before it exited in good order
  std::shared_ptr<ProcessWatch> process_;
  std::shared_ptr<Qmp> qmp_;
  GuestAgent agent_;
  bool agent_connected_ = false;
  std::vector<pid_t> vcpu_threads_;

  Observer observer_;
  std::vector<MachineEvent> unheard_;
  std::map<std::string, double> last_seen_;

  AsyncMutex operations_;  // one change to the machine at a time
  Signal ended_;
  Signal migration_changed_;
  Signal jobs_changed_;
  Signal devices_changed_;
  std::set<std::string> released_;        // devices the guest let go
  std::set<std::string> refused_;         // and those it would not
  std::map<int, std::uint64_t> budgets_;  // by a disk's key
  bool moving_medium_ = false;
  int last_handle_ = 0;  // numbers descriptors that pass through QEMU for a moment
};

}  // namespace virga::hypervisor

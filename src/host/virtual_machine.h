// VirtualMachine: one VM of this host, from its folder in a datastore to its running guest.
//
// virtual_machine.cpp holds what the object is and its configuration, virtual_machine_power.cpp its
// life from power on to off, virtual_machine_creation.cpp how VMs come and go (made: new_machine.h),
// virtual_machine_identity.cpp what it asks, and how it becomes another when it was copied,
// virtual_machine_template.cpp how it becomes a template and back, virtual_machine_lock.cpp what
// keeps other hosts from it, virtual_machine_tracking.cpp what was changed on its disks,
// virtual_machine_export.cpp how it is sent, virtual_machine_clone.cpp how it is copied. Of its
// snapshots, virtual_machine_snapshots.cpp keeps account, virtual_machine_snapshot_tasks.cpp has what
// clients do with them, and virtual_machine_consolidation.cpp merges disks.
#pragma once

#include "host/entity.h"
#include "host/snapshot_guard.h"
#include "host/vm_config.h"
#include "host/vm_memory.h"
#include "host/vm_question.h"
#include "host/vm_run.h"
#include "host/vm_snapshots.h"
#include "host/vm_storage.h"
#include "kernel/task.h"
#include "vmx/disk_tree.h"
#include "vmx/vmx_file.h"

namespace virga::host {

class HttpNfcLease;
class NewMachine;
class VirtualMachineSnapshot;
struct CloneRequest;
struct NfcFile;

class VirtualMachine final : public Entity<vim::VirtualMachine> {
 public:
  // `config_file` is the .vmx, `file` its content. load() completes the object.
  VirtualMachine(Host& host, MoRef self, datastore::Location config_file, vmx::VmxFile file);

  // Reads what the configuration names, and fills the properties in.
  Async<void> load();
  // The .vmx cannot be read: the VM stays in the inventory, invalid or inaccessible as its datastore
  // is, with the reason.
  void mark_invalid(const std::string& reason);
  // Takes up what the hypervisor still had of this VM after a restart of the daemon.
  Async<void> adopt(std::shared_ptr<hypervisor::Machine> machine);
  // No guest of it runs: a suspended VM or one that is off.
  void settle_without_guest();
  // The same after a restart of the daemon, which may have been killed while a guest's memory was
  // saved, gone on from, or discarded.
  Async<void> recover_without_guest();

  // What names the VM's machine to the hypervisor: its instance UUID.
  const std::string& machine_id() const { return config_.instance_uuid; }
  const datastore::Location& config_file() const { return config_file_; }
  const vmx::MachineConfig& config() const { return config_; }
  // Its disk, or a snapshot's, that is this logical unit (RDM); empty: none.
  std::string raw_disk_on(const std::string& unit) const;
  // In bytes; nullopt: it could not be read.
  std::optional<std::uint64_t> capacity_of(const vmx::Disk& disk) const;
  // A .vmtx: it cannot be powered on.
  bool is_template() const { return config_file_.path.ends_with(".vmtx"); }
  // nullptr while nothing of it runs.
  hypervisor::Machine* machine() const { return run_ ? run_->machine().get() : nullptr; }
  bool powered_on() const {
    return properties().runtime->powerState == vim::VirtualMachinePowerState::poweredOn;
  }
  // Throws InvalidPowerState.
  void require_power_state(vim::VirtualMachinePowerState wanted) const;
  bool has_mac(const std::string& mac) const;
  // Whether its machine runs, or is about to, with that PCI device of the host.
  bool has_pci_device(const std::string& address) const;
  // Whether its configuration names that disk.
  bool has_disk(const datastore::Location& disk) const;
  // Whether that is one of its files, its logs left out, or a folder with any.
  bool has_files_at(const std::string& path) const;
  // The same of the disks in other folders that its own are deltas of.
  bool is_linked_to(const std::string& path) const;
  // Returns when a run has ended, or after `timeout`.
  Async<void> wait_for_end(std::chrono::steady_clock::duration timeout) {
    co_await run_ended_.wait(timeout);
  }
  // Has the lease of its datastore watch over its guest; one that cannot be is ended.
  Async<void> guard_guest();
  // How events name it.
  vim::VmEventArgument event_argument() const;
  // Its datastore, or one that its disks lie on, is `renamed` now.
  Async<void> follow_renaming(std::shared_ptr<const datastore::Datastore> renamed);
  // The datastore, which was absent since this daemon has started, is there.
  Async<void> follow_return(std::shared_ptr<const datastore::Datastore> returned);
  // Nobody is going to answer what it asks: what waits for that fails.
  void withdraw_question();
  bool is_busy() const { return current_task_.has_value(); }
  // For the snapshots' own objects. Each runs as a task of this VM.
  MoRef start_revert(model::Call& call, const char* method, const char* description_id, int uid,
                     const std::optional<MoRef>& wanted_host, bool suppress_power_on);
  MoRef start_removal(model::Call& call, int uid, bool with_children, bool merge);
  Async<void> rename_snapshot(model::Call& call, int uid, std::optional<std::string> name,
                              std::optional<std::string> description);
  // After a restart of the daemon, once the guest, if one runs, is taken up.
  Async<void> recover_snapshots();
  // Thereafter, once all guests are taken up: a revert that was interrupted may have left the VM
  // suspended that is to run. Goes on as a task.
  void finish_revert();

  // Looks anew at what its snapshots occupy and how old they are.
  Async<void> review_snapshots();

  // Its own CPU and memory allocation, as ReconfigVM_Task would have it; returns when that is done.
  Async<void> change_allocations(model::Call& call, model::Ptr<vim::ResourceConfigSpec> wanted);

  void set_quick_stats(const vim::VirtualMachineQuickStats& stats);
  // Appends a line to the VM's vmware.log.
  void log(const std::string& line);

  Async<MoRef> Rename_Task(model::Call&, const vim::RenameRequestType&) override;
  Async<MoRef> Destroy_Task(model::Call&, const vim::DestroyRequestType&) override;
  Async<void> Reload(model::Call&, const vim::ReloadRequestType&) override;
  Async<void> RefreshStorageInfo(model::Call&, const vim::RefreshStorageInfoRequestType&) override;
  Async<MoRef> ReconfigVM_Task(model::Call&, const vim::ReconfigVMRequestType&) override;
  Async<MoRef> UpgradeVM_Task(model::Call&, const vim::UpgradeVMRequestType&) override;
  Async<MoRef> PowerOnVM_Task(model::Call&, const vim::PowerOnVMRequestType&) override;
  Async<MoRef> PowerOffVM_Task(model::Call&, const vim::PowerOffVMRequestType&) override;
  Async<MoRef> SuspendVM_Task(model::Call&, const vim::SuspendVMRequestType&) override;
  Async<MoRef> ResetVM_Task(model::Call&, const vim::ResetVMRequestType&) override;
  Async<void> ShutdownGuest(model::Call&, const vim::ShutdownGuestRequestType&) override;
  Async<void> RebootGuest(model::Call&, const vim::RebootGuestRequestType&) override;
  Async<void> AnswerVM(model::Call&, const vim::AnswerVMRequestType&) override;
  Async<MoRef> CreateSnapshot_Task(model::Call&, const vim::CreateSnapshotRequestType&) override;
  Async<MoRef> CreateSnapshotEx_Task(model::Call&,
                                     const vim::CreateSnapshotExRequestType&) override;
  Async<MoRef> RevertToCurrentSnapshot_Task(
      model::Call&, const vim::RevertToCurrentSnapshotRequestType&) override;
  Async<MoRef> RemoveAllSnapshots_Task(model::Call&,
                                       const vim::RemoveAllSnapshotsRequestType&) override;
  Async<MoRef> ConsolidateVMDisks_Task(model::Call&,
                                       const vim::ConsolidateVMDisksRequestType&) override;
  Async<model::Ptr<vim::DiskChangeInfo>> QueryChangedDiskAreas(
      model::Call&, const vim::QueryChangedDiskAreasRequestType&) override;
  Async<MoRef> ExportVm(model::Call&, const vim::ExportVmRequestType&) override;
  Async<MoRef> CloneVM_Task(model::Call&, const vim::CloneVMRequestType&) override;
  Async<void> UnregisterVM(model::Call&, const vim::UnregisterVMRequestType&) override;
  Async<void> MarkAsTemplate(model::Call&, const vim::MarkAsTemplateRequestType&) override;
  Async<void> MarkAsVirtualMachine(model::Call&,
                                   const vim::MarkAsVirtualMachineRequestType&) override;
  Async<void> TerminateVM(model::Call&, const vim::TerminateVMRequestType&) override;
  Async<model::Ptr<vim::VirtualMachineMksTicket>> AcquireMksTicket(
      model::Call&, const vim::AcquireMksTicketRequestType&) override;
  Async<model::Ptr<vim::VirtualMachineTicket>> AcquireTicket(model::Call&,
                                                 const vim::AcquireTicketRequestType&) override;
  Async<MoRef> CreateScreenshot_Task(model::Call&,
                                     const vim::CreateScreenshotRequestType&) override;

 private:
  friend Async<Any> register_virtual_machine(Host&, kernel::TaskHandle&, std::string,
                                             struct Registration);

  using Work = std::function<Async<Any>(kernel::TaskHandle&)>;
  using Disks = std::map<std::string, datastore::DiskInfo>;    // by "[ds] path"

  // A disk of the VM and the new delta of it.
  struct NewDelta {
    vmx::Slot slot;
    datastore::Location parent;
    datastore::Location disk;
    bool is_tracked = false;
  };
  struct NewSnapshot {
    std::string name;
    std::string description;
    bool with_memory = false;
    bool quiesced = false;
    std::chrono::minutes quiesce_timeout = std::chrono::minutes(15);
  };

  // Runs `work` as a task of this VM; one at a time, the next is TaskInProgress.
  MoRef run_task(model::Call& call, const char* method, const char* description_id, Work work,
                 bool cancelable = false);
  void refuse_while_busy() const;
  static Async<Any> exclusively(std::shared_ptr<VirtualMachine> self, Work work,
                                kernel::TaskHandle& handle);

  void require_accessible() const;
  [[noreturn]] void refuse_power_state(vim::VirtualMachinePowerState wanted) const;

  // virtual_machine_lock.cpp
  // For a task: keeps other hosts from the files, where a run does not do so already, and reads what
  // another has changed.
  Async<void> lock_files();
  Async<void> unlock_files();
  Async<bool> is_up_to_date() const;
  Async<bool> is_locked_elsewhere() const;

  // virtual_machine.cpp
  ConfigContext context() const;
  Datastores datastores() const;
  Async<Disks> query_disks(vmx::MachineConfig config) const;
  void publish_config();
  // Looks at the files anew and tells what they are and occupy.
  Async<void> refresh_storage();
  bool consists_of(const std::string& file) const;
  // Another VM's disks are deltas of it, or it is that VM's own.
  bool is_shared_with_others(const std::string& disk) const;
  // Reads the .vmx anew.
  Async<void> reload();
  void show_connected();
  Async<void> save_config(vmx::MachineConfig config);
  Async<void> reconfigure(model::Ptr<vim::VirtualMachineConfigSpec> spec, std::string user,
                          kernel::TaskHandle& handle);
  Async<void> apply_hot(const ConfigPlan& plan);
  std::optional<Growth> growth() const;
  Async<void> grow(vmx::MachineConfig config);
  Async<void> note_growth();
  void show_capacity();
  Async<void> forget_tpm();
  Async<void> upgrade(std::optional<std::string> version, std::string user);
  static const vmx::NetworkAdapter& adapter_with(const vmx::MachineConfig& config, int key);
  Async<void> plug(const ConfigPlan& plan, const hypervisor::MachineSpec& spec, int key);
  Async<void> unplug(int key);
  Async<void> change_medium(int drive_key, std::optional<std::string> path);
  Async<void> change_live(const hypervisor::MachineSpec& spec, int key, const ConfigPlan& plan);
  std::string display_name() const;

  // virtual_machine_power.cpp
  Async<void> power_on(std::string user, kernel::TaskHandle& handle);
  Async<void> start_machine(std::string user, kernel::TaskHandle& handle);
  Async<void> let_run(std::shared_ptr<hypervisor::Machine> machine);
  Async<void> finish_power_on(std::shared_ptr<hypervisor::Machine> machine);
  // Throws FileLocked naming a disk that another VM runs on, unless both share it.
  void require_disks_free(const vmx::MachineConfig& config,
                          const hypervisor::MachineSpec& spec) const;
  Async<hypervisor::StartOptions> prepare_start(hypervisor::MachineSpec& spec);
  // Asks what to do about a full disk, and does it.
  Async<void> wait_for_space(std::string disk);
  std::string file_of_disk(int key) const;
  void require_host_that_starts_guests() const;
  Async<void> leave_out_missing_media(hypervisor::MachineSpec& spec);
  // Connects the ports that are clients of a pipe to the ports of other VMs that serve it.
  Async<void> connect_pipes(hypervisor::MachineSpec& spec, hypervisor::StartOptions& options);
  void warn(const std::string& message);
  Async<void> suspend(kernel::TaskHandle& handle);
  Async<void> discard_suspended_state(std::string user);
  Async<void> begin_log();
  void note_swap_file(vmx::MachineConfig& config) const;
  std::shared_ptr<VmRun> make_run() const;
  void follow(std::shared_ptr<hypervisor::Machine> machine);
  // Those that a former daemon held for the guest.
  void retake_lines(const hypervisor::Machine& machine);
  void handle(const hypervisor::MachineEvent& event);
  Async<void> finish_run(hypervisor::Exit exit);
  Async<void> save_end(vmx::MachineConfig config);
  void set_power_state(vim::VirtualMachinePowerState state);
  void set_guest(const hypervisor::GuestInfo& info);
  Async<void> watch_guest();
  hypervisor::Machine& running_machine() const;
  void require_tools() const;

  // virtual_machine_redo.cpp
  Async<void> begin_redos();
  Async<std::map<int, std::string>> make_redos();
  Async<void> reset_machine();
  Async<void> follow_redos();
  Async<vmx::MachineConfig> without_redos(vmx::MachineConfig config);
  Async<void> drop_redos();

  // virtual_machine_identity.cpp
  // Returns with the number of the choice; nullopt: the question was withdrawn.
  Async<std::optional<int>> ask(Question question);
  void show_question(const model::Ptr<vim::VirtualMachineQuestionInfo>& question);
  void require_no_question() const;
  // At power on: finds out whether the VM was moved or copied, and settles who it is.
  Async<void> settle_identity(std::string user);
  Async<bool> was_copied();
  void tell_new_identity(const vmx::MachineConfig& before, const std::string& user);

  // virtual_machine_tracking.cpp
  Async<void> prepare_tracks(std::vector<vmx::Disk> disks);
  Async<void> prepare_added_tracks(const ConfigPlan& plan);
  std::string track_of(const vmx::DatastorePath& disk) const;
  const vmx::Disk& disk_to_query(const vmx::MachineConfig& config, int key) const;
  vmx::MachineConfig config_to_query(const std::optional<MoRef>& snapshot) const;

  // virtual_machine_template.cpp
  // A task for a method that answers when it is done.
  Async<void> complete_task(model::Call& call, const char* method, const char* description_id,
                            Work work);
  void refuse_template(const char* doing) const;
  // Throws NotSupported for a change of more than what people call the template and say of it.
  void require_description_only(const ConfigPlan& plan) const;
  // Gives the .vmx that name and what goes with it: .vmtx is a template's.
  Async<void> become_template(bool is_template, MoRef pool);

  // virtual_machine_export.cpp
  std::vector<NfcFile> files_to_send() const;
  Async<Any> export_files(std::shared_ptr<HttpNfcLease> lease, std::string user,
                          kernel::TaskHandle& handle);

  // virtual_machine_creation.cpp
  // Makes a configuration read from a foreign .vmx this host's.
  Async<void> take_over(vmx::MachineConfig config);
  Async<void> destroy(std::string user);
  void unregister(const std::string& user);
  std::vector<datastore::Location> own_parts() const;

  // virtual_machine_clone.cpp
  // What is copied: the VM as it is, or as a snapshot has it.
  struct CloneSource {
    vmx::VmxFile file;
    vmx::MachineConfig config;
    datastore::Location nvram;        // of a VM with EFI; it may not be there yet
    bool is_being_written = false;    // by the guest
  };
  void check_clone(const vim::CloneVMRequestType& request, const std::string& user) const;
  CloneSource clone_source(const std::optional<MoRef>& snapshot) const;
  MoRef pool_of_clone(const vim::VirtualMachineCloneSpec& spec) const;
  NewMachine plan_new_machine(const CloneSource& source, const CloneRequest& wanted,
                              const vmx::DatastorePath& config_file,
                              const std::string& user) const;
  Async<Any> clone(std::string name, model::Ptr<vim::VirtualMachineCloneSpec> spec,
                   std::string user, kernel::TaskHandle& handle);
  Async<void> make_clone(std::string name, model::Ptr<vim::VirtualMachineCloneSpec> spec,
                         std::string user, kernel::TaskHandle& handle,
                         std::shared_ptr<VirtualMachine>& made);
  Async<void> make_beside_guest(std::vector<NewDelta> deltas, Async<void> making);

  // virtual_machine_snapshots.cpp
  void publish_snapshots();
  void withdraw_snapshots();
  void add_snapshot_files(VmFiles& files) const;
  // Throws InvalidSnapshotFormat when the .vmsd could not be read.
  void require_snapshots() const;
  void require_own_deltas() const;
  const vmx::Snapshot& snapshot_with(int uid) const;
  Async<void> with_snapshot_work(SnapshotWork work, Async<void> doing);
  Async<void> clean_up(SnapshotWork work);
  Async<void> finish_snapshot_work(SnapshotWork work);
  Async<void> carry_out(SnapshotRevert revert);
  Async<void> follow_machine_disks();
  Async<void> follow_machine_merges();
  std::string machine_image(int key) const;
  std::string image_of(const vmx::DatastorePath& disk) const;
  void publish_issues(std::vector<SnapshotIssue> issues);

  // virtual_machine_snapshot_tasks.cpp
  MoRef start_snapshot(model::Call& call, const char* method, NewSnapshot wanted);
  void check_new_snapshot(const NewSnapshot& wanted) const;
  void check_disks_for_snapshot(const NewSnapshot& wanted) const;
  vmx::SnapshotState state_to_keep(int uid, const NewSnapshot& wanted) const;
  Async<std::vector<NewDelta>> plan_deltas(vmx::MachineConfig config) const;
  vmx::MachineConfig with_deltas(vmx::MachineConfig config,
                                 const std::vector<NewDelta>& deltas) const;
  static SnapshotWork work_on(const std::vector<NewDelta>& deltas);
  std::vector<std::string> known_deltas() const;
  Async<Any> create_snapshot(NewSnapshot wanted, std::string user, kernel::TaskHandle& handle);
  Async<void> prepare_snapshot(vmx::Snapshot snapshot, vmx::SnapshotState state) const;
  // Makes the deltas, and the VM write to them; `of_guest` is what its guest has to do for that.
  Async<void> write_to_deltas(std::vector<NewDelta> deltas, Async<void> of_guest);
  Async<void> take_snapshot(vmx::Snapshot snapshot, vmx::SnapshotState state,
                            std::vector<NewDelta> deltas, Async<void> of_guest);
  Async<void> snapshot_guest(vmx::SnapshotState state, std::chrono::minutes quiesce_timeout,
                             hypervisor::Progress progress);
  Async<void> thaw_guest(std::shared_ptr<VmRun> run);
  vmx::MachineConfig config_to_go_back_to(int uid) const;
  Async<void> revert(int uid, std::string user, bool suppress_power_on);
  Async<void> power_on_if_due(kernel::TaskHandle& handle);
  Async<void> go_back(SnapshotWork work, int uid, vmx::MachineConfig target,
                      std::vector<NewDelta> deltas, std::string power_on_for);
  Async<void> forget_snapshots(vmx::SnapshotTree remaining, bool merge, kernel::TaskHandle& handle);
  Async<void> forget_and_merge(vmx::SnapshotTree remaining, bool merge, kernel::TaskHandle& handle);

  // virtual_machine_consolidation.cpp
  vmx::Consolidation consolidation() const;
  Async<void> consolidate(hypervisor::Progress progress, std::stop_token stop);
  int machine_disk_of(const std::string& one, const std::string& other) const;
  Async<void> merge_disks(vmx::DiskMerge merge, hypervisor::Progress progress,
                          std::stop_token stop);
  vmx::MachineConfig config_merged(const vmx::DatastorePath& into,
                                   const vmx::DatastorePath& top) const;
  Async<void> merge_used_disks(vmx::DatastorePath into, vmx::DatastorePath top,
                               hypervisor::Progress progress, std::stop_token stop);
  Async<void> merge_unused_disks(vmx::DatastorePath into, vmx::DatastorePath top,
                                 hypervisor::Progress progress, std::stop_token stop);
  Async<void> merge_tracks(std::vector<datastore::Location> chain, int written_key);
  Async<void> rename_merged(vmx::DatastorePath into, vmx::DatastorePath top);

  template <class E>
  void post(E event, const std::string& message, const std::string& user = {});
  // An event that the API knows by its identifier only. `severity`: "info", "warning" or "error".
  void post_extended(const char* identifier, const char* severity, const std::string& message,
                     const std::string& user = {});

  datastore::Location config_file_;
  vmx::VmxFile file_;
  vmx::MachineConfig config_;
  Disks disks_;    // of the VM and its snapshots, with all they are deltas of
  VmSnapshots snapshots_;
  std::map<int, std::shared_ptr<VirtualMachineSnapshot>> snapshot_objects_;    // by uid
  DeviceState device_state_;
  std::optional<MoRef> current_task_;
  VmMemory memory_;
  std::shared_ptr<VmRun> run_;    // without a machine: a task that holds the lock
  std::shared_ptr<PendingQuestion> question_;
  std::string last_question_;    // the id of the last one that was answered
  Signal run_ended_;
};

template <class E>
void VirtualMachine::post(E event, const std::string& message, const std::string& user) {
  event.vm = model::share(event_argument());
  event.template_ = is_template();
  host().post(std::move(event), message, user);
}

// For who deletes, moves or changes files: throws FileLocked where a VM runs with that file, or with one in
// that folder, or where a linked clone needs it.
void require_not_in_use(const Host& host, const datastore::Location& place);

// What surrounds a VM of this host, with its disks looked up when they are asked for.
ConfigContext config_context(const Host& host, const vmx::DatastorePath& config_file);

// What the disk at that place is; nullopt when there is none that can be read.
std::optional<datastore::DiskInfo> look_up_disk(const Host& host, const vmx::DatastorePath& path);

// Notes, for as long as it lives, which disks a change of a VM makes and removes: after a kill in
// between, restore_virtual_machines() removes those that the VM has not got.
class DiskJournal {
 public:
  DiskJournal(Host& host, const datastore::Location& config_file,
              const std::vector<vmx::DatastorePath>& disks);
  ~DiskJournal();
  DiskJournal(const DiskJournal&) = delete;
  DiskJournal& operator=(const DiskJournal&) = delete;

 private:
  Host& host_;
  std::string entry_;    // empty when nothing is noted
};

struct Registration {
  std::string path;                   // of the .vmx
  std::optional<std::string> name;    // none: the one in the file
  bool as_template = false;
  std::optional<MoRef> pool;
};
// The work of Folder.RegisterVM_Task.
Async<Any> register_virtual_machine(Host& host, kernel::TaskHandle& handle, std::string user,
                                    Registration wanted);

// What the database knows of a VM that is in the inventory: where its .vmx is.
void record_virtual_machine(const Host& host, const MoRef& vm,
                            const datastore::Location& config_file);

// The .vmx of a VM is given another name in the same folder, whole or not at all.
Async<void> rename_config_file(Host& host, MoRef vm, datastore::Location from,
                               datastore::Location to);

// Brings back the VMs that the database knows, finishes what a killed daemon left half done, and
// takes up the guests that still run.
Async<void> restore_virtual_machines(Host& host);

// Reviews the snapshots of all VMs now and then; never returns.
Async<void> watch_snapshots(Host& host);

}  // namespace virga::host

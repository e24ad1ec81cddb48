// A VM's snapshots as its files have them: the .vmsd tells which there are, the .vmsn of each what
// it keeps of the VM. What an operation on them has under way is noted in the database, for a
// restarted daemon to finish or to clean up after. Kernel executor only.
//
// The .vmx they lie beside comes with each call: VMs and datastores are renamed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/host.h"
#include "vmx/machine_config.h"
#include "vmx/snapshot_tree.h"
#include "vmx/vmsn_file.h"

namespace virga::host {

// "web-Snapshot3.vmsn", and the .vmsd, of the VM whose .vmx this is.
std::string snapshot_file(const datastore::Location& config_file, int uid, const char* extension);
datastore::Location snapshot_list(const datastore::Location& config_file);

// What a revert comes to once it can no longer be undone.
struct SnapshotRevert {
  std::string config;     // the text of the .vmx
  std::string list;       // of the .vmsd
  std::string variables;  // the file whose content the .nvram gets; empty: it stays
  std::string power_on;   // the user for whom the VM is powered on afterwards; empty: it is not
};

// What an operation on snapshots makes or leaves without a use: all of it that the VM and its
// snapshots do not name when it has ended is removed.
struct SnapshotWork {
  std::vector<std::string> disks;  // by Location::lasting_name()
  std::vector<std::string> files;  // beside the .vmx
  std::optional<SnapshotRevert> revert;
};

class VmSnapshots {
 public:
  // `vm`: its moId.
  VmSnapshots(Host& host, std::string vm) : host_(host), vm_(std::move(vm)) {}

  Async<void> load(datastore::Location config_file);
  // Why the .vmsd cannot be read; empty when it can.
  const std::string& damage() const { return damage_; }

  const vmx::SnapshotTree& tree() const { return tree_; }
  bool empty() const { return tree_.snapshots.empty(); }
  // nullptr when the .vmsn cannot be read, such as one of VMware's: a snapshot one can only forget.
  const vmx::SnapshotState* state_of(int uid) const;
  // The VM as it was, with the disks that the .vmsd names: merges rename them. Needs a state.
  vmx::MachineConfig config_of(int uid, const datastore::Location& config_file) const;
  // Those that the snapshots consist of apart from disks, beside the .vmx.
  std::vector<std::string> files() const;
  // A VM that went back to it is suspended in it, and it stays when the VM goes on.
  bool is_memory(const std::string& file) const;

  // Replaces the .vmsd.
  Async<void> save(datastore::Location config_file, vmx::SnapshotTree tree);
  // A snapshot whose .vmsn is written.
  Async<void> add(datastore::Location config_file, vmx::Snapshot snapshot,
                  vmx::SnapshotState state);
  // The .vmsd has been replaced by this.
  void replace(vmx::SnapshotTree tree);

  bool has_work() const;
  std::optional<SnapshotWork> noted_work() const;
  void note(const SnapshotWork& work);
  // What is to follow a revert is noted from then on by itself.
  void forget_work();

  // Who asked for a revert after which the VM was not powered on yet.
  std::optional<std::string> power_on_due() const;
  void forget_power_on();

 private:
  Host& host_;
  const std::string vm_;
  vmx::SnapshotTree tree_;
  std::map<int, vmx::SnapshotState> states_;  // by uid
  std::string damage_;
};

}  // namespace virga::host

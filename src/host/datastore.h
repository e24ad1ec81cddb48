// Datastore: a folder of the machine where VMs lie, be it its own or mounted from an NFS server.
#pragma once

#include "datastore/datastore.h"
#include "host/datastore_lease.h"
#include "host/entity.h"
#include "host/nas_mount.h"

namespace virga::host {

class Datastore final : public Entity<vim::Datastore> {
 public:
  Datastore(Host& host, MoRef self, std::shared_ptr<const datastore::Datastore> files,
            std::shared_ptr<NasMount> nas);

  const std::shared_ptr<const datastore::Datastore>& files() const { return files_; }

  // nullptr where file locks keep the hosts apart.
  const std::shared_ptr<DatastoreLease>& lease() const { return lease_; }

  // nullptr for a folder of the machine's own.
  const std::shared_ptr<NasMount>& nas() const { return nas_; }
  // Throws InaccessibleDatastore while its server does not answer: what is asked of it would wait.
  void require_accessible() const;
  // Shows from now on whether it is accessible.
  void follow_mount();

  // Reads capacity and free space anew, if it is accessible.
  Async<void> refresh();

  Async<MoRef> Rename_Task(model::Call&, const vim::RenameRequestType&) override;
  Async<MoRef> Destroy_Task(model::Call&, const vim::DestroyRequestType&) override;
  Async<void> RefreshDatastore(model::Call&, const vim::RefreshDatastoreRequestType&) override;
  Async<void> RefreshDatastoreStorageInfo(
      model::Call&, const vim::RefreshDatastoreStorageInfoRequestType&) override;
  Async<void> RenameDatastore(model::Call&, const vim::RenameDatastoreRequestType&) override;
  Async<void> DestroyDatastore(model::Call&, const vim::DestroyDatastoreRequestType&) override;

 private:
  Async<void> rename(std::string name, std::string user);
  void show_accessibility();
  void keep_lease();
  static Async<void> come_back(std::shared_ptr<Datastore> self);

  std::shared_ptr<const datastore::Datastore> files_;
  const std::shared_ptr<NasMount> nas_;
  std::shared_ptr<DatastoreLease> lease_;
  bool is_coming_back_ = false;
};

// Throws InvalidName, DuplicateName.
void check_datastore_name(const Host& host, const std::string& name);
// Opens the folder as a datastore, records it and puts it into the inventory. Throws Fault:
// DuplicateName, InvalidName, FileNotFound, HostConfigFault.
std::shared_ptr<Datastore> open_datastore(Host& host, const std::string& name,
                                          const std::string& path,
                                          std::shared_ptr<NasMount> nas = nullptr);
// Takes it out of the inventory; the files stay. ResourceInUse while VMs lie on it.
Async<void> close_datastore(Host& host, MoRef datastore, std::string user);
// Opens those the database knows. One whose NFS server does not answer is there without its files,
// until it does; another that cannot be opened is logged and left out.
Async<void> restore_datastores(Host& host);

}  // namespace virga::host

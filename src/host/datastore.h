// Datastore: a folder of the machine where VMs lie.
#pragma once

#include "datastore/datastore.h"
#include "host/entity.h"

namespace virga::host {

class Datastore final : public Entity<vim::Datastore> {
 public:
  Datastore(Host& host, MoRef self, std::shared_ptr<const datastore::Datastore> files);

  const std::shared_ptr<const datastore::Datastore>& files() const { return files_; }

  // Reads capacity and free space anew.
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

  std::shared_ptr<const datastore::Datastore> files_;
};

// Opens the folder as a datastore, records it and puts it into the inventory. Throws Fault:
// DuplicateName, InvalidName, FileNotFound, HostConfigFault.
std::shared_ptr<Datastore> open_datastore(Host& host, const std::string& name,
                                          const std::string& path);
// Takes it out of the inventory; the files stay. ResourceInUse while VMs lie on it.
void close_datastore(Host& host, const MoRef& datastore, const std::string& user);
// Opens those the database knows. One that cannot be opened is logged and left out.
void restore_datastores(Host& host);

}  // namespace virga::host

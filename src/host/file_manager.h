// FileManager: copying, moving, deleting files of datastores and making folders.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class FileManager final : public kernel::Implements<vim::FileManager> {
 public:
  explicit FileManager(Host& host);

  Async<MoRef> MoveDatastoreFile_Task(model::Call&,
                                      const vim::MoveDatastoreFileRequestType&) override;
  Async<MoRef> CopyDatastoreFile_Task(model::Call&,
                                      const vim::CopyDatastoreFileRequestType&) override;
  Async<MoRef> DeleteDatastoreFile_Task(model::Call&,
                                        const vim::DeleteDatastoreFileRequestType&) override;
  Async<void> MakeDirectory(model::Call&, const vim::MakeDirectoryRequestType&) override;

 private:
  Host& host_;
};

// The place a call names, where its caller has `privilege` on the datastore.
datastore::Location authorized_place(Host& host, model::Call& call, const std::string& path,
                                     const char* privilege);

}  // namespace virga::host

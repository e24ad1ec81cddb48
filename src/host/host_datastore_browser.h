// HostDatastoreBrowser: what lies in a datastore.
#pragma once

#include "datastore/browse.h"
#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostDatastoreBrowser final : public kernel::Implements<vim::HostDatastoreBrowser> {
 public:
  // The browser of one datastore.
  HostDatastoreBrowser(Host& host, MoRef self, MoRef datastore);

  Async<MoRef> SearchDatastore_Task(model::Call&,
                                    const vim::SearchDatastoreRequestType&) override;
  Async<MoRef> SearchDatastoreSubFolders_Task(
      model::Call&, const vim::SearchDatastoreSubFoldersRequestType&) override;
  Async<void> DeleteFile(model::Call&, const vim::DeleteFileRequestType&) override;

 private:
  MoRef search(model::Call& call, const char* method, const std::string& path,
               const model::Ptr<vim::HostDatastoreBrowserSearchSpec>& spec, bool recursive);
  // The place, which must be in this browser's datastore; and the caller's right to look there.
  datastore::Location locate(model::Call& call, const std::string& path,
                             const char* privilege) const;

  Host& host_;
  const MoRef datastore_;
};

}  // namespace virga::host

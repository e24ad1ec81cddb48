// GuestFileManager: files in guests.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class GuestFileTransfers;

class GuestFileManager final : public kernel::Implements<vim::GuestFileManager> {
 public:
  GuestFileManager(Host& host, GuestFileTransfers& transfers);

  Async<void> MakeDirectoryInGuest(model::Call&,
                                   const vim::MakeDirectoryInGuestRequestType&) override;
  Async<void> DeleteFileInGuest(model::Call&, const vim::DeleteFileInGuestRequestType&) override;
  Async<void> DeleteDirectoryInGuest(model::Call&,
                                     const vim::DeleteDirectoryInGuestRequestType&) override;
  Async<void> MoveDirectoryInGuest(model::Call&,
                                   const vim::MoveDirectoryInGuestRequestType&) override;
  Async<void> MoveFileInGuest(model::Call&, const vim::MoveFileInGuestRequestType&) override;
  Async<std::string> CreateTemporaryFileInGuest(
      model::Call&, const vim::CreateTemporaryFileInGuestRequestType&) override;
  Async<std::string> CreateTemporaryDirectoryInGuest(
      model::Call&, const vim::CreateTemporaryDirectoryInGuestRequestType&) override;
  Async<model::Ptr<vim::GuestListFileInfo>> ListFilesInGuest(
      model::Call&, const vim::ListFilesInGuestRequestType&) override;
  Async<void> ChangeFileAttributesInGuest(
      model::Call&, const vim::ChangeFileAttributesInGuestRequestType&) override;
  Async<model::Ptr<vim::FileTransferInformation>> InitiateFileTransferFromGuest(
      model::Call&, const vim::InitiateFileTransferFromGuestRequestType&) override;
  Async<std::string> InitiateFileTransferToGuest(
      model::Call&, const vim::InitiateFileTransferToGuestRequestType&) override;

 private:
  struct Temporary {
    std::string prefix, suffix;
    std::optional<std::string> directory;
  };
  // Opens the guest and runs the script on paths: what it fails with is under the first of them.
  Async<void> change(model::Call& call, MoRef vm, model::Ptr<vim::GuestAuthentication> auth,
                     const char* script, std::vector<std::string> paths);
  Async<std::string> make_temporary(model::Call& call, MoRef vm,
                                    model::Ptr<vim::GuestAuthentication> auth, const char* script,
                                    Temporary wanted);

  Host& host_;
  GuestFileTransfers& transfers_;
};

}  // namespace virga::host

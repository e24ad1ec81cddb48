// InventoryView: the inventory as a tree of folders that are opened and closed: the root folder and
// the children of each open entity.
#pragma once

#include <map>

#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class InventoryView final : public Implements<vim::InventoryView>, private Watcher {
 public:
  InventoryView(Kernel& kernel, MoRef self, const SessionPtr& session);

  // To be called once it is in the inventory.
  void open();

  Async<model::Array<MoRef>> OpenInventoryViewFolder(
      model::Call&, const vim::OpenInventoryViewFolderRequestType& r) override;
  Async<model::Array<MoRef>> CloseInventoryViewFolder(
      model::Call&, const vim::CloseInventoryViewFolderRequestType& r) override;
  Async<void> DestroyView(model::Call&, const vim::DestroyViewRequestType&) override;

 private:
  void object_removed(Object& self) override;
  void show();

  Kernel& kernel_;
  const std::string user_;
  std::vector<MoRef> open_;
  LiveMembers members_;
};

}  // namespace virga::kernel

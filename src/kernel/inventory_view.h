// InventoryView: the inventory as a tree whose folders the client opens and closes. It shows the
// root folder and the children of each open entity.
#pragma once

#include <vector>

#include "kernel/access.h"
#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class InventoryView final : public Implements<vim::InventoryView>, private Watcher {
 public:
  // `reader`: whose view it is.
  InventoryView(Kernel& kernel, MoRef self, const Reader& reader);

  // To be called once it is in the inventory.
  void open();

  // These answer the entities that do not exist.
  Async<model::Array<MoRef>> OpenInventoryViewFolder(
      model::Call& call, const vim::OpenInventoryViewFolderRequestType& r) override;
  // Closes what is open below them as well.
  Async<model::Array<MoRef>> CloseInventoryViewFolder(
      model::Call& call, const vim::CloseInventoryViewFolderRequestType& r) override;
  Async<void> DestroyView(model::Call& call, const vim::DestroyViewRequestType& r) override;

 private:
  void object_removed(Object& self) override;
  Access access() const { return Access(kernel_, {session_.lock(), {}}); }
  bool is_below(MoRef entity, const MoRef& ancestor) const;
  void show_open();

  Kernel& kernel_;
  const std::weak_ptr<const Session> session_;  // which owns the view
  std::vector<MoRef> open_;
  LiveMembers members_;
};

}  // namespace virga::kernel

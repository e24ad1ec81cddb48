// ViewManager: makes views. A view belongs to its session and ends with it.
#pragma once

#include "kernel/container_view.h"
#include "kernel/session_references.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class ViewManager final : public Implements<vim::ViewManager>, private Watcher {
 public:
  ViewManager(Kernel& kernel, MoRef self);

  // With the session's own views.
  DataPtr snapshot_for(const Session* session) const override;

  Async<MoRef> CreateInventoryView(model::Call& call,
                                   const vim::CreateInventoryViewRequestType& r) override;
  Async<MoRef> CreateContainerView(model::Call& call,
                                   const vim::CreateContainerViewRequestType& r) override;
  Async<MoRef> CreateListView(model::Call& call, const vim::CreateListViewRequestType& r) override;
  Async<MoRef> CreateListViewFromView(model::Call& call,
                                      const vim::CreateListViewFromViewRequestType& r) override;

 private:
  void object_removed(Object& view) override;
  // Puts the view into the inventory as the reader's own, and into its list.
  void adopt(const std::shared_ptr<Object>& view, const Reader& reader);
  MoRef make_list(const Reader& reader, const model::Array<MoRef>& objects);

  Kernel& kernel_;
  SessionReferences views_;
  ContainerIndex containers_;
};

}  // namespace virga::kernel

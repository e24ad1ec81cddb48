// ViewManager: makes views. A view belongs to its session and ends with it.
#pragma once

#include "kernel/container_view.h"
#include "kernel/per_session.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class ViewManager final : public Implements<vim::ViewManager>, public PerSession, private Watcher {
 public:
  ViewManager(Kernel& kernel, MoRef self);

  DataPtr snapshot_for(const std::string& session) const override;

  Async<MoRef> CreateInventoryView(model::Call& call,
                                   const vim::CreateInventoryViewRequestType& r) override;
  Async<MoRef> CreateContainerView(model::Call& call,
                                   const vim::CreateContainerViewRequestType& r) override;
  Async<MoRef> CreateListView(model::Call& call, const vim::CreateListViewRequestType& r) override;
  Async<MoRef> CreateListViewFromView(model::Call& call,
                                      const vim::CreateListViewFromViewRequestType& r) override;

 private:
  void object_removed(Object& view) override;
  // Makes the view the session's own and lists it.
  void adopt(const std::shared_ptr<Object>& view, const Session& session);

  Kernel& kernel_;
  SessionReferences views_;
  ContainerIndex containers_;
};

}  // namespace virga::kernel

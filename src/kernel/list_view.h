// ListView: objects one by one, as the client names them. What is destroyed leaves the list.
#pragma once

#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class ListView final : public Implements<vim::ListView>, private Watcher {
 public:
  ListView(Kernel& kernel, MoRef self, const SessionPtr& session);

  // To be called once it is in the inventory.
  void open(const model::Array<MoRef>& objects);

  Async<model::Array<MoRef>> ModifyListView(model::Call&,
                                            const vim::ModifyListViewRequestType& r) override;
  Async<model::Array<MoRef>> ResetListView(model::Call&,
                                           const vim::ResetListViewRequestType& r) override;
  Async<void> ResetListViewFromView(model::Call& call,
                                    const vim::ResetListViewFromViewRequestType& r) override;
  Async<void> DestroyView(model::Call&, const vim::DestroyViewRequestType&) override;

 private:
  void object_removed(Object& self) override;
  // Makes these the list and answers those that do not exist.
  model::Array<MoRef> reset(const model::Array<MoRef>& objects);

  const Access access_;
  LiveMembers members_;
};

// The objects a view shows; InvalidArgument("view") when it is no view of the caller's.
model::Array<MoRef> members_of_view(const Inventory& inventory, const Access& access,
                                    const MoRef& view);

}  // namespace virga::kernel

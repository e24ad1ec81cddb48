// ListView: objects as the client names them. What is destroyed leaves the list.
#pragma once

#include "kernel/access.h"
#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class ListView final : public Implements<vim::ListView>, private Watcher {
 public:
  // `reader`: whose view it is.
  ListView(Kernel& kernel, MoRef self, const Reader& reader);

  // To be called once it is in the inventory. Objects that do not exist are left out.
  void open(const model::Array<MoRef>& objects);

  // These answer the objects that do not exist, of those to be added.
  Async<model::Array<MoRef>> ModifyListView(model::Call& call,
                                            const vim::ModifyListViewRequestType& r) override;
  Async<model::Array<MoRef>> ResetListView(model::Call& call,
                                           const vim::ResetListViewRequestType& r) override;
  Async<void> ResetListViewFromView(model::Call& call,
                                    const vim::ResetListViewFromViewRequestType& r) override;
  Async<void> DestroyView(model::Call& call, const vim::DestroyViewRequestType& r) override;

 private:
  void object_removed(Object& self) override;
  Reader reader() const { return {session_.lock(), {}}; }
  model::Array<MoRef> list(const model::Array<MoRef>& objects);

  Kernel& kernel_;
  const std::weak_ptr<const Session> session_;  // which owns the view
  LiveMembers members_;
};

// What a view of the reader's shows; throws ManagedObjectNotFound when there is no such view.
model::Array<MoRef> members_of_view(const Kernel& kernel, const Reader& reader, const MoRef& view);

}  // namespace virga::kernel

// ContainerView: the entities below one, of certain types.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/access.h"
#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class ContainerView;

// What is in a container, kept once for all the views by which a user looks at the same. Kernel
// executor only.
class ContainerContents {
 public:
  struct Key {
    std::string user;
    MoRef container;
    std::vector<std::string> types;  // none: all
    bool recursive;
    auto operator<=>(const Key&) const = default;
  };

  // Throws InvalidArgument for a type that there is not.
  ContainerContents(Kernel& kernel, Key key);

  // The properties of a view of them: shared, whatever their size.
  const DataPtr& properties() const { return properties_; }

  void add(ContainerView* view) { views_.insert(view); }
  // With the last view the watching ends, for good.
  void remove(ContainerView* view);

 private:
  bool wants(Object& object);
  void show(const model::Array<MoRef>& members);

  Kernel& kernel_;
  const Key key_;
  const std::shared_ptr<const Session> anybody_;
  std::vector<const model::ManagedInfo*> types_;
  std::optional<Access> access_;  // what it remembers holds until the next change
  std::uint64_t access_as_of_ = 0;
  std::set<ContainerView*> views_;
  DataPtr properties_;
  LiveMembers members_;
};

// The contents that views show at present.
class ContainerIndex {
 public:
  explicit ContainerIndex(Kernel& kernel) : kernel_(kernel) {}
  std::shared_ptr<ContainerContents> contents(ContainerContents::Key key);

 private:
  Kernel& kernel_;
  std::map<ContainerContents::Key, std::weak_ptr<ContainerContents>> known_;
};

// Not an Implements<>, which would own its properties: thousands of views may show the same.
class ContainerView final : public vim::ContainerView, public Object, private Watcher {
 public:
  ContainerView(Inventory& inventory, MoRef self, std::shared_ptr<ContainerContents> contents);

  const MoRef& ref() const override { return self(); }
  model::ManagedObject& interface() override { return *this; }

  // To be called once it is in the inventory.
  void open();
  void show(DataPtr properties) { publish(std::move(properties)); }

  Async<void> DestroyView(model::Call& call, const vim::DestroyViewRequestType& r) override;

 private:
  void object_removed(Object& self) override;

  std::shared_ptr<ContainerContents> contents_;
};

}  // namespace virga::kernel

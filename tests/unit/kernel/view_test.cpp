#include <gmock/gmock.h>

#include "kernel/container_view.h"
#include "kernel/view_manager.h"
#include "lab.h"

namespace virga::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Views : public testing::Test {
 protected:
  MoRef container_view(const MoRef& container, std::vector<std::string> types = {},
                       bool recursive = true) {
    vim::CreateContainerViewRequestType request;
    request.container = container;
    request.type = std::move(types);
    request.recursive = recursive;
    return lab.run(manager->CreateContainerView(lab.call, request));
  }
  MoRef list_view(std::vector<MoRef> objects) {
    vim::CreateListViewRequestType request;
    request.obj = std::move(objects);
    return lab.run(manager->CreateListView(lab.call, request));
  }
  std::vector<MoRef> members(const MoRef& view) {
    lab.settle();
    return members_of_snapshot(lab.kernel.inventory.get(view)->snapshot());
  }
  std::vector<std::string> ids(const MoRef& view) {
    std::vector<std::string> found;
    for (const MoRef& ref : members(view)) found.push_back(ref.value);
    return found;
  }
  static std::vector<MoRef> members_of_snapshot(const DataPtr& snapshot) {
    return static_cast<const vim::ManagedObjectViewProperties&>(*snapshot).view;
  }
  void destroy(const MoRef& view) {
    lab.run(lab.service<vim::View>(view)->DestroyView(lab.call, {}));
  }
  model::Array<MoRef> listed() {
    const auto object = lab.kernel.inventory.get({"ViewManager", "views"});
    return static_cast<const vim::ViewManagerProperties&>(
               *object->snapshot_for(lab.call.session.get()))
        .viewList;
  }

  Lab lab;
  std::shared_ptr<vim::ViewManager> manager =
      lab.service<vim::ViewManager>({"ViewManager", "views"});
};

TEST_F(Views, OfAContainerHoldAllThatIsInIt) {
  lab.add_machine("1", "web");
  EXPECT_THAT(ids(container_view(lab.root->self())),
              UnorderedElementsAre("dc", "group-v", "group-h", "group-s", "group-n", "cr", "pool",
                                   "host1", "store1", "1"));
  EXPECT_THAT(ids(container_view(lab.root->self(), {}, false)), ElementsAre("dc"));
  EXPECT_THAT(ids(container_view(lab.host->self())), ElementsAre("1"));
  EXPECT_THAT(ids(container_view(lab.compute->self(), {}, false)),
              UnorderedElementsAre("host1", "pool"));
  EXPECT_THAT(ids(container_view(lab.store->self())), IsEmpty());
}

TEST_F(Views, OfAContainerHoldCertainTypes) {
  lab.add_machine("1", "web");
  EXPECT_THAT(ids(container_view(lab.root->self(), {"VirtualMachine"})), ElementsAre("1"));
  EXPECT_THAT(ids(container_view(lab.root->self(), {"VirtualMachine", "HostSystem"})),
              UnorderedElementsAre("1", "host1"));
  EXPECT_EQ(ids(container_view(lab.root->self(), {"ManagedEntity"})).size(), 10u);
  EXPECT_THAT(ids(container_view(lab.root->self(), {"ClusterComputeResource"})), IsEmpty());
  EXPECT_EQ(fault_of([&] { container_view(lab.root->self(), {"Nonsense"}); }), "InvalidArgument");
}

TEST_F(Views, OfAContainerRefuseWhatIsNone) {
  EXPECT_EQ(fault_of([&] { container_view({"Folder", "nowhere"}); }), "ManagedObjectNotFound");
  EXPECT_EQ(fault_of([&] { container_view({"ViewManager", "views"}); }), "InvalidArgument");
}

TEST_F(Views, OfAContainerFollowTheInventory) {
  const MoRef view = container_view(lab.root->self(), {"VirtualMachine"});
  EXPECT_THAT(ids(view), IsEmpty());
  const auto web = lab.add_machine("1", "web");
  lab.add_machine("2", "db");
  EXPECT_THAT(ids(view), ElementsAre("1", "2"));
  lab.remove_machine(web);
  EXPECT_THAT(ids(view), ElementsAre("2"));

  const auto folder = lab.add_folder("group-1", "more", lab.vm_folder);
  const auto app = lab.add_machine("3", "app");
  lab.vm_folder->update([&](auto& p) { std::erase(p.childEntity, app->self()); });
  folder->update([&](auto& p) { p.childEntity = {app->self()}; });
  EXPECT_THAT(ids(view), ElementsAre("2", "3"));
  lab.vm_folder->update([&](auto& p) { std::erase(p.childEntity, folder->self()); });
  EXPECT_THAT(ids(view), ElementsAre("2", "3")) << "host and pool still hold it";
  lab.host->update([&](auto& p) { std::erase(p.vm, app->self()); });
  lab.pool->update([&](auto& p) { std::erase(p.vm, app->self()); });
  EXPECT_THAT(ids(view), ElementsAre("2"));
}

TEST_F(Views, AreNotTouchedByWhatDoesNotConcernThem) {
  const auto web = lab.add_machine("1", "web");
  const MoRef view = container_view(lab.root->self());
  lab.settle();
  const DataPtr before = lab.kernel.inventory.get(view)->snapshot();
  web->update([](auto& p) { p.name = "www"; });
  lab.vm_folder->update([](auto& p) { p.name = "machines"; });
  EXPECT_EQ(lab.io.poll(), 0u);
  EXPECT_EQ(lab.kernel.inventory.get(view)->snapshot().get(), before.get());
}

TEST_F(Views, OfTheSameContainerShareWhatTheyShow) {
  lab.add_machine("1", "web");
  const MoRef one = container_view(lab.root->self(), {"VirtualMachine"});
  lab.call.session = lab.log_in("root");
  const MoRef two = container_view(lab.root->self(), {"VirtualMachine"});
  lab.add_machine("2", "db");
  EXPECT_THAT(ids(one), ElementsAre("1", "2"));
  EXPECT_EQ(lab.kernel.inventory.get(one)->snapshot().get(),
            lab.kernel.inventory.get(two)->snapshot().get());
  destroy(one);
  lab.add_machine("3", "app");
  EXPECT_THAT(ids(two), ElementsAre("1", "2", "3"));
  destroy(two);
  lab.add_machine("4", "mail");
  EXPECT_THAT(ids(container_view(lab.root->self(), {"VirtualMachine"})),
              ElementsAre("1", "2", "3", "4"));
}

TEST_F(Views, OfAContainerHideWhatTheUserMayNotSee) {
  const auto web = lab.add_machine("1", "web");
  lab.add_machine("2", "db");
  lab.permit(web->self(), "viewer", kRoleNoAccess);
  EXPECT_THAT(ids(container_view(lab.vm_folder->self())), ElementsAre("1", "2"));
  lab.call.session = lab.log_in("viewer");
  EXPECT_THAT(ids(container_view(lab.vm_folder->self())), ElementsAre("2"));
  lab.call.session = lab.log_in("nobody");
  EXPECT_THAT(ids(container_view(lab.vm_folder->self())), IsEmpty());
}

TEST_F(Views, FollowPermissions) {
  const auto web = lab.add_machine("1", "web");
  lab.add_machine("2", "db");
  lab.call.session = lab.log_in("viewer");
  const MoRef viewers = container_view(lab.vm_folder->self());
  lab.call.session = lab.log_in("nobody");
  const MoRef nobodys = container_view(lab.root->self(), {"VirtualMachine"});
  EXPECT_THAT(ids(viewers), ElementsAre("1", "2"));
  EXPECT_THAT(ids(nobodys), IsEmpty());
  lab.permit(web->self(), "viewer", kRoleNoAccess);
  lab.permit(web->self(), "nobody", kRoleView);
  EXPECT_THAT(ids(viewers), ElementsAre("2"));
  EXPECT_THAT(ids(nobodys), ElementsAre("1"));
}

TEST_F(Views, BelongToTheirSession) {
  const auto web = lab.add_machine("1", "web");
  const MoRef view = container_view(lab.root->self());
  const MoRef list = list_view({web->self()});
  EXPECT_THAT(listed(), ElementsAre(view, list));
  destroy(list);
  EXPECT_THAT(listed(), ElementsAre(view));

  const SessionPtr first = std::exchange(lab.call.session, lab.log_in("root"));
  EXPECT_THAT(listed(), IsEmpty());
  vim::CreateListViewFromViewRequestType from;
  from.view = view;
  EXPECT_EQ(fault_of([&] { lab.run(manager->CreateListViewFromView(lab.call, from)); }),
            "ManagedObjectNotFound");

  lab.kernel.sessions.end(first->key);
  EXPECT_FALSE(lab.kernel.inventory.find(view));
  lab.add_machine("2", "db");  // nobody watches any more
  lab.remove_machine(web);
  lab.settle();
}

TEST_F(Views, OfAListHoldWhatTheClientNames) {
  const auto web = lab.add_machine("1", "web");
  const auto db = lab.add_machine("2", "db");
  const MoRef nobody{"VirtualMachine", "99"};
  const MoRef view = list_view({web->self(), nobody, web->self()});
  EXPECT_THAT(members(view), ElementsAre(web->self()));
  const auto list = lab.service<vim::ListView>(view);

  vim::ModifyListViewRequestType modify;
  modify.add = {db->self(), nobody, lab.host->self()};
  modify.remove = {web->self()};
  EXPECT_THAT(lab.run(list->ModifyListView(lab.call, modify)), ElementsAre(nobody));
  EXPECT_THAT(ids(view), ElementsAre("2", "host1"));

  lab.remove_machine(db);
  EXPECT_THAT(ids(view), ElementsAre("host1")) << "what is destroyed leaves";

  vim::ResetListViewRequestType reset;
  reset.obj = {web->self()};
  EXPECT_THAT(lab.run(list->ResetListView(lab.call, reset)), IsEmpty());
  EXPECT_THAT(ids(view), ElementsAre("1"));
}

TEST_F(Views, OfAListTakeOverAnotherView) {
  const auto web = lab.add_machine("1", "web");
  vim::CreateListViewFromViewRequestType from;
  from.view = container_view(lab.root->self(), {"VirtualMachine"});
  const MoRef copy = lab.run(manager->CreateListViewFromView(lab.call, from));
  EXPECT_THAT(ids(copy), ElementsAre("1"));
  lab.add_machine("2", "db");
  EXPECT_THAT(ids(copy), ElementsAre("1"));
  vim::ResetListViewFromViewRequestType reset;
  reset.view = from.view;
  lab.run(lab.service<vim::ListView>(copy)->ResetListViewFromView(lab.call, reset));
  EXPECT_THAT(ids(copy), ElementsAre("1", "2"));
  reset.view = web->self();
  EXPECT_EQ(fault_of([&] {
              lab.run(lab.service<vim::ListView>(copy)->ResetListViewFromView(lab.call, reset));
            }),
            "InvalidArgument");
}

TEST_F(Views, OfTheInventoryShowWhatIsOpen) {
  const MoRef view = lab.run(manager->CreateInventoryView(lab.call, {}));
  EXPECT_THAT(ids(view), ElementsAre("group-root"));
  const auto tree = lab.service<vim::InventoryView>(view);

  vim::OpenInventoryViewFolderRequestType open;
  const MoRef nowhere{"Folder", "nowhere"};
  open.entity = {lab.root->self(), lab.datacenter->self(), lab.vm_folder->self(), nowhere};
  EXPECT_THAT(lab.run(tree->OpenInventoryViewFolder(lab.call, open)), ElementsAre(nowhere));
  const std::vector<std::string> folders = {"group-root", "dc",      "group-v",
                                            "group-h",    "group-s", "group-n"};
  EXPECT_THAT(ids(view), testing::UnorderedElementsAreArray(folders));
  lab.add_machine("1", "web");
  EXPECT_THAT(ids(view), testing::Contains("1"));

  vim::CloseInventoryViewFolderRequestType close;
  close.entity = {lab.datacenter->self()};
  EXPECT_THAT(lab.run(tree->CloseInventoryViewFolder(lab.call, close)), IsEmpty());
  EXPECT_THAT(ids(view), ElementsAre("group-root", "dc"));
  destroy(view);
  lab.add_machine("2", "db");
  lab.settle();
}

}  // namespace
}  // namespace virga::kernel

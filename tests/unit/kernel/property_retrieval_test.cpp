#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "kernel/property_collector.h"
#include "lab.h"

namespace virga::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Contents = model::List<vim::ObjectContent>;

class Retrieval : public testing::Test {
 protected:
  Contents read(std::vector<vim::PropertyFilterSpec> specs) {
    vim::RetrievePropertiesRequestType request;
    for (auto& spec : specs) request.specSet.push_back(std::move(spec));
    return lab.run(collector->RetrieveProperties(lab.call, request));
  }
  Contents read(vim::PropertyFilterSpec spec) { return read(std::vector{std::move(spec)}); }

  static std::vector<std::string> objects(const Contents& contents) {
    std::vector<std::string> ids;
    for (const auto& content : contents) ids.push_back(content->obj.value);
    return ids;
  }
  static std::vector<std::string> paths(const vim::ObjectContent& content) {
    std::vector<std::string> names;
    for (const auto& property : content.propSet) names.push_back(property->name);
    return names;
  }
  static std::vector<std::string> missing(const vim::ObjectContent& content) {
    std::vector<std::string> found;
    for (const auto& property : content.missingSet)
      found.push_back(property->path + " " + std::string(property->fault.fault->type_info().name));
    return found;
  }
  static const Any& value(const vim::ObjectContent& content, const std::string& path) {
    for (const auto& property : content.propSet) {
      if (property->name == path) return property->val;
    }
    static const Any none;
    return none;
  }

  Lab lab;
  std::shared_ptr<vim::PropertyCollector> collector =
      lab.service<vim::PropertyCollector>({"PropertyCollector", "collector"});
};

TEST_F(Retrieval, ReadsTheRequestedPathsOfEachObject) {
  const auto web = lab.add_machine("1", "web");
  const auto db = lab.add_machine("2", "db");
  db->update(
      [](auto& p) { p.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOn; });
  const Contents contents =
      read(spec_of({web->self(), db->self()}, "VirtualMachine", {"name", "runtime.powerState"}));
  ASSERT_THAT(objects(contents), ElementsAre("1", "2"));
  EXPECT_THAT(paths(*contents[1]), ElementsAre("name", "runtime.powerState"));
  EXPECT_EQ(*value(*contents[1], "name").get<std::string>(), "db");
  EXPECT_EQ(*value(*contents[1], "runtime.powerState").get<vim::VirtualMachinePowerState>(),
            vim::VirtualMachinePowerState::poweredOn);
}

TEST_F(Retrieval, SharesTheValuesWithTheObject) {
  const auto web = lab.add_machine("1", "web");
  const Contents contents = read(spec_of({web->self()}, "VirtualMachine", {"runtime"}));
  EXPECT_EQ(value(*contents[0], "runtime").value(), web->properties().runtime.get());
}

TEST_F(Retrieval, LeavesOutWhatIsUnsetButNotEmptyArrays) {
  const auto web = lab.add_machine("1", "web");
  const Contents contents =
      read(spec_of({web->self()}, "VirtualMachine", {"config", "config.name", "network"}));
  EXPECT_THAT(paths(*contents[0]), ElementsAre("network"));
  EXPECT_THAT(*value(*contents[0], "network").get<model::Array<MoRef>>(), IsEmpty());
}

TEST_F(Retrieval, ReadsAnElementByItsKey) {
  const auto web = lab.add_machine("1", "web");
  web->update([](auto& p) {
    vim::VirtualMachineConfigInfo& config = p.config.edit();
    for (const int key : {200, 4000}) {
      vim::VirtualE1000 card;
      card.key = key;
      config.hardware.device.push_back(model::share(card));
    }
  });
  const Contents contents =
      read(spec_of({web->self()}, "VirtualMachine",
                   {"config.hardware.device[4000].key", "config.hardware.device[5].key"}));
  EXPECT_THAT(paths(*contents[0]), ElementsAre("config.hardware.device[4000].key"));
  EXPECT_EQ(*value(*contents[0], "config.hardware.device[4000].key").get<std::int32_t>(), 4000);
}

TEST_F(Retrieval, MatchesObjectsByTheirBaseTypesAndMergesWhatIsAsked) {
  const auto web = lab.add_machine("1", "web");
  vim::PropertyFilterSpec spec =
      spec_of({web->self(), lab.root->self()}, "ManagedEntity", {"name"});
  vim::PropertySpec& more = spec.propSet.emplace_back();
  more.type = "VirtualMachine";
  more.pathSet = {"runtime.powerState", "name"};
  const Contents contents = read(spec);
  ASSERT_EQ(contents.size(), 2u);
  EXPECT_THAT(paths(*contents[0]), ElementsAre("name", "runtime.powerState"));
  EXPECT_THAT(paths(*contents[1]), ElementsAre("name"));
}

TEST_F(Retrieval, ReportsAnObjectOnceHoweverManySpecsSelectIt) {
  const auto web = lab.add_machine("1", "web");
  const Contents contents =
      read({spec_of({web->self(), web->self()}, "VirtualMachine", {"name"}),
            spec_of({web->self()}, "VirtualMachine", {"name", "runtime.powerState"})});
  ASSERT_THAT(objects(contents), ElementsAre("1"));
  EXPECT_THAT(paths(*contents[0]), ElementsAre("name", "runtime.powerState"));
}

TEST_F(Retrieval, AsksForAllOrForNothingButTheObject) {
  EXPECT_THAT(paths(*read(spec_of({lab.root->self()}, "Folder", {}))[0]), IsEmpty());
  EXPECT_THAT(paths(*read(everything_of({lab.root->self()}, "Folder"))[0]),
              testing::IsSupersetOf({"name", "childEntity", "permission"}));
}

TEST_F(Retrieval, LeavesOutObjectsOfTypesNobodyAsksFor) {
  const Contents contents =
      read(spec_of({lab.root->self(), lab.host->self()}, "HostSystem", {"name"}));
  EXPECT_THAT(objects(contents), ElementsAre("host1"));
}

TEST_F(Retrieval, FollowsRecursiveTraversals) {
  const auto outer = lab.add_folder("group-1", "outer", lab.vm_folder);
  const auto inner = lab.add_folder("group-2", "inner", outer);
  const auto web = lab.add_machine("1", "web");
  inner->update([&](auto& p) { p.childEntity = {web->self()}; });
  const Contents contents = read(walk_from(
      lab.root->self(),
      {traversal("folders", "Folder", "childEntity", {named("folders"), named("datacenters")}),
       traversal("datacenters", "Datacenter", "vmFolder", {named("folders")})},
      "ManagedEntity", {}));
  EXPECT_THAT(objects(contents), UnorderedElementsAre("dc", "group-v", "group-1", "group-2", "1"));
}

TEST_F(Retrieval, EndsWhereTraversalsGoInACircle) {
  const Contents contents =
      read(walk_from(lab.datacenter->self(),
                     {traversal("down", "Datacenter", "vmFolder",
                                {traversal("up", "Folder", "parent", {named("down")})})},
                     "ManagedEntity", {"name"}));
  EXPECT_THAT(objects(contents), ElementsAre("group-v", "dc"));
}

TEST_F(Retrieval, SkipsWhatATraversalOnlyPassesThrough) {
  lab.add_machine("1", "web");
  auto through = traversal("", "Datacenter", "vmFolder", {traversal("", "Folder", "childEntity")});
  static_cast<vim::TraversalSpec&>(through.edit()).skip = true;
  const Contents contents =
      read(walk_from(lab.datacenter->self(), {through}, "ManagedEntity", {"name"}));
  EXPECT_THAT(objects(contents), ElementsAre("1"));
}

TEST_F(Retrieval, NamesMeanTheTraversalOfTheirOwnObjectFirst) {
  lab.add_machine("1", "web");
  vim::PropertyFilterSpec spec = walk_from(
      lab.datacenter->self(), {traversal("next", "Datacenter", "vmFolder"), named("next")},
      "ManagedEntity", {"name"});
  vim::ObjectSpec& other = spec.objectSet.emplace_back();
  other.obj = lab.compute->self();
  other.skip = true;
  other.selectSet.push_back(traversal("next", "ComputeResource", "host"));
  other.selectSet.push_back(named("next"));
  EXPECT_THAT(objects(read(spec)), ElementsAre("group-v", "host1"));
}

TEST_F(Retrieval, RefusesWhatTheSchemaDoesNotHave) {
  const MoRef root = lab.root->self();
  EXPECT_EQ(fault_of([&] { read(spec_of({root}, "Folder", {"nonsense"})); }), "InvalidProperty");
  EXPECT_EQ(fault_of([&] { read(spec_of({root}, "Folder", {"name..x"})); }), "InvalidProperty");
  // A path of a derived type is none of the base's.
  EXPECT_EQ(fault_of([&] { read(spec_of({root}, "ManagedEntity", {"childEntity"})); }),
            "InvalidProperty");
  EXPECT_EQ(fault_of([&] { read(spec_of({root}, "Volder", {"name"})); }), "InvalidType");
  EXPECT_EQ(
      fault_of([&] { read(walk_from(root, {traversal("", "Folder", "children")}, "Folder", {})); }),
      "InvalidProperty");
  EXPECT_EQ(fault_of([&] { read(walk_from(root, {named("nobody")}, "Folder", {})); }),
            "InvalidArgument");
}

TEST_F(Retrieval, KnowsTypesOfWhichThereAreNoObjects) {
  const Contents contents =
      read(walk_from(lab.host_folder->self(),
                     {traversal("", "ClusterComputeResource", "configuration.group"),
                      traversal("", "Folder", "childEntity")},
                     "ManagedEntity", {}));
  EXPECT_THAT(objects(contents), ElementsAre("cr"));
  EXPECT_THAT(read(spec_of({lab.compute->self()}, "ClusterComputeResource", {"configuration"})),
              IsEmpty());
}

TEST_F(Retrieval, KnowsNothingNewerThanTheClient) {
  const auto folder = spec_of({lab.root->self()}, "Folder", {"namespace"});  // of 7.0
  EXPECT_EQ(fault_of([&] { read(folder); }), "");
  lab.call.version = {{6, 7, 0, 0}};
  EXPECT_EQ(fault_of([&] { read(folder); }), "InvalidProperty");
  lab.root->update([](auto& p) { p.namespace_ = "x"; });
  EXPECT_THAT(paths(*read(everything_of({lab.root->self()}, "Folder"))[0]),
              testing::Not(testing::Contains("namespace")));
}

TEST_F(Retrieval, NamesAMissingObjectUnlessAskedToGoOn) {
  vim::PropertyFilterSpec spec =
      spec_of({{"VirtualMachine", "99"}, lab.root->self()}, "ManagedEntity", {"name"});
  EXPECT_EQ(fault_of([&] { read(spec); }), "ManagedObjectNotFound");
  spec.reportMissingObjectsInResults = true;
  EXPECT_THAT(objects(read(spec)), ElementsAre("group-root"));
}

TEST_F(Retrieval, TellsWhichPropertiesTheReaderMayNotHave) {
  const auto web = lab.add_machine("1", "web");
  const auto spec = spec_of({web->self()}, "VirtualMachine", {"name", "runtime.powerState"});

  lab.call.session = lab.log_in("viewer");
  Contents contents = read(spec);
  EXPECT_THAT(paths(*contents[0]), ElementsAre("name"));
  EXPECT_THAT(missing(*contents[0]), ElementsAre("runtime.powerState NoPermission"));

  lab.call.session = nullptr;
  contents = read(spec);
  EXPECT_THAT(paths(*contents[0]), IsEmpty());
  EXPECT_THAT(missing(*contents[0]),
              ElementsAre("name NotAuthenticated", "runtime.powerState NotAuthenticated"));
}

TEST_F(Retrieval, AsksThePermissionsNearestToEachObject) {
  const auto web = lab.add_machine("1", "web");
  const auto db = lab.add_machine("2", "db");
  lab.permit(db->self(), "root", kRoleNoAccess);
  const Contents contents = read(spec_of({web->self(), db->self()}, "VirtualMachine", {"name"}));
  EXPECT_THAT(missing(*contents[0]), IsEmpty());
  EXPECT_THAT(missing(*contents[1]), ElementsAre("name NoPermission"));
}

TEST_F(Retrieval, AnotherSessionsObjectsDoNotExist) {
  vim::CreateFilterRequestType request;
  request.spec = spec_of({lab.root->self()}, "Folder", {"name"});
  const MoRef filter = lab.run(collector->CreateFilter(lab.call, request));
  const auto spec = spec_of({filter}, "PropertyFilter", {"partialUpdates"});
  EXPECT_THAT(paths(*read(spec)[0]), ElementsAre("partialUpdates"));

  const auto own = spec_of({{"PropertyCollector", "collector"}}, "PropertyCollector", {"filter"});
  EXPECT_THAT(*value(*read(own)[0], "filter").get<model::Array<MoRef>>(), ElementsAre(filter));

  lab.call.session = lab.log_in("root");
  EXPECT_EQ(fault_of([&] { read(spec); }), "ManagedObjectNotFound");
  EXPECT_THAT(*value(*read(own)[0], "filter").get<model::Array<MoRef>>(), IsEmpty());
}

// Readers take snapshots while the kernel changes objects, adds and removes them: what one of them
// reads of an object belongs together.
TEST_F(Retrieval, ReadsEachObjectAsItIsBetweenTwoChanges) {
  std::vector<std::shared_ptr<MachineExhibit>> machines;
  for (int i = 0; i < 20; ++i) machines.push_back(lab.add_machine("vm" + std::to_string(i), ""));
  model::List<vim::PropertyFilterSpec> specs;
  specs.push_back(walk_from(lab.vm_folder->self(), {traversal("", "Folder", "childEntity")},
                            "VirtualMachine", {"name", "summary.config.name"}));
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0;
  const auto read_on = [&] {
    while (!done) {
      for (const auto& content : retrieve(lab.kernel, Reader::of(lab.call), specs)) {
        if (content->propSet.size() == 2 && !(content->propSet[0]->val == content->propSet[1]->val))
          ++torn;
      }
    }
  };
  std::thread one(read_on), two(read_on);
  for (int step = 0; step < 2000; ++step) {
    auto& machine = machines[static_cast<std::size_t>(step) % machines.size()];
    if (step % 5 == 0) {
      const std::string id = machine->self().value;
      lab.remove_machine(machine);
      machine = lab.add_machine(id, "");
    }
    machine->update([&](auto& p) {
      p.name = "name-" + std::to_string(step);
      p.summary.edit().config.name = p.name;
    });
  }
  done = true;
  one.join();
  two.join();
  EXPECT_EQ(torn, 0);
}

class PagedRetrieval : public Retrieval {
 protected:
  PagedRetrieval() {
    for (int i = 1; i <= 5; ++i) lab.add_machine(std::to_string(i), "vm" + std::to_string(i));
    request.specSet.push_back(walk_from(lab.vm_folder->self(),
                                        {traversal("", "Folder", "childEntity")}, "VirtualMachine",
                                        {"name"}));
  }
  model::Ptr<vim::RetrieveResult> begin(std::optional<std::int32_t> size) {
    request.options.maxObjects = size;
    return lab.run(collector->RetrievePropertiesEx(lab.call, request));
  }
  model::Ptr<vim::RetrieveResult> next(const std::string& token) {
    vim::ContinueRetrievePropertiesExRequestType more;
    more.token = token;
    return lab.run(collector->ContinueRetrievePropertiesEx(lab.call, more));
  }

  vim::RetrievePropertiesExRequestType request;
};

TEST_F(PagedRetrieval, GivesThePagesOneAfterTheOther) {
  const auto first = begin(2);
  EXPECT_THAT(objects(first->objects), ElementsAre("1", "2"));
  const auto second = next(*first->token);
  EXPECT_THAT(objects(second->objects), ElementsAre("3", "4"));
  const auto third = next(*second->token);
  EXPECT_THAT(objects(third->objects), ElementsAre("5"));
  EXPECT_FALSE(third->token);
  EXPECT_EQ(fault_of([&] { next(*second->token); }), "InvalidArgument");
}

TEST_F(PagedRetrieval, GivesAllWithoutALimit) {
  const auto all = begin(std::nullopt);
  EXPECT_EQ(all->objects.size(), 5u);
  EXPECT_FALSE(all->token);
  EXPECT_EQ(fault_of([&] { begin(0); }), "InvalidArgument");
}

TEST_F(PagedRetrieval, ForgetsWhatIsCanceledOrAnothersOwn) {
  const auto first = begin(2);
  const SessionPtr mine = std::exchange(lab.call.session, lab.log_in("root"));
  EXPECT_EQ(fault_of([&] { next(*first->token); }), "InvalidArgument");
  lab.call.session = mine;
  vim::CancelRetrievePropertiesExRequestType cancel;
  cancel.token = *first->token;
  lab.run(collector->CancelRetrievePropertiesEx(lab.call, cancel));
  EXPECT_EQ(fault_of([&] { next(*first->token); }), "InvalidArgument");
}

TEST_F(PagedRetrieval, AnswersNothingWhenThereIsNothing) {
  request.specSet.clear();
  request.specSet.push_back(spec_of({lab.root->self()}, "VirtualMachine", {"name"}));
  EXPECT_FALSE(begin(2));
}

}  // namespace
}  // namespace virga::kernel

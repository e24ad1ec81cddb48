#include <gmock/gmock.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "kernel/property_collector.h"
#include "lab.h"

namespace virga::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::string text_of(const Any& value) {
  if (!value) return "unset";
  if (const auto* text = value.get<std::string>()) return *text;
  if (const auto* number = value.get<std::int32_t>()) return std::to_string(*number);
  const model::ValueType& type = *value.type();
  if (type.enumeration && type.kind == model::Kind::enumeration)
    return std::string(type.enumeration->values[type.index(value.value())]);
  if (type.kind == model::Kind::array) return fmt::format("[{}]", type.size(value.value()));
  return std::string(type.name);
}

// "modify 1: assign name=web, …" for each object of each filter.
std::vector<std::string> lines_of(const model::Ptr<vim::UpdateSet>& set) {
  static constexpr std::string_view kKinds[] = {"modify", "enter", "leave"};
  static constexpr std::string_view kOps[] = {"add", "remove", "assign", "indirectRemove"};
  std::vector<std::string> lines;
  if (!set) return lines;
  for (const auto& filter : set->filterSet) {
    for (const auto& update : filter->objectSet) {
      std::string line =
          fmt::format("{} {}", kKinds[static_cast<int>(update->kind)], update->obj.value);
      for (const auto& change : update->changeSet)
        line += fmt::format(" {} {}={}", kOps[static_cast<int>(change->op)], change->name,
                            text_of(change->val));
      for (const auto& missing : update->missingSet)
        line += fmt::format(" {}:{}", missing->path, missing->fault.fault->type_info().name);
      lines.push_back(line);
    }
    for (const auto& missing : filter->missingSet) lines.push_back("missing " + missing->obj.value);
  }
  return lines;
}

class Filters : public testing::Test {
 protected:
  MoRef create_filter(vim::PropertyFilterSpec spec, bool partial_updates = false) {
    vim::CreateFilterRequestType request;
    request.spec = std::move(spec);
    request.partialUpdates = partial_updates;
    return lab.run(collector->CreateFilter(lab.call, request));
  }
  // All machines by the folder that holds them.
  MoRef create_machine_filter(bool partial_updates = false) {
    return create_filter(walk_from(lab.vm_folder->self(), {traversal("", "Folder", "childEntity")},
                                   "VirtualMachine", {"name", "runtime.powerState"}),
                         partial_updates);
  }
  void destroy(const MoRef& filter) {
    const auto object = lab.service<vim::PropertyFilter>(filter);
    lab.run(object->DestroyPropertyFilter(lab.call, {}));
  }

  vim::WaitForUpdatesExRequestType request(std::optional<std::int32_t> seconds,
                                           std::optional<std::int32_t> objects = {}) const {
    vim::WaitForUpdatesExRequestType wait;
    wait.version = version;
    vim::WaitOptions options;
    options.maxWaitSeconds = seconds;
    options.maxObjectUpdates = objects;
    wait.options = model::share(options);
    return wait;
  }
  // What has changed since the last time.
  model::Ptr<vim::UpdateSet> check(std::optional<std::int32_t> objects = {}) {
    const auto set = lab.run(collector->WaitForUpdatesEx(lab.call, request(0, objects)));
    if (set) version = set->version;
    return set;
  }
  std::vector<std::string> changes() { return lines_of(check()); }

  // A call that waits for ever, or until it is told.
  struct Waiter {
    std::optional<model::Ptr<vim::UpdateSet>> answer;
    std::exception_ptr failure;
    asio::cancellation_signal cancel;
    vim::WaitForUpdatesExRequestType request;

    std::string fault() const {
      return fault_of([this] {
        if (failure) std::rethrow_exception(failure);
      });
    }
  };
  std::shared_ptr<Waiter> start_waiting(std::optional<std::int32_t> seconds = {}) {
    auto waiter = std::make_shared<Waiter>();
    waiter->request = request(seconds);
    asio::co_spawn(lab.io, collector->WaitForUpdatesEx(lab.call, waiter->request),
                   asio::bind_cancellation_slot(
                       waiter->cancel.slot(),
                       [waiter](std::exception_ptr thrown, model::Ptr<vim::UpdateSet> set) {
                         waiter->failure = thrown;
                         if (!thrown) waiter->answer = set;
                       }));
    lab.settle();
    return waiter;
  }

  Lab lab;
  std::shared_ptr<vim::PropertyCollector> collector =
      lab.service<vim::PropertyCollector>({"PropertyCollector", "collector"});
  std::string version;
};

void power_on(MachineExhibit& machine) {
  machine.update(
      [](auto& p) { p.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOn; });
}

TEST_F(Filters, TellEverythingFirstAndThenWhatChanges) {
  const auto web = lab.add_machine("1", "web");
  lab.add_machine("2", "db");
  create_machine_filter();
  EXPECT_THAT(changes(),
              ElementsAre("enter 1 assign name=web assign runtime.powerState=poweredOff",
                          "enter 2 assign name=db assign runtime.powerState=poweredOff"));
  EXPECT_THAT(changes(), IsEmpty());
  power_on(*web);
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign runtime.powerState=poweredOn"));
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(Filters, TellSeveralChangesOfAnObjectAtOnceAndNoneThatWasUndone) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  web->update([](auto& p) { p.name = "a"; });
  web->update([](auto& p) { p.name = "b"; });
  power_on(*web);
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign name=b assign runtime.powerState=poweredOn"));
  web->update([](auto& p) { p.name = "c"; });
  web->update([](auto& p) { p.name = "b"; });
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(Filters, FollowTheComingAndGoingOfObjects) {
  lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  const auto db = lab.add_machine("2", "db");
  EXPECT_THAT(changes(),
              ElementsAre("enter 2 assign name=db assign runtime.powerState=poweredOff"));
  lab.remove_machine(db);
  EXPECT_THAT(changes(), ElementsAre("leave 2"));
  lab.vm_folder->update([](auto& p) { p.childEntity.clear(); });
  EXPECT_THAT(changes(), ElementsAre("leave 1"));
}

TEST_F(Filters, SayNothingOfObjectsThatCameAndWentUnnoticed) {
  create_machine_filter();
  changes();
  lab.remove_machine(lab.add_machine("1", "web"));
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(Filters, KeepAnObjectThatLeftAndCameBack) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  lab.vm_folder->update([](auto& p) { p.childEntity.clear(); });
  power_on(*web);
  lab.vm_folder->update([&](auto& p) { p.childEntity = {web->self()}; });
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign runtime.powerState=poweredOn"));
}

TEST_F(Filters, TakeAnObjectOfTheSameNameForAnother) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  lab.remove_machine(web);
  lab.add_machine("1", "other");
  EXPECT_THAT(
      changes(),
      ElementsAre("leave 1", "enter 1 assign name=other assign runtime.powerState=poweredOff"));
}

TEST_F(Filters, TellOnlyWhatChangedInsideWhenUpdatesArePartial) {
  const auto web = lab.add_machine("1", "web");
  web->update([](auto& p) { p.summary.edit().config.name = "web"; });
  create_filter(spec_of({web->self()}, "VirtualMachine", {"summary"}), true);
  create_filter(spec_of({web->self()}, "VirtualMachine", {"summary"}), false);
  changes();
  web->update([](auto& p) { p.summary.edit().config.name = "www"; });
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign summary.config.name=www",
                                     "modify 1 assign summary=VirtualMachineSummary"));
}

TEST_F(Filters, TellAPropertyThatHasNoValueAnyMoreByWhatIsAroundIt) {
  const auto web = lab.add_machine("1", "web");
  web->update([](auto& p) { p.guest.edit().hostName = "web"; });
  create_filter(spec_of({web->self()}, "VirtualMachine", {"guest", "guest.hostName"}));
  EXPECT_THAT(changes(), ElementsAre("enter 1 assign guest=GuestInfo assign guest.hostName=web"));
  web->update([](auto& p) { p.guest.edit().hostName.reset(); });
  EXPECT_THAT(changes(),
              ElementsAre("modify 1 assign guest=GuestInfo assign guest.hostName=unset"));
  web->update([](auto& p) { p.guest.edit().hostName = "web"; });
  changes();
  web->update([](auto& p) { p.guest.reset(); });
  EXPECT_THAT(changes(),
              ElementsAre("modify 1 assign guest=unset indirectRemove guest.hostName=unset"));
}

TEST_F(Filters, TellAnArrayThatBecameEmpty) {
  const auto web = lab.add_machine("1", "web");
  web->update([&](auto& p) { p.datastore = {lab.store->self()}; });
  create_filter(spec_of({web->self()}, "VirtualMachine", {"datastore"}));
  EXPECT_THAT(changes(), ElementsAre("enter 1 assign datastore=[1]"));
  web->update([](auto& p) { p.datastore.clear(); });
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign datastore=[0]"));
}

TEST_F(Filters, TellWhichPropertiesTheReaderMayNotHave) {
  const auto web = lab.add_machine("1", "web");
  lab.call.session = lab.log_in("viewer");
  create_machine_filter();
  EXPECT_THAT(changes(), ElementsAre("enter 1 assign name=web runtime.powerState:NoPermission"));
  power_on(*web);
  EXPECT_THAT(changes(), ElementsAre("modify 1 runtime.powerState:NoPermission"));
}

TEST_F(Filters, ReportMissingObjectsIfAskedTo) {
  vim::PropertyFilterSpec spec =
      spec_of({{"VirtualMachine", "99"}, lab.root->self()}, "ManagedEntity", {"name"});
  EXPECT_EQ(fault_of([&] { create_filter(spec); }), "ManagedObjectNotFound");
  spec.reportMissingObjectsInResults = true;
  create_filter(spec);
  EXPECT_THAT(changes(), ElementsAre("enter group-root assign name=Datacenters", "missing 99"));
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(Filters, RefuseWhatTheSchemaDoesNotHave) {
  EXPECT_EQ(fault_of([&] { create_filter(spec_of({lab.root->self()}, "Folder", {"nonsense"})); }),
            "InvalidProperty");
}

TEST_F(Filters, EndWithTheirDestruction) {
  const auto web = lab.add_machine("1", "web");
  const MoRef filter = create_machine_filter();
  changes();
  power_on(*web);
  destroy(filter);
  EXPECT_THAT(changes(), IsEmpty());
  EXPECT_FALSE(lab.kernel.inventory.find(filter));
  power_on(*web);  // nobody watches any more
  lab.add_machine("2", "db");
}

TEST_F(Filters, OfACollectorOfItsOwnAreApart) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  const MoRef own = lab.run(collector->CreatePropertyCollector(lab.call, {}));
  const auto main = std::exchange(collector, lab.service<vim::PropertyCollector>(own));
  EXPECT_THAT(changes(), IsEmpty());
  const MoRef filter = create_filter(spec_of({web->self()}, "VirtualMachine", {"name"}));
  EXPECT_THAT(changes(), ElementsAre("enter 1 assign name=web"));

  const auto waiter = start_waiting();
  lab.run(collector->DestroyPropertyCollector(lab.call, {}));
  lab.settle();
  EXPECT_EQ(waiter->fault(), "RequestCanceled");
  EXPECT_FALSE(lab.kernel.inventory.find(filter));
  EXPECT_FALSE(lab.kernel.inventory.find(own));
  web->update([](auto& p) { p.name = "www"; });

  EXPECT_EQ(fault_of([&] { lab.run(main->DestroyPropertyCollector(lab.call, {})); }),
            "NotSupported");
}

TEST_F(Filters, AnswerInPartsOfTheSizeAskedFor) {
  for (int i = 1; i <= 5; ++i) lab.add_machine(std::to_string(i), "vm" + std::to_string(i));
  create_machine_filter();
  create_filter(spec_of({lab.root->self()}, "Folder", {"name"}));
  auto set = check(2);
  EXPECT_EQ(lines_of(set).size(), 2u);
  EXPECT_TRUE(set->truncated.value_or(false));
  set = check(3);
  EXPECT_EQ(lines_of(set).size(), 3u);
  EXPECT_TRUE(set->truncated.value_or(false));
  set = check(3);
  EXPECT_THAT(lines_of(set), ElementsAre("enter group-root assign name=Datacenters"));
  EXPECT_FALSE(set->truncated.value_or(false));
  EXPECT_EQ(fault_of([&] { check(0); }), "InvalidArgument");
}

TEST_F(Filters, AnswerManyObjectsFromAnotherThread) {
  for (int i = 1; i <= 500; ++i) lab.add_machine(std::to_string(i), "vm");
  create_machine_filter();
  EXPECT_EQ(changes().size(), 500u);
  EXPECT_THAT(changes(), IsEmpty());
}

// Versions.

TEST_F(Filters, SendAnAnswerAgainUntilTheClientShowsThatItHasIt) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  check();
  const std::string before = version;
  power_on(*web);
  const std::string first = check()->version;
  web->update([](auto& p) { p.name = "www"; });
  version = before;  // as if the answer had been lost
  const auto again = check();
  EXPECT_EQ(again->version, first);
  EXPECT_THAT(lines_of(again), ElementsAre("modify 1 assign runtime.powerState=poweredOn"));
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign name=www"));
  version = before;
  EXPECT_EQ(fault_of([&] { check(); }), "InvalidCollectorVersion");
}

TEST_F(Filters, BeginAnewWithTheEmptyVersion) {
  lab.add_machine("1", "web");
  create_machine_filter();
  const auto all = changes();
  version = "";
  EXPECT_EQ(changes(), all);
  for (const char* wrong : {"0", "99", "x", "1x", "-1"}) {
    version = wrong;
    EXPECT_EQ(fault_of([&] { check(); }), "InvalidCollectorVersion") << wrong;
  }
}

// Waiting.

TEST_F(Filters, WakeTheirWaiterAtTheChange) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  const auto waiter = start_waiting();
  EXPECT_FALSE(waiter->answer);
  power_on(*web);
  lab.settle();
  ASSERT_TRUE(waiter->answer);
  EXPECT_THAT(lines_of(*waiter->answer),
              ElementsAre("modify 1 assign runtime.powerState=poweredOn"));
}

TEST_F(Filters, LeaveTheirWaiterAloneWithWhatItDidNotAskFor) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  const auto waiter = start_waiting();
  web->update([](auto& p) { p.guest.edit().hostName = "web"; });
  lab.vm_folder->update([](auto& p) { p.name = "machines"; });
  EXPECT_EQ(lab.io.poll(), 0u) << "somebody was woken";
  web->update([](auto& p) { p.runtime.edit().toolsInstallerMounted = true; });
  lab.settle();
  EXPECT_FALSE(waiter->answer) << "a neighbour of a requested property is none";
  lab.add_machine("2", "db");
  lab.settle();
  ASSERT_TRUE(waiter->answer);
}

TEST_F(Filters, WakeTheirWaiterWhenTheyAreMade) {
  lab.add_machine("1", "web");
  const auto waiter = start_waiting();
  EXPECT_FALSE(waiter->answer);
  create_machine_filter();
  lab.settle();
  ASSERT_TRUE(waiter->answer);
}

TEST_F(Filters, AnswerNothingAfterTheTimeAskedFor) {
  create_machine_filter();
  EXPECT_FALSE(lab.run(collector->WaitForUpdatesEx(lab.call, request(1))));
  EXPECT_EQ(fault_of([&] { lab.run(collector->WaitForUpdatesEx(lab.call, request(-1))); }),
            "InvalidArgument");
}

TEST_F(Filters, AnswerTheOlderCallsAsWell) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  vim::CheckForUpdatesRequestType check_request;
  auto set = lab.run(collector->CheckForUpdates(lab.call, check_request));
  EXPECT_EQ(lines_of(set).size(), 1u);
  check_request.version = set->version;
  EXPECT_FALSE(lab.run(collector->CheckForUpdates(lab.call, check_request)));
  power_on(*web);
  vim::WaitForUpdatesRequestType wait_request;
  wait_request.version = set->version;
  set = lab.run(collector->WaitForUpdates(lab.call, wait_request));
  EXPECT_THAT(lines_of(set), ElementsAre("modify 1 assign runtime.powerState=poweredOn"));
}

TEST_F(Filters, TellEveryWaiterOfTheSameCollector) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  const auto one = start_waiting(), two = start_waiting();
  power_on(*web);
  lab.settle();
  ASSERT_TRUE(one->answer && two->answer);
  EXPECT_EQ((*one->answer)->version, (*two->answer)->version);
  EXPECT_EQ(lines_of(*one->answer), lines_of(*two->answer));
}

TEST_F(Filters, WaitNoLongerThanTheyAreLet) {
  create_machine_filter();
  const auto one = start_waiting(), two = start_waiting(3600);
  lab.run(collector->CancelWaitForUpdates(lab.call, {}));
  lab.settle();
  EXPECT_EQ(one->fault(), "RequestCanceled");
  EXPECT_EQ(two->fault(), "RequestCanceled");
  const auto later = start_waiting();
  EXPECT_FALSE(later->failure);
}

TEST_F(Filters, EndWithTheSession) {
  const auto web = lab.add_machine("1", "web");
  const MoRef filter = create_machine_filter();
  changes();
  const MoRef own = lab.run(collector->CreatePropertyCollector(lab.call, {}));
  const auto main = std::exchange(collector, lab.service<vim::PropertyCollector>(own));
  version = "";
  create_machine_filter();
  changes();
  const auto on_own = start_waiting();
  collector = main;
  version = "";
  changes();
  const auto on_main = start_waiting(3600);

  lab.kernel.sessions.end(lab.call.session->key);
  lab.settle();
  EXPECT_EQ(on_own->fault(), "RequestCanceled");
  EXPECT_EQ(on_main->fault(), "RequestCanceled");
  EXPECT_FALSE(lab.kernel.inventory.find(filter));
  power_on(*web);  // nobody watches any more
  lab.remove_machine(web);
}

TEST_F(Filters, LoseNothingWhenAWaitingClientGoesAway) {
  const auto web = lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  const auto gone = start_waiting();
  gone->cancel.emit(asio::cancellation_type::terminal);
  lab.settle();
  EXPECT_TRUE(gone->failure);
  power_on(*web);
  lab.settle();
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign runtime.powerState=poweredOn"));

  // At the very moment of the change.
  const auto late = start_waiting();
  web->update([](auto& p) { p.name = "www"; });
  late->cancel.emit(asio::cancellation_type::terminal);
  lab.settle();
  EXPECT_THAT(changes(), ElementsAre("modify 1 assign name=www"));
}

TEST_F(Filters, MayBeLeftWaitingWhenTheDaemonEnds) {
  lab.add_machine("1", "web");
  create_machine_filter();
  changes();
  start_waiting();
  start_waiting(3600);
}

}  // namespace
}  // namespace virga::kernel

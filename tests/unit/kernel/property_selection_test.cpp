#include <gmock/gmock.h>

#include <random>
#include <set>

#include "kernel/retrieval.h"
#include "kernel/selection.h"
#include "lab.h"

namespace virga::kernel {
namespace {

// The members of a selection by what it tells of them.
class Audience : public Selection::Listener {
 public:
  bool wants(Object&) override { return true; }
  void entered(Object& object) override {
    EXPECT_TRUE(members.insert(object.self().value).second) << object.self().value;
  }
  void left(Object& object) override {
    EXPECT_EQ(members.erase(object.self().value), 1u) << object.self().value;
  }
  void changed(Object& object, const DataPtr&) override { changes.push_back(object.self().value); }
  void outdated() override { ++outdatings; }

  std::set<std::string> members;
  std::vector<std::string> changes;
  int outdatings = 0;
};

class Selections : public testing::Test {
 protected:
  ~Selections() override { selection.clear(); }

  void follow(const vim::PropertyFilterSpec& spec) {
    plan = std::make_unique<FilterPlan>(spec, lab.call.version);
    selection.follow(plan->selection());
    selection.refresh();
  }
  std::set<std::string> from_scratch() {
    std::set<std::string> found;
    for (const auto& object : select(*plan->selection(), Access(lab.kernel, reader)))
      found.insert(object->self().value);
    return found;
  }

  Lab lab;
  Reader reader = Reader::of(lab.call);
  Audience audience;
  std::unique_ptr<FilterPlan> plan;
  Selection selection{lab.kernel.inventory, lab.call.session->key, audience};
};

TEST_F(Selections, TellChangesOfMembersOnly) {
  const auto web = lab.add_machine("1", "web");
  follow(walk_from(lab.vm_folder->self(), {traversal("", "Folder", "childEntity")}, "ManagedEntity",
                   {}));
  lab.vm_folder->update([](auto& p) { p.name = "machines"; });
  web->update([](auto& p) { p.name = "www"; });
  EXPECT_THAT(audience.changes, testing::ElementsAre("1"));
  EXPECT_EQ(audience.outdatings, 0);
  lab.add_machine("2", "db");
  EXPECT_EQ(audience.outdatings, 1);
  EXPECT_THAT(audience.members, testing::ElementsAre("1"));
  selection.refresh();
  EXPECT_THAT(audience.members, testing::ElementsAre("1", "2"));
}

// A handful of folders whose links change at random.
class RandomFolders {
 public:
  RandomFolders(Inventory& inventory, unsigned seed) : inventory_(inventory), random_(seed) {
    make("f0");
  }

  void change() {
    const std::string id = any_name();
    const auto found = folders_.find(id);
    if (found == folders_.end()) return make(id);
    FolderExhibit& folder = *found->second;
    switch (pick(6)) {
      case 0:
        return id == "f0" ? void() : remove(id);
      case 1:
        return folder.update([](auto& p) {
          if (!p.childEntity.empty()) p.childEntity.erase(p.childEntity.begin());
        });
      case 2:
        return folder.update([&](auto& p) { p.parent = any_folder(); });
      default:
        return folder.update([&](auto& p) { p.childEntity.push_back(any_folder()); });
    }
  }

  void clear() {
    for (const auto& [id, folder] : folders_) inventory_.remove(folder->self());
  }

 private:
  std::size_t pick(std::size_t n) { return random_() % n; }
  std::string any_name() { return "f" + std::to_string(pick(12)); }
  MoRef any_folder() {
    return std::next(folders_.begin(), static_cast<std::ptrdiff_t>(pick(folders_.size())))
        ->second->self();
  }

  void make(const std::string& id) {
    folders_[id] = inventory_.emplace<FolderExhibit>(inventory_, MoRef{"Folder", id});
  }

  // As servers do: no reference stays behind, whether it goes before its object or after.
  void remove(const std::string& id) {
    const MoRef ref = folders_[id]->self();
    const bool first = pick(2) == 0;
    if (first) inventory_.remove(ref);
    folders_.erase(id);
    for (const auto& [other, folder] : folders_) {
      folder->update([&](auto& p) {
        std::erase(p.childEntity, ref);
        if (p.parent == ref) p.parent.reset();
      });
    }
    if (!first) inventory_.remove(ref);
  }

  Inventory& inventory_;
  std::mt19937 random_;
  std::map<std::string, std::shared_ptr<FolderExhibit>> folders_;
};

// Whatever happens, in circles too: the selection that is kept up to date must be the one that a
// fresh walk finds.
TEST_F(Selections, AgreeWithAFreshWalkWhateverHappens) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    RandomFolders folders(lab.kernel.inventory, seed);
    follow(walk_from({"Folder", "f0"},
                     {traversal("down", "Folder", "childEntity", {named("down"), named("up")}),
                      traversal("up", "Folder", "parent")},
                     "Folder", {}));
    for (int step = 0; step < 300; ++step) {
      folders.change();
      if (step % 7 != 0) continue;
      selection.refresh();
      ASSERT_EQ(audience.members, from_scratch()) << "step " << step;
    }
    selection.clear();
    audience.members.clear();
    folders.clear();
  }
}

}  // namespace
}  // namespace virga::kernel

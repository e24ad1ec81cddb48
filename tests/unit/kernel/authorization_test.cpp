#include "kernel/access.h"

#include <gtest/gtest.h>

#include "lab.h"

namespace virga::kernel {
namespace {

class Permissions : public testing::Test {
 protected:
  bool allows(const std::string& user, const MoRef& object, const std::string& privilege) {
    const auto& inventory = lab.kernel.inventory;
    const auto target = inventory.get(object);
    const bool allowed = lab.kernel.authorization.allows(inventory, user, *target, privilege);
    // What reads many objects goes by the same rules.
    EXPECT_EQ(Access(lab.kernel, {lab.log_in(user), lab.call.version}).allows(*target, privilege), allowed);
    return allowed;
  }

  Lab lab;
  const MoRef web = lab.add_machine("1", "web")->self(), db = lab.add_machine("2", "db")->self();
};

TEST_F(Permissions, OnOneMachineLetItBeFoundFromTheTop) {
  const MoRef service{"ViewManager", "views"};
  EXPECT_FALSE(allows("nobody", service, "System.View"));
  lab.permit(web, "nobody", kRoleView);
  for (const MoRef& above : {web, lab.vm_folder->self(), lab.datacenter->self(), lab.root->self()})
    EXPECT_TRUE(allows("nobody", above, "System.View")) << above.value;
  EXPECT_TRUE(allows("nobody", service, "System.View"));
  for (const MoRef& beside : {db, lab.host_folder->self(), lab.host->self(), lab.store->self()})
    EXPECT_FALSE(allows("nobody", beside, "System.View")) << beside.value;
  EXPECT_FALSE(allows("nobody", lab.root->self(), "System.Read"));
  EXPECT_FALSE(allows("nobody", service, "System.Read"));
}

TEST_F(Permissions, ThatForbidLeadNowhere) {
  lab.permit(web, "nobody", kRoleNoAccess);
  EXPECT_FALSE(allows("nobody", lab.vm_folder->self(), "System.View"));
}

TEST_F(Permissions, AreHeardOfUntilNobodyListens) {
  int heard = 0;
  auto listening = lab.kernel.authorization.on_change([&] { ++heard; });
  lab.permit(web, "nobody", kRoleView);
  EXPECT_EQ(heard, 1);
  listening.reset();
  lab.permit(db, "nobody", kRoleView);
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace virga::kernel

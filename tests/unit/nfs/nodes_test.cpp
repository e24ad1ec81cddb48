// Which number the kernel knows a file by.
#include "nfs/nodes.h"

#include <gtest/gtest.h>

namespace virga::nfs {
namespace {

TEST(Nodes, GiveAFileOneNumberUntilItIsForgotten) {
  Nodes nodes("root");
  EXPECT_EQ(nodes.handle(Nodes::root), "root");
  const auto web = nodes.remember("web");
  EXPECT_EQ(nodes.remember("web"), web);
  EXPECT_NE(nodes.remember("mail"), web);
  nodes.forget(web, 1);
  EXPECT_EQ(nodes.handle(web), "web");
  nodes.forget(web, 1);
  EXPECT_EQ(nodes.handle(web), "");
  EXPECT_NE(nodes.remember("web"), web);
}

TEST(Nodes, NeverForgetTheRoot) {
  Nodes nodes("root");
  nodes.remember("root");
  nodes.forget(Nodes::root, 100);
  EXPECT_EQ(nodes.handle(Nodes::root), "root");
  nodes.forget(12345, 1);
  EXPECT_EQ(nodes.size(), 1U);
}

}  // namespace
}  // namespace virga::nfs

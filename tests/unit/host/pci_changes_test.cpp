#include "host/pci_changes.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace virga::host {
namespace {

TEST(PciChanges, LastAsLongAsTheirGuard) {
  PciChanges changes;
  {
    const auto change = changes.begin({"0000:3b:00.0", "0000:3b:02.0"});
    EXPECT_TRUE(changes.contains("0000:3b:02.0"));
    EXPECT_FALSE(changes.contains("0000:5e:00.0"));
  }
  EXPECT_FALSE(changes.contains("0000:3b:02.0"));
}

TEST(PciChanges, TakeADeviceOnlyOnce) {
  PciChanges changes;
  const auto change = changes.begin({"0000:3b:00.0"});
  EXPECT_THROW(changes.begin({"0000:3a:00.0", "0000:3b:00.0"}), Error);
  EXPECT_TRUE(changes.contains("0000:3b:00.0"));
  EXPECT_FALSE(changes.contains("0000:3a:00.0"));
  const auto another = changes.begin({"0000:3a:00.0"});
  EXPECT_TRUE(changes.contains("0000:3a:00.0"));
}

}  // namespace
}  // namespace virga::host

#include "switching/ovs/netdev.h"

#include <gtest/gtest.h>

namespace virga::switching::ovs {
namespace {

TEST(DeviceStatistics, AreSeenFromTheGuest) {
  const auto all = parse_device_statistics(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
      "drop fifo colls carrier compressed\n"
      "    lo:     1  2 0 0 0 0 0 0     3  4 0 0 0 0 0 0\n"
      "vtaaaaaaaaaaaa:18446744073709551615 11 0 12 0 0 0 0 20 21 0 22 0 0 0 0\n");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all.at("vtaaaaaaaaaaaa"), (PortStatistics{.received_bytes = 20,
                                                      .received_packets = 21,
                                                      .received_dropped = 22,
                                                      .transmitted_bytes = 18446744073709551615u,
                                                      .transmitted_packets = 11,
                                                      .transmitted_dropped = 12}));
}

}  // namespace
}  // namespace virga::switching::ovs

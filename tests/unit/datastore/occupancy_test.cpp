#include "datastore/occupancy.h"

#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"

namespace virga::datastore {
namespace {

using OccupancyTest = DatastoreTest;

TEST_F(OccupancyTest, AShortFileTakesItsBytes) {
  put("a.txt", "hello");
  const Occupancy found = occupancy(at("a.txt"));
  EXPECT_EQ(found.length, 5u);
  EXPECT_EQ(found.used, 5u);
}

TEST_F(OccupancyTest, HolesTakeNothing) {
  put("sparse", "");
  const Fd fd = datastore->open("sparse", O_RDWR);
  ASSERT_EQ(::ftruncate(fd.get(), 1 << 24), 0);
  EXPECT_EQ(occupancy(at("sparse")).length, 1u << 24);
  EXPECT_EQ(occupancy(at("sparse")).used, 0u);
  const std::string data(1 << 16, 'x');
  ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), 1 << 20),
            static_cast<ssize_t>(data.size()));
  ASSERT_EQ(::fsync(fd.get()), 0);
  const Occupancy written = occupancy(at("sparse"));
  EXPECT_GE(written.used, data.size());
  EXPECT_LT(written.used, 1u << 20);
  // Blocks of two hundred extents and more are counted to the end.
  for (int i = 0; i < 600; ++i)
    ASSERT_EQ(::pwrite(fd.get(), data.data(), 1, (1 << 21) + i * 16'384), 1);
  ASSERT_EQ(::fsync(fd.get()), 0);
  const Occupancy scattered = occupancy(at("sparse"));
  EXPECT_EQ(scattered.unshared.value_or(scattered.used), scattered.used);
}

TEST_F(OccupancyTest, OfNothingThereIsNone) {
  expect_error(ErrorKind::not_found, "[ds] none", [&] { occupancy(at("none")); });
}

}  // namespace
}  // namespace virga::datastore

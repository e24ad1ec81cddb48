#include "base/unix_socket.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace virga {
namespace {

using testing::HasSubstr;

TEST(ListenUnix, NamesAPathThatIsTooLong) {
  const std::string path = "/tmp/" + std::string(120, 'x');
  try {
    listen_unix(path);
    FAIL() << "it listens";
  } catch (const Error& e) {
    EXPECT_EQ(e.subject(), path);
    EXPECT_THAT(e.what(), HasSubstr("shorter run directory"));
  }
}

}  // namespace
}  // namespace virga

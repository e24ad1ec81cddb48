#include "vmx/vmsn_file.h"

#include <gtest/gtest.h>

#include "../expect_error.h"

namespace virga::vmx {
namespace {

TEST(Vmsn, SurvivesARoundTrip) {
  const SnapshotState state{.config = "displayName = \"a \\ b\"\n",
                            .power = SnapshotState::Power::on,
                            .quiesced = true,
                            .memory_file = "a-Snapshot1.vmem",
                            .nvram_file = "a-Snapshot1.nvram"};
  EXPECT_EQ(parse_vmsn(serialise_vmsn(state), "a.vmsn"), state);
  EXPECT_EQ(parse_vmsn(serialise_vmsn({}), "a.vmsn"), SnapshotState{});
}

TEST(Vmsn, RefusesWhatIsNone) {
  const std::string good = serialise_vmsn({});
  for (const std::string& text :
       std::vector<std::string>{"", "\xd2\xbe\xd2\xbe", good.substr(0, good.size() / 2),
                                "VIRGA-SNAPSHOT 1\n{}", "VIRGA-SNAPSHOT 1\n[]"})
    expect_error(ErrorKind::damaged, "a.vmsn", [&] { parse_vmsn(text, "a.vmsn"); });
}

}  // namespace
}  // namespace virga::vmx

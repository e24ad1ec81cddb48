// Operations are killed at every one of their system calls in turn. After a sweep the datastore is
// as it was before, or as it is after, and nothing else is left in it.
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "datastore/files.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t mib = 1 << 20;
using Content = std::map<std::string, std::string>;

enum class End { killed, finished, failed };

// Runs `operation` in a child that is killed when it makes its system call number `call`.
End run_until_call(int call, const std::function<void()>& operation) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    try {
      operation();
      ::_exit(0);
    } catch (const std::exception& failure) {
      ::dprintf(2, "%s\n", failure.what());
      ::_exit(1);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  // A call stops its process twice: on the way in and on the way out.
  for (int stops = 0; stops < 2 * call - 1; ++stops) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? End::finished : End::failed;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return End::killed;
}

// Descriptors hold random identifiers: what counts of them is that they can be read, and say the
// same of the disk.
Content state_of(const TestFolder& folder) {
  const auto datastore = std::make_shared<Datastore>("ds", folder.path());
  Content content = content_of(folder.path());
  for (auto& [path, text] : content) {
    if (!path.ends_with(".vmdk") || path.find('-') != std::string::npos) continue;
    const DiskInfo info = query_disk({datastore, path});
    text = fmt::format("{} disk of {} in {}", info.create_type, info.capacity,
                       fmt::join(info.extents, ", "));
  }
  return content;
}

struct Crash {
  std::function<void(const std::shared_ptr<const Datastore>&)> prepare;
  std::function<void(const std::shared_ptr<const Datastore>&)> operation;
};

// A datastore in memory, for speed: these tests are about the order of the calls.
struct Scene {
  TestFolder folder{"/dev/shm"};
  std::shared_ptr<const Datastore> datastore = std::make_shared<Datastore>("ds", folder.path());

  explicit Scene(const Crash& crash) { crash.prepare(datastore); }
};

struct Outcomes {
  Content before, after;
};

Outcomes outcomes_of(const Crash& crash, bool differ = true) {
  const Scene scene(crash);
  Outcomes outcomes;
  outcomes.before = state_of(scene.folder);
  crash.operation(scene.datastore);
  outcomes.after = state_of(scene.folder);
  EXPECT_NE(outcomes.before == outcomes.after, differ);
  return outcomes;
}

void expect_whole_or_nothing(const Crash& crash) {
  const auto [before, after] = outcomes_of(crash);
  bool seen_before = false, seen_after = false;
  End end = End::killed;
  for (int call = 1; end == End::killed; ++call) {
    const Scene scene(crash);
    end = run_until_call(call, [&] { crash.operation(scene.datastore); });
    ASSERT_NE(end, End::failed) << "call " << call;
    sweep(*scene.datastore);
    ASSERT_EQ(drafts_in(scene.folder.path()), 0u) << "call " << call;
    const Content state = state_of(scene.folder);
    ASSERT_TRUE(state == before || state == after) << "call " << call;
    seen_before |= state == before;
    seen_after |= state == after;
  }
  EXPECT_TRUE(seen_before && seen_after);
}

// The sweep is killed at each of its calls, after the operation was at every `step`th of its own.
void expect_sweep_to_bear_crashes(const Crash& crash, int step) {
  const auto [before, after] = outcomes_of(crash);
  int swept = 0;
  for (int call = step;; call += step) {
    End end = End::killed;
    for (int sweep_call = 1; end == End::killed; ++sweep_call) {
      const Scene scene(crash);
      if (run_until_call(call, [&] { crash.operation(scene.datastore); }) == End::finished) {
        EXPECT_GT(swept, 0);
        return;
      }
      end = run_until_call(sweep_call, [&] { sweep(*scene.datastore); });
      ASSERT_NE(end, End::failed);
      sweep(*scene.datastore);
      ASSERT_EQ(drafts_in(scene.folder.path()), 0u);
      const Content state = state_of(scene.folder);
      ASSERT_TRUE(state == before || state == after) << "call " << call << ", then " << sweep_call;
      ++swept;
    }
  }
}

void create(const std::shared_ptr<const Datastore>& datastore, const std::string& path,
            std::uint64_t capacity) {
  create_disk({datastore, path}, {.capacity = capacity});
}

// The operation changes nothing that can be told from outside.
void expect_the_same_throughout(const Crash& crash) {
  const auto [before, after] = outcomes_of(crash, false);
  End end = End::killed;
  for (int call = 1; end == End::killed; ++call) {
    const Scene scene(crash);
    end = run_until_call(call, [&] { crash.operation(scene.datastore); });
    ASSERT_NE(end, End::failed) << "call " << call;
    sweep(*scene.datastore);
    ASSERT_EQ(drafts_in(scene.folder.path()), 0u) << "call " << call;
    ASSERT_TRUE(state_of(scene.folder) == before) << "call " << call;
  }
}

TEST(Crash, InCreateDisk) {
  expect_whole_or_nothing(
      {[](const auto&) {},
       [](const auto& ds) {
         create_disk({ds, "a.vmdk"}, {.capacity = mib, .provisioning = Provisioning::eager_zeroed});
       }});
}

TEST(Crash, InDeleteDisk) {
  expect_whole_or_nothing({[](const auto& ds) { create(ds, "a.vmdk", mib); },
                           [](const auto& ds) {
                             delete_disk({ds, "a.vmdk"});
                           }});
}

const DiskSpec raw_disk = {.capacity = mib, .mapping = RawMapping{false, "naa.6005", "0200"}};

TEST(Crash, InCreateRawDisk) {
  expect_whole_or_nothing({[](const auto&) {},
                           [](const auto& ds) {
                             create_disk({ds, "a.vmdk"}, raw_disk);
                           }});
}

TEST(Crash, InDeleteRawDisk) {
  expect_whole_or_nothing({[](const auto& ds) {
                             create_disk({ds, "a.vmdk"}, raw_disk);
                           },
                           [](const auto& ds) {
                             delete_disk({ds, "a.vmdk"});
                           }});
}

TEST(Crash, InCopyDisk) {
  expect_whole_or_nothing(
      {[](const auto& ds) { create(ds, "a.vmdk", mib); },
       [](const auto& ds) {
         copy_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, {.provisioning = Provisioning::eager_zeroed});
       }});
}

TEST(Crash, InCopyDiskOverAnother) {
  expect_whole_or_nothing(
      {[](const auto& ds) {
         create(ds, "a.vmdk", mib);
         create(ds, "b.vmdk", 2 * mib);
       },
       [](const auto& ds) {
         copy_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, {.if_exists = IfExists::replace});
       }});
}

class CrashOfLayout : public testing::TestWithParam<DiskLayout> {};

TEST_P(CrashOfLayout, InCopyOverAnother) {
  expect_whole_or_nothing({[](const auto& ds) {
                             create(ds, "a.vmdk", mib);
                             create(ds, "b.vmdk", 2 * mib);
                           },
                           [](const auto& ds) {
                             copy_disk({ds, "a.vmdk"}, {ds, "b.vmdk"},
                                       {.layout = GetParam(), .if_exists = IfExists::replace});
                           }});
}

TEST_P(CrashOfLayout, InMoveOverAnother) {
  expect_whole_or_nothing(
      {[](const auto& ds) {
         create_disk({ds, "a.vmdk"}, {.capacity = mib, .layout = GetParam()});
         create_disk({ds, "b.vmdk"}, {.capacity = 2 * mib, .layout = DiskLayout::split_flat});
       },
       [](const auto& ds) {
         move_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, IfExists::replace);
       }});
}

TEST_P(CrashOfLayout, InDelete) {
  expect_whole_or_nothing({[](const auto& ds) {
                             create_disk({ds, "a.vmdk"}, {.capacity = mib, .layout = GetParam()});
                           },
                           [](const auto& ds) {
                             delete_disk({ds, "a.vmdk"});
                           }});
}

TEST_P(CrashOfLayout, InDefragment) {
  expect_the_same_throughout(
      {[](const auto& ds) {
         create_disk({ds, "a.vmdk"}, {.capacity = mib, .layout = GetParam()});
       },
       [](const auto& ds) {
         defragment_disk({ds, "a.vmdk"});
       }});
}

INSTANTIATE_TEST_SUITE_P(All, CrashOfLayout,
                         testing::Values(DiskLayout::vmfs, DiskLayout::split_sparse,
                                         DiskLayout::monolithic_sparse));

TEST(Crash, InTheSweepAfterAMoveOfAnEmbeddedDisk) {
  expect_sweep_to_bear_crashes(
      {[](const auto& ds) {
         create_disk({ds, "a.vmdk"}, {.capacity = mib, .layout = DiskLayout::monolithic_sparse});
         create(ds, "b.vmdk", 2 * mib);
       },
       [](const auto& ds) {
         move_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, IfExists::replace);
       }},
      9);
}

TEST(Crash, InMoveDisk) {
  expect_whole_or_nothing({[](const auto& ds) {
                             make_folder({ds, "vm"}, false);
                             create(ds, "a.vmdk", mib);
                           },
                           [](const auto& ds) {
                             move_disk({ds, "a.vmdk"}, {ds, "vm/b.vmdk"});
                           }});
}

TEST(Crash, InMoveDiskOverAnother) {
  expect_whole_or_nothing({[](const auto& ds) {
                             create(ds, "a.vmdk", mib);
                             create(ds, "b.vmdk", 2 * mib);
                           },
                           [](const auto& ds) {
                             move_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, IfExists::replace);
                           }});
}

TEST(Crash, InTheSweepAfterwards) {
  expect_sweep_to_bear_crashes({[](const auto& ds) {
                                  create(ds, "a.vmdk", mib);
                                  create(ds, "b.vmdk", 2 * mib);
                                },
                                [](const auto& ds) {
                                  move_disk({ds, "a.vmdk"}, {ds, "b.vmdk"}, IfExists::replace);
                                }},
                               15);
}

TEST(Crash, InExtendDisk) {
  expect_whole_or_nothing({[](const auto& ds) { create(ds, "a.vmdk", mib); },
                           [](const auto& ds) {
                             extend_disk({ds, "a.vmdk"}, 2 * mib, true);
                           }});
}

TEST(Crash, InInflateDisk) {
  expect_the_same_throughout(
      {.prepare = [](const auto& datastore) { create(datastore, "a.vmdk", mib); },
       .operation = [](const auto& datastore) { inflate_disk({datastore, "a.vmdk"}); }});
}

TEST(Crash, InUpload) {
  expect_whole_or_nothing({[](const auto& ds) {
                             Upload upload({ds, "a"});
                             upload.write("old");
                             upload.commit();
                           },
                           [](const auto& ds) {
                             Upload upload({ds, "a"});
                             upload.write("new");
                             upload.commit();
                           }});
}

TEST(Crash, InCopyOfAFolder) {
  expect_whole_or_nothing({[](const auto& ds) {
                             make_folder({ds, "vm/sub"}, true);
                             create(ds, "vm/a.vmdk", mib);
                           },
                           [](const auto& ds) {
                             copy({ds, "vm"}, {ds, "copy"});
                           }});
}

TEST(Crash, InRemovalOfAFolder) {
  expect_whole_or_nothing({[](const auto& ds) {
                             make_folder({ds, "vm/sub"}, true);
                             create(ds, "vm/a.vmdk", mib);
                           },
                           [](const auto& ds) {
                             remove({ds, "vm"});
                           }});
}

}  // namespace
}  // namespace virga::datastore

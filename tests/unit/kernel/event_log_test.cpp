#include "kernel/event_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/error.h"
#include "base/file.h"
#include "lab.h"

namespace virga::kernel {
namespace {

// An event log on a database file; what stands in the file is read by a connection of its own, as a
// daemon would after a crash of this one.
class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    std::string pattern = fs::temp_directory_path() / "virga-kernel-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    log_ = open(20);
  }
  ~EventLogTest() override {
    log_.reset();
    fs::remove_all(folder_);
  }

  std::shared_ptr<EventLog> open(std::size_t keep) {
    return std::make_shared<EventLog>(lab_.kernel.inventory, std::make_shared<Database>(file()),
                                      keep);
  }
  void post(int count) {
    for (int i = 0; i < count; ++i) log_->post(vim::GeneralUserEvent{}, "said", "root");
  }
  // Until nothing is left to be done: the flush of what was posted.
  void run() {
    lab_.io.restart();
    lab_.io.run();
  }
  std::string file() const { return folder_ / "virga.db"; }
  std::vector<Database::EventRecord> on_disk() const { return Database(file()).events(1000); }

  fs::path folder_;
  Lab lab_;
  std::shared_ptr<EventLog> log_;
};

// While it lives, no file takes another byte.
class FullDisk {
 public:
  FullDisk() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit nothing{0, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &nothing);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*const handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before_{};
};

TEST_F(EventLogTest, BringsAnEventToTheDiskThoughNothingFollows) {
  post(1);
  run();
  ASSERT_EQ(on_disk().size(), 1u);
  EXPECT_NE(on_disk()[0].document.find("\"said\""), std::string::npos);
}

TEST_F(EventLogTest, RemembersTheNewest) {
  post(100);
  run();
  EXPECT_EQ(log_->all().size(), 20u);
  ASSERT_EQ(on_disk().size(), 20u);
  EXPECT_EQ(on_disk().back().key, log_->latest()->key);
  post(1);
  run();
  EXPECT_LE(on_disk().size(), 22u);
}

TEST_F(EventLogTest, GoesOnWhereItsPredecessorEnded) {
  post(3);
  run();
  log_.reset();
  log_ = open(20);
  ASSERT_EQ(log_->all().size(), 3u);
  post(1);
  EXPECT_EQ(log_->latest()->key, 4);
}

TEST_F(EventLogTest, LosesNothingWhileTheDiskIsFull) {
  Database database(file());
  database.append_event({1, "{}"});
  {
    const FullDisk full;
    EXPECT_THROW(database.put("a", "b", "c"), Error);
    EXPECT_THROW(database.flush(), Error);
  }
  database.flush();
  EXPECT_EQ(on_disk().size(), 1u);
  EXPECT_EQ(database.get("a", "b"), std::nullopt);
}

}  // namespace
}  // namespace virga::kernel

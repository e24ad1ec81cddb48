#include "host/http_nfc_lease.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "../expect_error.h"

namespace virga::host {
namespace {

using Direction = HttpNfcLease::Direction;
using State = vim::HttpNfcLeaseState;

class Task final : public kernel::TaskHandle {
 public:
  void report(int percent) override { reported = percent; }
  std::stop_token stop_token() const override { return stop.get_token(); }
  MoRef task() const override { return {"Task", "task"}; }

  std::stop_source stop;
  int reported = 0;
};

struct OpenTransfer final : NfcTransfer {
  void close() override { is_closed = true; }
  bool is_closed = false;
};

struct LeaseTest : testing::Test {
  asio::io_context io;
  kernel::Kernel kernel{io.get_executor()};
  Host host{kernel, {}};
  std::shared_ptr<const datastore::Datastore> store =
      datastore::Datastore::absent("ds", "/nowhere", "uuid", "host");
  Task task;
  std::shared_ptr<HttpNfcLease> lease;
  kernel::Call call;
  vim::HttpNfcLeaseCompleteRequestType complete;
  vim::HttpNfcLeaseProgressRequestType progress;

  NfcFile disk() const {
    NfcFile file;
    file.device = "ParaVirtualSCSIController0:0";
    file.name = "disk-0.vmdk";
    file.place = {store, "web/web.vmdk"};
    file.is_disk = true;
    file.capacity = 1 << 20;
    return file;
  }

  Async<Any> hold() {
    lease->open({"VirtualMachine", "7"}, "web", {disk()});
    co_await lease->wait_for_end(task);
    co_return Any();
  }
  // A lease that is ready.
  void open(Direction direction, std::chrono::milliseconds timeout = std::chrono::seconds(300)) {
    lease =
        std::make_shared<HttpNfcLease>(host, MoRef{"HttpNfcLease", "lease"}, direction,
                                       HttpNfcLease::Terms{"https://*/nfc/t/", "AA:BB", timeout});
    kernel.inventory.add(lease);
    asio::co_spawn(io, settle_after(lease, hold()), [](std::exception_ptr, const Any&) {});
    io.poll();
  }
  // Runs what the client asks for, to its end.
  void run(Async<void> asked) {
    std::exception_ptr thrown;
    bool is_over = false;
    asio::co_spawn(io, std::move(asked), [&](std::exception_ptr it) {
      thrown = it;
      is_over = true;
    });
    io.restart();
    while (!is_over) io.run_one();
    if (thrown) std::rethrow_exception(thrown);
  }
  template <class Fault>
  void expect_refused(Async<void> asked) {
    try {
      run(std::move(asked));
      FAIL() << "nothing was thrown";
    } catch (const kernel::Fault& fault) {
      EXPECT_TRUE(model::is_a(fault.detail()->type_info(), Fault::static_type()))
          << fault.message();
    }
  }
  bool failed_with(const model::TypeInfo& type) const {
    const auto& error = lease->properties().error;
    return lease->properties().state == State::error && error &&
           model::is_a(error->fault->type_info(), type);
  }
};

TEST_F(LeaseTest, NamesWhatIsSent) {
  open(Direction::sending);
  const auto& info = *lease->properties().info;
  EXPECT_EQ(info.entity, (MoRef{"VirtualMachine", "7"}));
  EXPECT_EQ(info.totalDiskCapacityInKB, 1024);
  ASSERT_EQ(info.deviceUrl.size(), 1u);
  EXPECT_EQ(info.deviceUrl[0]->key, "/7/ParaVirtualSCSIController0:0");
  EXPECT_EQ(info.deviceUrl[0]->importKey, "");
  EXPECT_EQ(info.deviceUrl[0]->url, "https://*/nfc/t/disk-0.vmdk");
  EXPECT_EQ(info.deviceUrl[0]->sslThumbprint, "AA:BB");
}

TEST_F(LeaseTest, EndsWhenNobodyTellsOfProgress) {
  open(Direction::sending, std::chrono::milliseconds(20));
  EXPECT_EQ(lease->properties().state, State::ready);
  io.restart();
  io.run();
  EXPECT_TRUE(failed_with(vim::Timedout::static_type()));
  expect_refused<vim::Timedout>(lease->HttpNfcLeaseProgress(call, progress));
  expect_refused<vim::Timedout>(lease->HttpNfcLeaseComplete(call, complete));
}

TEST_F(LeaseTest, ClosesItsTransfersBeforeItIsOver) {
  open(Direction::sending);
  const auto transfer = std::make_shared<OpenTransfer>();
  EXPECT_EQ(lease->begin("disk-0.vmdk", transfer).capacity, 1u << 20);
  run(lease->HttpNfcLeaseComplete(call, complete));
  EXPECT_EQ(lease->properties().state, State::done);
  EXPECT_TRUE(transfer->is_closed);
  expect_error(ErrorKind::gone, "disk-0.vmdk", [&] { lease->begin("disk-0.vmdk", transfer); });
  expect_refused<vim::InvalidState>(lease->HttpNfcLeaseComplete(call, complete));
}

TEST_F(LeaseTest, ReceivesAFileOnlyOnceAtATime) {
  open(Direction::receiving);
  const auto transfer = std::make_shared<OpenTransfer>();
  EXPECT_EQ(lease->properties().info->deviceUrl[0]->importKey, "/web/ParaVirtualSCSIController0:0");
  lease->begin("disk-0.vmdk", transfer);
  EXPECT_FALSE(lease->begin_receiving("disk-0.vmdk"));
  expect_error(ErrorKind::busy, "disk-0.vmdk", [&] { lease->begin("disk-0.vmdk", transfer); });
  expect_error(ErrorKind::not_found, "disk-1.vmdk", [&] { lease->begin("disk-1.vmdk", transfer); });
  EXPECT_THROW(run(lease->HttpNfcLeaseComplete(call, complete)), kernel::Fault);
  lease->end_receiving("disk-0.vmdk", false);
  EXPECT_THROW(run(lease->HttpNfcLeaseComplete(call, complete)), kernel::Fault);
  lease->begin("disk-0.vmdk", transfer);
  EXPECT_TRUE(lease->begin_receiving("disk-0.vmdk"));
  lease->end_receiving("disk-0.vmdk", true);
  run(lease->HttpNfcLeaseComplete(call, complete));
  EXPECT_EQ(lease->properties().state, State::done);
}

TEST_F(LeaseTest, TellsItsTaskOfProgress) {
  open(Direction::sending);
  progress.percent = 40;
  asio::co_spawn(io, lease->HttpNfcLeaseProgress(call, progress), asio::detached);
  io.restart();
  io.poll();
  EXPECT_EQ(task.reported, 40);
  EXPECT_EQ(lease->properties().transferProgress, 40);
  progress.percent = 101;
  expect_refused<vim::InvalidArgument>(lease->HttpNfcLeaseProgress(call, progress));
}

TEST_F(LeaseTest, EndsWithItsTask) {
  open(Direction::sending);
  task.stop.request_stop();
  io.restart();
  io.run();
  EXPECT_TRUE(failed_with(vim::RequestCanceled::static_type()));
}

}  // namespace
}  // namespace virga::host

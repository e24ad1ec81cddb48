#include "kernel/kernel.h"

#include <gtest/gtest.h>

#include <future>

#include "lab.h"

namespace virga::kernel {
namespace {

using namespace std::chrono_literals;

// Tells when the inventory that holds it is gone.
class Last final : public model::ManagedObject, public Object {
 public:
  Last(Inventory& inventory, std::promise<void> gone)
      : Object(inventory, {"Folder", "last"}, model::share(vim::FolderProperties()).data()),
        gone_(std::move(gone)) {}
  ~Last() override { gone_.set_value(); }

  const model::ManagedInfo& info() const override { return vim::Folder::static_info(); }
  const MoRef& ref() const override { return self(); }
  model::ManagedObject& interface() override { return *this; }

 private:
  std::promise<void> gone_;
};

class TheEndOfAKernel : public testing::TestWithParam<asio::thread_pool Kernel::*> {};

TEST_P(TheEndOfAKernel, WaitsForWhatItsPoolsDo) {
  asio::io_context io;
  std::promise<void> gone, begun;
  std::future<void> end = gone.get_future();
  std::future_status seen = std::future_status::ready;
  {
    Kernel kernel(io.get_executor());
    kernel.inventory.emplace<Last>(kernel.inventory, std::move(gone));
    asio::post(kernel.*GetParam(), [&] {
      begun.set_value();
      seen = end.wait_for(50ms);
    });
    begun.get_future().wait();
  }
  EXPECT_EQ(seen, std::future_status::timeout) << "the inventory went before";
  EXPECT_EQ(end.wait_for(0s), std::future_status::ready);
}

INSTANTIATE_TEST_SUITE_P(Pools, TheEndOfAKernel,
                         testing::Values(&Kernel::readers, &Kernel::workers));

}  // namespace
}  // namespace virga::kernel

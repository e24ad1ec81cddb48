// What event and task history collectors have in common: a filter, a page size and a cursor.
#pragma once

#include "kernel/faults.h"
#include "kernel/history_cursor.h"
#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

constexpr std::int32_t kMaxPage = 1000;

// Throws InvalidArgument naming maxCount.
inline std::size_t page_size(std::int32_t max_count) {
  if (max_count < 1 || max_count > kMaxPage)
    throw invalid_argument("maxCount", fmt::format("{} is not 1 to {}", max_count, kMaxPage));
  return static_cast<std::size_t>(max_count);
}

// Whether `entity` is what a filter by entity means: itself, a child of it, or either.
bool filter_selects(const Inventory& inventory, const MoRef& filter_entity, bool self, bool children,
                    const std::optional<MoRef>& entity);

// Interface is vim::EventHistoryCollector or vim::TaskHistoryCollector.
template <class Interface>
class HistoryCollector : public Implements<Interface> {
 public:
  using typename Implements<Interface>::Properties;

  Async<void> SetCollectorPageSize(model::Call&,
                                   const vim::SetCollectorPageSizeRequestType& r) override {
    page_ = page_size(r.maxCount);
    refresh_page();
    co_return;
  }
  Async<void> RewindCollector(model::Call&, const vim::RewindCollectorRequestType&) override {
    cursor_.rewind();
    co_return;
  }
  Async<void> ResetCollector(model::Call&, const vim::ResetCollectorRequestType&) override {
    cursor_.reset(keys(), page_);
    co_return;
  }
  Async<void> DestroyCollector(model::Call&, const vim::DestroyCollectorRequestType&) override {
    this->inventory().remove(this->self());
    co_return;
  }

 protected:
  HistoryCollector(Inventory& inventory, MoRef self, Any filter)
      : Implements<Interface>(inventory, std::move(self), [&] {
          Properties properties;
          properties.filter = std::move(filter);
          return properties;
        }()) {}

  // The keys of the items the filter selects, rising.
  virtual std::vector<std::int64_t> keys() const = 0;
  // Brings latestPage up to date.
  virtual void refresh_page() = 0;

  HistoryCursor cursor_;
  std::size_t page_ = 10;
};

}  // namespace virga::kernel

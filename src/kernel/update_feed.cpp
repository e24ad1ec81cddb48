#include "kernel/update_feed.h"

#include <algorithm>
#include <charconv>

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

using Clock = std::chrono::steady_clock;

// Putting this many objects into words takes less than going to another thread for it.
constexpr std::size_t kFewUpdates = 32;

using FilterUpdates = model::List<vim::PropertyFilterUpdate>;

FilterUpdates render_all(const Kernel& kernel, const std::vector<UpdateBatch>& batches) {
  FilterUpdates updates;
  for (const UpdateBatch& batch : batches) {
    if (const auto update = render(kernel, batch)) updates.push_back(update);
  }
  return updates;
}

Fault invalid_collector_version(const std::string& version) {
  return Fault(
      vim::InvalidCollectorVersion{},
      fmt::format("'{}' is not a version this property collector can go on from", version));
}

std::optional<Clock::time_point> deadline_after(std::optional<std::chrono::seconds> wait) {
  return wait ? std::optional(Clock::now() + *wait) : std::nullopt;
}

}  // namespace

// Counts a call among those that wait, for as long as its frame lives.
class UpdateFeed::Waiting {
 public:
  explicit Waiting(std::shared_ptr<UpdateFeed> feed) : feed_(std::move(feed)) { ++feed_->waiting_; }
  Waiting(const Waiting&) = delete;
  ~Waiting() { --feed_->waiting_; }

 private:
  std::shared_ptr<UpdateFeed> feed_;
};

// Keeps others from taking news while an answer is made of those taken before.
class UpdateFeed::Collecting {
 public:
  explicit Collecting(UpdateFeed& feed) : feed_(feed) { feed_.collecting_ = true; }
  Collecting(const Collecting&) = delete;
  ~Collecting() {
    feed_.collecting_ = false;
    feed_.changed_.notify();
  }

 private:
  UpdateFeed& feed_;
};

UpdateFeed::UpdateFeed(Kernel& kernel, std::string session,
                       std::shared_ptr<SessionReferences> listed)
    : kernel_(kernel),
      session_(std::move(session)),
      listed_(std::move(listed)),
      changed_(kernel.executor) {}

MoRef UpdateFeed::add_filter(const Reader& reader, model::Ptr<vim::PropertyFilterSpec> spec,
                             bool partial_updates) {
  const auto filter = std::make_shared<PropertyFilter>(
      kernel_, session_reference("PropertyFilter", session_), reader, std::move(spec),
      partial_updates, [weak = weak_from_this()] {
        if (const auto feed = weak.lock()) feed->wake();
      });
  filter->set_owner(session_);
  kernel_.inventory.add(filter);
  kernel_.inventory.watch(filter->self(), this);
  filters_.push_back(filter);
  listed_->add(session_, filter->self());
  filter->open();
  return filter->self();
}

void UpdateFeed::object_removed(Object& removed) {
  std::erase_if(filters_, [&](const auto& filter) { return filter.get() == &removed; });
  listed_->remove(session_, removed.self());
}

void UpdateFeed::destroy_filters() {
  for (const auto& filter : std::vector(filters_)) kernel_.inventory.remove(filter->self());
}

void UpdateFeed::release_filters() {
  for (const auto& filter : filters_) kernel_.inventory.unwatch(filter->self(), this);
  filters_.clear();
}

void UpdateFeed::wake() {
  if (waiting_ == 0 || std::exchange(woken_, true)) return;
  changed_.notify();
}

void UpdateFeed::cancel() {
  ++cancellations_;
  changed_.notify();
}

void UpdateFeed::close() {
  if (!std::exchange(closed_, true)) changed_.notify();
}

bool UpdateFeed::has_news() const {
  return std::ranges::any_of(filters_, [](const auto& filter) { return filter->has_news(); });
}

// The number of the answer that the client knows.
std::uint64_t UpdateFeed::accept(const std::string& version) {
  if (version.empty()) {
    for (const auto& filter : filters_) filter->restart();
    newest_.reset();
    return version_;
  }
  std::uint64_t known = 0;
  const char* const end = version.data() + version.size();
  const auto [rest, error] = std::from_chars(version.data(), end, known);
  const bool resend = newest_ && known + 1 == version_;
  if (error != std::errc() || rest != end || known == 0 || (known != version_ && !resend))
    throw invalid_collector_version(version);
  if (known == version_) newest_.reset();
  return known;
}

bool UpdateFeed::up_to_date(std::uint64_t known) const {
  if (known == version_) return true;
  // Another call may have shown meanwhile that it has the newest answer.
  if (!newest_ || known + 1 != version_) throw invalid_collector_version(std::to_string(known));
  return false;
}

Async<model::Ptr<vim::UpdateSet>> UpdateFeed::wait(std::string version, Limits limits) {
  const Waiting waiting(shared_from_this());
  if (closed_) throw request_canceled("The property collector has ended.");
  const std::uint64_t known = accept(version);
  const std::uint64_t cancellations = cancellations_;
  const auto deadline = deadline_after(limits.wait);
  while (true) {
    if (closed_ || cancellations != cancellations_)
      throw request_canceled("Waiting for updates was canceled.");
    if (!up_to_date(known)) co_return newest_;
    woken_ = false;
    if (!collecting_ && has_news()) {
      model::Ptr<vim::UpdateSet> updates = co_await collect(limits.objects);
      if (updates) co_return updates;
      continue;
    }
    if (!deadline) {
      co_await changed_.wait();
    } else if (const auto left = *deadline - Clock::now(); left > Clock::duration::zero()) {
      co_await changed_.wait(left);
    } else if (collecting_) {
      co_await changed_.wait();  // what is being made may be for this call
    } else {
      co_return model::Ptr<vim::UpdateSet>();
    }
  }
}

// An answer made of the filters' news, kept as the newest; empty when they come to nothing.
Async<model::Ptr<vim::UpdateSet>> UpdateFeed::collect(std::size_t limit) {
  const Collecting collecting(*this);
  std::vector<UpdateBatch> batches;
  std::size_t taken = 0;
  for (const auto& filter : filters_) {
    batches.push_back(filter->take(limit - taken));
    taken += batches.back().updates.size();
  }
  const bool truncated = has_news();
  FilterUpdates updates;
  if (taken <= kFewUpdates) {
    updates = render_all(kernel_, batches);
  } else {
    const auto work = [&kernel = kernel_, &batches] { return render_all(kernel, batches); };
    updates = co_await offload(kernel_.readers, work);
  }
  if (updates.empty()) co_return model::Ptr<vim::UpdateSet>();
  vim::UpdateSet set;
  set.version = std::to_string(++version_);
  set.filterSet = std::move(updates);
  if (truncated) set.truncated = true;
  newest_ = model::share(std::move(set));
  co_return newest_;
}

}  // namespace virga::kernel

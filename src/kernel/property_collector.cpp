#include "kernel/property_collector.h"

#include <charconv>

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

// Answers begun and never fetched to their end; a client reads one at a time.
constexpr std::size_t kMaxRests = 16;

Fault invalid_token(const std::string& token) {
  return invalid_argument("token", "'" + token + "' is of no retrieval that has more to give");
}

UpdateFeed::Limits limits_of(const model::Ptr<vim::WaitOptions>& options) {
  UpdateFeed::Limits limits;
  if (!options) return limits;
  if (options->maxWaitSeconds) {
    if (*options->maxWaitSeconds < 0)
      throw invalid_argument("options.maxWaitSeconds", "it is negative");
    limits.wait = std::chrono::seconds(*options->maxWaitSeconds);
  }
  if (options->maxObjectUpdates) {
    if (*options->maxObjectUpdates <= 0)
      throw invalid_argument("options.maxObjectUpdates", "it is not positive");
    limits.objects = static_cast<std::size_t>(*options->maxObjectUpdates);
  }
  return limits;
}

}  // namespace

model::Ptr<vim::RetrieveResult> RetrievalPages::begin(model::List<vim::ObjectContent> objects,
                                                      std::size_t size) {
  return cut({std::move(objects), 0, size});
}

model::Ptr<vim::RetrieveResult> RetrievalPages::next(const std::string& token) {
  return cut(take(token));
}

void RetrievalPages::drop(const std::string& token) {
  take(token);
}

model::Ptr<vim::RetrieveResult> RetrievalPages::cut(Rest rest) {
  vim::RetrieveResult page;
  const std::size_t end = std::min(rest.objects.size(), rest.at + rest.size);
  for (; rest.at < end; ++rest.at) page.objects.push_back(rest.objects[rest.at]);
  if (rest.at < rest.objects.size()) {
    page.token = std::to_string(++tokens_);
    rests_.emplace(tokens_, std::move(rest));
    if (rests_.size() > kMaxRests) rests_.erase(rests_.begin());
  }
  return model::share(std::move(page));
}

RetrievalPages::Rest RetrievalPages::take(const std::string& token) {
  std::uint64_t number = 0;
  const char* const end = token.data() + token.size();
  const auto [rest, error] = std::from_chars(token.data(), end, number);
  const auto found = error == std::errc() && rest == end ? rests_.find(number) : rests_.end();
  if (found == rests_.end()) throw invalid_token(token);
  return std::move(rests_.extract(found).mapped());
}

struct PropertyCollector::State {
  State(Kernel& kernel, const std::string& session, std::shared_ptr<SessionReferences> listed)
      : feed(std::make_shared<UpdateFeed>(kernel, session, std::move(listed))) {}
  ~State() { feed->close(); }

  std::shared_ptr<UpdateFeed> feed;
  RetrievalPages pages;
};

PropertyCollector::PropertyCollector(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self)),
      kernel_(kernel),
      filters_(std::make_shared<SessionReferences>()) {}

PropertyCollector::PropertyCollector(Kernel& kernel, const Session& session)
    : PropertyCollector(kernel, session_reference("PropertyCollector", session.key)) {
  set_owner(session.key);
  own_ = std::make_shared<State>(kernel, session.key, filters_);
}

void PropertyCollector::open() {
  inventory().watch(self(), this);
}

void PropertyCollector::object_removed(Object&) {
  own_->feed->release_filters();
  own_->feed->close();
}

DataPtr PropertyCollector::snapshot_for(const Session* session) const {
  if (!session) return snapshot();
  Properties own;
  own.filter = filters_->of(session->key);
  return model::share(std::move(own)).data();
}

PropertyCollector::State& PropertyCollector::state(model::Call& call) {
  if (own_) return *own_;
  const SessionPtr& session = context(call).session;
  if (!session) throw not_authenticated(self(), "System.View");
  std::shared_ptr<void>& attached = session->attachments[self().value];
  if (!attached) attached = std::make_shared<State>(kernel_, session->key, filters_);
  return *static_cast<State*>(attached.get());
}

Async<MoRef> PropertyCollector::CreateFilter(model::Call& call,
                                             const vim::CreateFilterRequestType& r) {
  UpdateFeed& feed = *state(call).feed;
  co_return feed.add_filter(Reader::of(context(call)), model::share(r.spec), r.partialUpdates);
}

Async<model::List<vim::ObjectContent>> PropertyCollector::read(
    Reader reader, model::List<vim::PropertyFilterSpec> specs) {
  const auto work = [&kernel = kernel_, reader, specs] { return retrieve(kernel, reader, specs); };
  model::List<vim::ObjectContent> contents = co_await offload(kernel_.readers, work);
  co_return contents;
}

Async<model::List<vim::ObjectContent>> PropertyCollector::RetrieveProperties(
    model::Call& call, const vim::RetrievePropertiesRequestType& r) {
  return read(Reader::of(context(call)), r.specSet);
}

Async<model::Ptr<vim::RetrieveResult>> PropertyCollector::RetrievePropertiesEx(
    model::Call& call, const vim::RetrievePropertiesExRequestType& r) {
  const auto limit = r.options.maxObjects;
  if (limit && *limit <= 0) throw invalid_argument("options.maxObjects", "it is not positive");
  auto contents = co_await read(Reader::of(context(call)), r.specSet);
  if (contents.empty()) co_return model::Ptr<vim::RetrieveResult>();
  // Before login there is nobody to keep pages for, and next to nothing to be read.
  if (limit && context(call).session)
    co_return state(call).pages.begin(std::move(contents), static_cast<std::size_t>(*limit));
  vim::RetrieveResult result;
  result.objects = std::move(contents);
  co_return model::share(std::move(result));
}

Async<model::Ptr<vim::RetrieveResult>> PropertyCollector::ContinueRetrievePropertiesEx(
    model::Call& call, const vim::ContinueRetrievePropertiesExRequestType& r) {
  co_return state(call).pages.next(r.token);
}

Async<void> PropertyCollector::CancelRetrievePropertiesEx(
    model::Call& call, const vim::CancelRetrievePropertiesExRequestType& r) {
  state(call).pages.drop(r.token);
  co_return;
}

Async<model::Ptr<vim::UpdateSet>> PropertyCollector::CheckForUpdates(
    model::Call& call, const vim::CheckForUpdatesRequestType& r) {
  UpdateFeed::Limits limits;
  limits.wait = std::chrono::seconds(0);
  return state(call).feed->wait(r.version.value_or(""), limits);
}

Async<model::Ptr<vim::UpdateSet>> PropertyCollector::WaitForUpdates(
    model::Call& call, const vim::WaitForUpdatesRequestType& r) {
  return state(call).feed->wait(r.version.value_or(""), {});
}

Async<model::Ptr<vim::UpdateSet>> PropertyCollector::WaitForUpdatesEx(
    model::Call& call, const vim::WaitForUpdatesExRequestType& r) {
  return state(call).feed->wait(r.version.value_or(""), limits_of(r.options));
}

Async<void> PropertyCollector::CancelWaitForUpdates(model::Call& call,
                                                    const vim::CancelWaitForUpdatesRequestType&) {
  state(call).feed->cancel();
  co_return;
}

Async<MoRef> PropertyCollector::CreatePropertyCollector(
    model::Call& call, const vim::CreatePropertyCollectorRequestType&) {
  const SessionPtr& session = context(call).session;
  if (!session) throw not_authenticated(self(), "System.View");
  const auto collector = kernel_.inventory.emplace<PropertyCollector>(kernel_, *session);
  collector->open();
  co_return collector->self();
}

Async<void> PropertyCollector::DestroyPropertyCollector(
    model::Call&, const vim::DestroyPropertyCollectorRequestType&) {
  if (!own_) throw not_supported("Destroying the property collector of all sessions");
  own_->feed->destroy_filters();
  inventory().remove(self());
  co_return;
}

}  // namespace virga::kernel

#include "host/datastore_lease.h"

#include <boost/asio/redirect_error.hpp>

#include "base/log.h"
#include "host/virtual_machine.h"

namespace virga::host {
namespace {

// Before a keeper that does not come up is tried again.
constexpr auto kPause = std::chrono::seconds(1);

std::string keeper_program() {
  return (fs::read_symlink("/proc/self/exe").parent_path() / "virga-lease").string();
}

}  // namespace

DatastoreLease::DatastoreLease(Host& host, const datastore::Datastore& files)
    : host_(host),
      datastore_id_(files.uuid()),
      client_(std::make_shared<datastore::LeaseClient>(
          datastore::LeaseOptions{.program = keeper_program(),
                                  .run_folder = (host.identity.run / "lease").string(),
                                  .datastore = files.root().string(),
                                  .datastore_id = files.uuid(),
                                  .host_uuid = host.identity.uuid})) {}

void DatastoreLease::start() {
  spawn(host_.kernel.executor, "lease", keep(shared_from_this()));
}

void DatastoreLease::stop() {
  stopped_ = true;
  if (keeper_) keeper_->close();
}

Async<void> DatastoreLease::renew() {
  const auto client = client_;
  const auto renew_lease = [client] { client->renew(); };
  co_await offload(host_.kernel.workers, renew_lease);
}

Async<void> DatastoreLease::guard(std::string lock_file, std::shared_ptr<Fd> guest) {
  const auto client = client_;
  const auto guard_guest = [client, lock_file, guest] { client->guard(lock_file, guest->get()); };
  co_await offload(host_.kernel.workers, guard_guest);
}

// Watches the keeper: one that ends leaves its guests unguarded.
Async<void> DatastoreLease::keep(std::shared_ptr<DatastoreLease> self) {
  while (!self->stopped_) {
    bool up = false;
    try {
      const auto client = self->client_;
      const auto watch = [client] { return std::make_shared<Fd>(client->watch()); };
      const auto end = co_await offload(self->host_.kernel.workers, watch);
      self->keeper_ = std::make_shared<asio::posix::stream_descriptor>(self->host_.kernel.executor,
                                                                       end->release());
      up = !self->stopped_;
    } catch (const Error& failure) {
      logger("lease")->error("{}", failure.what());
    }
    if (up) {
      boost::system::error_code ignored;
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await self->keeper_->async_wait(asio::posix::stream_descriptor::wait_read, token);
      if (!self->stopped_) co_await self->keeper_ended();
    } else if (!self->stopped_) {
      co_await sleep_for(kPause);
    }
  }
}

Async<void> DatastoreLease::keeper_ended() {
  logger("lease")->error("the keeper of the lease on {} has ended; another takes its guests",
                         datastore_id_);
  for (const auto& [ref, vm] : std::map(host_.virtual_machines)) {
    if (vm->config_file().datastore->uuid() == datastore_id_) co_await vm->guard_guest();
  }
}

}  // namespace virga::host

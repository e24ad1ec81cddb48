// This host's lease on a datastore where file locks do not reach other hosts (datastore/lease.h).
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>

#include "datastore/lease_client.h"
#include "host/host.h"

namespace virga::host {

class DatastoreLease : public std::enable_shared_from_this<DatastoreLease> {
 public:
  DatastoreLease(Host& host, const datastore::Datastore& files);

  // Keeps the lease from now on, as long as this daemon or a guest lives, until stop().
  void start();
  void stop();

  // As of datastore::LeaseClient.
  Async<void> renew();
  Async<void> guard(std::string lock_file, std::shared_ptr<Fd> guest);

 private:
  static Async<void> keep(std::shared_ptr<DatastoreLease> self);
  Async<void> keeper_ended();

  Host& host_;
  const std::string datastore_id_;
  const std::shared_ptr<datastore::LeaseClient> client_;
  std::shared_ptr<asio::posix::stream_descriptor> keeper_;
  bool stopped_ = false;
};

}  // namespace virga::host

// virga-lease: keeps a host's lease on a datastore; started by the host's daemon, see
// lease_keeper.h.
#include <CLI/CLI.hpp>

#include "base/companion.h"
#include "base/log.h"
#include "datastore/lease_keeper.h"

int main(int argc, char** argv) {
  virga::datastore::LeaseKeeperOptions options;
  CLI::App app("Keeps a host's lease on a datastore");
  app.add_option("--datastore", options.datastore, "The folder")->required();
  app.add_option("--host-uuid", options.host_uuid, "Whose lease")->required();
  app.add_option("--listener", options.listener, "The number of the socket inherited")->required();
  CLI11_PARSE(app, argc, argv);
  virga::become_companion();
  try {
    virga::datastore::keep_lease(options);
    return 0;
  } catch (const std::exception& failure) {
    virga::logger("lease")->error("{}", failure.what());
    return 1;
  }
}

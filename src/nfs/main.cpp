// virga-nfs: mounts an NFS 3 export and serves the mount; started by the host's daemon, see
// helper.h.
#include <CLI/CLI.hpp>

#include "base/companion.h"
#include "base/log.h"
#include "nfs/helper.h"

int main(int argc, char** argv) {
  virga::nfs::HelperOptions options;
  CLI::App app("Mounts an NFS 3 export");
  app.add_option("--host", options.host, "The server")->required();
  app.add_option("--path", options.path, "What it exports")->required();
  app.add_option("--folder", options.folder, "Where to mount it")->required();
  app.add_flag("--read-only", options.read_only, "Let nothing be written");
  app.add_option("--listener", options.listener, "The number of the socket inherited")->required();
  CLI11_PARSE(app, argc, argv);
  virga::become_companion();
  try {
    virga::nfs::serve_mount(options);
    return 0;
  } catch (const std::exception& failure) {
    virga::logger("nfs")->error("{}", failure.what());
    return 1;
  }
}

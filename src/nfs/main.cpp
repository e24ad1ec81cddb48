// virga-nfs: mounts an NFS export and serves the mount; started by the host's daemon, see
// helper.h.
#include <CLI/CLI.hpp>

#include "base/companion.h"
#include "base/log.h"
#include "nfs/helper.h"

int main(int argc, char** argv) {
  virga::nfs::HelperOptions options;
  CLI::App app("Mounts an NFS export");
  const std::map<std::string, virga::nfs::Version> versions = {{"3", virga::nfs::Version::v3},
                                                               {"4.1", virga::nfs::Version::v41}};
  app.add_option("--nfs", options.source.version, "The version of NFS")
      ->transform(CLI::CheckedTransformer(versions));
  app.add_option("--host", options.source.hosts,
                 "The server; NFS 4.1 takes several of its addresses")
      ->required()
      ->allow_extra_args(false);
  app.add_option("--path", options.source.path, "What it exports")->required();
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

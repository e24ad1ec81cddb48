#include "switching/ovs/programs.h"

#include <fmt/format.h>
#include <pwd.h>

#include "base/error.h"
#include "base/process.h"
#include "switching/ovs/netdev.h"

namespace virga::switching::ovs {
namespace {

const std::string dhcp_prefix = "dhcp-";
constexpr auto schema = "/usr/share/openvswitch/vswitch.ovsschema";

// An Open vSwitch daemon with every file of its own in our folders. The environment covers those
// that no option names, such as the bridges' management sockets.
DaemonProgram ovs_program(const Files& files, const std::string& name,
                          const std::vector<std::string>& arguments) {
  const fs::path pid_file = files.run / (name + ".pid");
  const std::string mark = "--pidfile=" + pid_file.string();
  std::vector<std::string> argv{"env", "OVS_RUNDIR=" + files.run.string(),
                                "OVS_LOGDIR=" + files.state.string(),
                                "OVS_DBDIR=" + files.state.string(), name};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.insert(argv.end(), {mark, "--unixctl=" + (files.run / (name + ".ctl")).string(),
                           "--log-file=" + (files.state / (name + ".log")).string(), "-vsyslog:off",
                           "--no-chdir", "--detach"});
  return {name, argv, pid_file, name, mark};
}

}  // namespace

fs::path Files::dhcp_configuration(const std::string& device) const {
  return state / (dhcp_prefix + device + ".conf");
}

DhcpFiles Files::dhcp(const std::string& device) const {
  return {run / (dhcp_prefix + device + ".pid"), state / (dhcp_prefix + device + ".leases"),
          state / (dhcp_prefix + device + ".log")};
}

void Files::remove_dhcp(const std::string& device) const {
  const DhcpFiles files = dhcp(device);
  std::error_code ignored;
  for (const fs::path& path : {dhcp_configuration(device), fs::path(files.pid_file),
                               fs::path(files.lease_file), fs::path(files.log_file)})
    fs::remove(path, ignored);
}

std::vector<std::string> Files::dhcp_devices() const {
  std::vector<std::string> devices;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() == ".pid" && name.starts_with(dhcp_prefix))
      devices.push_back(name.substr(dhcp_prefix.size()));
  }
  return devices;
}

DaemonProgram database_program(const Files& files) {
  return ovs_program(files, "ovsdb-server",
                     {files.database(), "--remote=punix:" + files.database_socket().string()});
}

DaemonProgram switch_program(const Files& files) {
  return ovs_program(files, "ovs-vswitchd", {"unix:" + files.database_socket().string()});
}

DaemonProgram dhcp_program(const Files& files, const std::string& device) {
  const std::string mark = "--conf-file=" + files.dhcp_configuration(device).string();
  return {"dnsmasq on " + device, {"dnsmasq", mark}, files.dhcp(device).pid_file, "dnsmasq", mark};
}

void prepare_database(const Files& files) {
  const std::string database = files.database();
  if (!fs::exists(database)) {
    run_checked({"ovsdb-tool", "create", database, schema});
  } else if (run_checked({"ovsdb-tool", "needs-conversion", database, schema}).starts_with("yes")) {
    run_checked({"ovsdb-tool", "convert", database, schema});
  }
}

void ask_switch_to_end(const Files& files) {
  run_checked({"ovs-appctl", "--timeout=5", "--target=" + files.switch_control().string(), "exit",
               "--cleanup"});
}

std::string choose_datapath_type() {
  if (has_kernel_datapath()) return "system";
  try {
    run_process({"modprobe", "--quiet", "openvswitch"});
  } catch (const Error&) {
    // No modprobe, no modules: the next look tells.
  }
  return has_kernel_datapath() ? "system" : "netdev";
}

std::string dhcp_user() {
  return ::getpwnam("dnsmasq") ? "dnsmasq" : "nobody";
}

}  // namespace virga::switching::ovs

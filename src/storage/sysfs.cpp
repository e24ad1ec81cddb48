// Reads the kernel's view of storage. What is where: Documentation/ABI/*/sysfs-* of Linux, and the
// transport classes (scsi_transport_fc, scsi_transport_iscsi, scsi_transport_sas, fcoe, nvme).
#include "base/sysfs.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "storage/devices.h"

namespace virga::storage {
namespace {

std::string read_bytes(const fs::path& file) {
  try {
    return read_file(file, 65536);
  } catch (const Error&) {
    return {};
  }
}

fs::path resolve(const fs::path& link) {
  std::error_code code;
  return fs::canonical(link, code);
}

bool passes_through(const fs::path& path, const std::string& prefix) {
  return std::ranges::any_of(path, [&](const fs::path& part) {
    const std::string name = part.string();
    return name.size() > prefix.size() && name.starts_with(prefix) &&
           std::isdigit(name[prefix.size()]);
  });
}

// The number at the end: 3 for host3.
int number_of(const std::string& name) {
  const auto digits = name.find_last_not_of("0123456789") + 1;
  int number = 0;
  std::from_chars(name.data() + digits, name.data() + name.size(), number);
  return number;
}

// "host:channel:target:lun".
struct ScsiAddress {
  int host = 0, channel = 0, target = 0, lun = 0;
};

std::optional<ScsiAddress> parse_scsi_address(const std::string& name) {
  ScsiAddress address;
  if (std::sscanf(name.c_str(), "%d:%d:%d:%d", &address.host, &address.channel, &address.target,
                  &address.lun) != 4)
    return std::nullopt;
  return address;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string with_underscores(std::string text) {
  std::ranges::replace(text, ' ', '_');
  return text;
}

std::string host_port(const std::string& address, const std::string& port) {
  if (address.empty()) return {};
  return (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + port;
}

// "32 Gbit", "8 Gbit/s", "1 Gbit".
std::uint64_t parse_speed(const std::string& text) {
  const std::uint64_t count = std::strtoull(text.c_str(), nullptr, 10);
  return text.find("Gbit") == std::string::npos ? 0 : count * 1'000'000'000;
}

PathState scsi_path_state(const std::string& state, const std::string& access) {
  if (state == "offline") return PathState::disabled;
  if (state == "transport-offline" || state == "deleted" || state == "cancel")
    return PathState::dead;
  if (access == "standby") return PathState::standby;
  if (access == "unavailable" || access == "offline") return PathState::dead;
  return state == "running" ? PathState::active : PathState::unknown;
}

PathState nvme_path_state(const std::string& controller_state, const std::string& ana) {
  if (controller_state != "live") return PathState::dead;
  if (ana == "inaccessible" || ana == "persistent-loss") return PathState::dead;
  if (ana == "change") return PathState::unknown;
  return ana == "non-optimized" ? PathState::standby : PathState::active;
}

class Reader {
 public:
  explicit Reader(const std::string& root)
      : classes_(fs::path(root.empty() ? "/" : root) / "sys/class") {}

  Devices read();

 private:
  // An adapter is made of one SCSI host or of several: the ports of an ATA controller, the sessions
  // of the kernel's iSCSI initiator.
  struct Found {
    Adapter adapter;
    std::vector<std::string> members;  // names of SCSI hosts, NVMe controllers or block devices
  };

  void find_scsi_hosts();
  void find_nvme_controllers();
  void find_other_disks();
  void name_adapters();
  void describe_scsi_host(Adapter& adapter, const fs::path& host);
  void describe_fibre_channel(Adapter& adapter, const fs::path& host);
  void read_scsi_units();
  void read_scsi_unit(const fs::path& device, const ScsiAddress& address);
  TargetIdentity scsi_remote(const ScsiAddress& address, const fs::path& device);
  void read_nvme_namespaces();
  void read_nvme_namespace(NvmeController& controller, const fs::path& space,
                           const fs::path& controller_path, int target);
  void read_other_disks();
  void read_block(LogicalUnit& unit, const fs::path& block);
  void add(LogicalUnit unit, Path path);

  Found& found(const std::string& order) { return found_[order]; }

  const fs::path classes_;
  std::map<std::string, Found> found_;                             // by order on the machine
  std::map<std::string, std::pair<std::string, int>> membership_;  // member → order, index in it
  struct Map {
    std::string path, wwid;
  };
  std::map<std::string, Map> multipath_;  // by path: sda → /dev/mapper/mpatha
  Devices devices_;
};

// ---- Adapters

AdapterKind kind_of_scsi_host(const fs::path& classes, const std::string& host,
                              const fs::path& at) {
  if (fs::exists(classes / "iscsi_host" / host)) return AdapterKind::iscsi;
  if (fs::exists(classes / "fc_host" / host)) {
    const bool on_ethernet =
        passes_through(at, "ctlr_") || at.string().find("/net/") != std::string::npos ||
        read_text(classes / "fc_host" / host / "symbolic_name").starts_with("fnic");
    return on_ethernet ? AdapterKind::fcoe : AdapterKind::fibre_channel;
  }
  if (fs::exists(classes / "sas_host" / host)) return AdapterKind::sas;
  return passes_through(at, "ata") || passes_through(at, "usb") ? AdapterKind::block
                                                                : AdapterKind::parallel_scsi;
}

void Reader::find_scsi_hosts() {
  for (const fs::path& link : entries(classes_ / "scsi_host")) {
    const std::string host = link.filename();
    const fs::path at = resolve(link);
    const std::string pci = pci_address_of(link), driver = read_text(link / "proc_name");
    const AdapterKind kind = kind_of_scsi_host(classes_, host, at);
    std::string order = pci.empty() ? "~" + driver : pci;
    if (kind != AdapterKind::block && driver != "iscsi_tcp")
      order += fmt::format("/{:06}", number_of(host));
    Found& entry = found(order);
    membership_[host] = {order, static_cast<int>(entry.members.size())};
    entry.members.push_back(host);
    entry.adapter.kind = kind;
    entry.adapter.driver = driver;
    entry.adapter.pci_address = pci;
    entry.adapter.rescan_files.push_back(link / "scan");
    describe_scsi_host(entry.adapter, link);
  }
}

void Reader::describe_scsi_host(Adapter& adapter, const fs::path& link) {
  const std::string host = link.filename();
  const std::string state = read_text(link / "state");
  adapter.online = state.empty() || state == "running";
  for (const char* attribute : {"model_name", "modelname", "modeldesc", "board_name", "model"})
    if (adapter.model.empty()) adapter.model = read_text(link / attribute);
  if (adapter.kind == AdapterKind::sas) {
    adapter.identity = read_number(link / "host_sas_address", 16);
  } else if (adapter.kind == AdapterKind::iscsi) {
    const fs::path iscsi = classes_ / "iscsi_host" / host;
    IscsiInitiator initiator;
    initiator.name = read_text(iscsi / "initiatorname");
    initiator.address = read_text(iscsi / "ipaddress");
    initiator.mac = read_text(iscsi / "hwaddress");
    initiator.software = adapter.driver == "iscsi_tcp";
    adapter.identity = initiator;
  } else if (adapter.kind == AdapterKind::fibre_channel || adapter.kind == AdapterKind::fcoe) {
    describe_fibre_channel(adapter, link);
  }
}

void Reader::describe_fibre_channel(Adapter& adapter, const fs::path& link) {
  const fs::path host = classes_ / "fc_host" / link.filename();
  FibreChannelLink fibre;
  fibre.port = {read_number(host / "port_name", 16), read_number(host / "node_name", 16)};
  fibre.type = read_text(host / "port_type");
  fibre.bits_per_second = parse_speed(read_text(host / "speed"));
  adapter.online = read_text(host / "port_state") == "Online";
  // …/net/eth2/ctlr_0/host7: the controller knows the Ethernet side.
  for (fs::path at = resolve(link); at.has_relative_path(); at = at.parent_path()) {
    if (!at.filename().string().starts_with("ctlr_")) continue;
    fibre.nic = at.parent_path().filename();
    fibre.mac = read_text(at.parent_path() / "address");
    for (const fs::path& forwarder : entries(at)) {
      if (!forwarder.filename().string().starts_with("fcf_")) continue;
      fibre.forwarder_mac = read_text(forwarder / "mac");
      fibre.vlan = static_cast<int>(read_number(forwarder / "vlan_id"));
    }
    break;
  }
  adapter.identity = fibre;
}

AdapterKind kind_of_nvme(const std::string& transport) {
  if (transport == "tcp") return AdapterKind::nvme_tcp;
  if (transport == "rdma") return AdapterKind::nvme_rdma;
  return transport == "fc" ? AdapterKind::nvme_fc : AdapterKind::nvme_pcie;
}

void Reader::find_nvme_controllers() {
  for (const fs::path& link : entries(classes_ / "nvme")) {
    const std::string name = link.filename(), transport = read_text(link / "transport");
    const std::string pci = pci_address_of(link);
    // Controllers on a fabric are targets of one adapter; on PCI Express each is an adapter.
    const std::string order = pci.empty() ? "~nvme_" + transport : pci + "/" + name;
    Found& entry = found(order);
    membership_[name] = {order, static_cast<int>(entry.members.size())};
    const bool live = read_text(link / "state") == "live";
    entry.adapter.online = live || (entry.adapter.online && !entry.members.empty());
    entry.members.push_back(name);
    entry.adapter.kind = kind_of_nvme(transport);
    entry.adapter.driver = transport == "pcie" ? "nvme" : "nvme_" + transport;
    entry.adapter.pci_address = pci;
    if (!pci.empty()) entry.adapter.model = trimmed(read_text(link / "model"));
    entry.adapter.rescan_files.push_back(link / "rescan_controller");
  }
}

// How a block device that is no SCSI unit and no namespace is driven: virtio_blk, loop, md,
// device-mapper. Empty for what is none to build on: RAM disks, parts of others, empty loops.
std::string driver_of_block(const fs::path& link) {
  const std::string name = link.filename();
  if (read_number(link / "size") == 0 || fs::exists(link / "partition")) return {};
  if (fs::exists(link / "loop/backing_file")) return "loop";
  if (fs::exists(link / "md")) return "md";
  const std::string mapped = read_text(link / "dm/uuid");
  if (!mapped.empty()) return mapped.starts_with("mpath-") ? "" : "device-mapper";
  const std::string driver = link_target_name(link / "device/driver");
  return driver == "sd" || driver == "sr" || name.starts_with("nvme") ? "" : driver;
}

void Reader::find_other_disks() {
  for (const fs::path& link : entries(classes_ / "block")) {
    const std::string name = link.filename(), mapped = read_text(link / "dm/uuid");
    if (mapped.starts_with("mpath-"))
      for (const fs::path& part : entries(link / "slaves"))
        multipath_[part.filename()] = {"/dev/mapper/" + read_text(link / "dm/name"),
                                       mapped.substr(std::string_view("mpath-").size())};
    const std::string driver = driver_of_block(link);
    if (driver.empty()) continue;
    const std::string pci = pci_address_of(link);
    const std::string order = pci.empty() ? "~" + driver : pci;
    Found& entry = found(order);
    membership_[name] = {order, static_cast<int>(entry.members.size())};
    entry.members.push_back(name);
    entry.adapter.kind = AdapterKind::block;
    entry.adapter.driver = driver;
    entry.adapter.pci_address = pci;
  }
}

void Reader::name_adapters() {
  int number = 0;
  for (auto& [order, entry] : found_) {
    entry.adapter.name = fmt::format("vmhba{}", number++);
    devices_.adapters.push_back(entry.adapter);
  }
}

// ---- Logical units

void Reader::read_block(LogicalUnit& unit, const fs::path& block) {
  const std::string name = block.filename();
  const auto multipath = multipath_.find(name);
  unit.multipath = multipath != multipath_.end();
  unit.device_path = unit.multipath ? multipath->second.path : "/dev/" + name;
  if (unit.multipath) unit.map = multipath->second.wwid;
  unit.bytes = read_number(block / "size") * 512;  // always in units of 512
  unit.block_bytes = static_cast<std::uint32_t>(read_number(block / "queue/logical_block_size"));
  unit.physical_block_bytes =
      static_cast<std::uint32_t>(read_number(block / "queue/physical_block_size"));
  if (unit.block_bytes == 0) unit.block_bytes = 512;
  if (unit.physical_block_bytes == 0) unit.physical_block_bytes = unit.block_bytes;
  unit.rotational = read_number(block / "queue/rotational") != 0;
  unit.removable = read_number(block / "removable") != 0;
}

// The first path to a unit brings it; further ones only add themselves.
void Reader::add(LogicalUnit unit, Path path) {
  if (unit.name.empty()) unit.name = "mpx." + path.name();
  path.unit = unit.name;
  const auto known = std::ranges::find(devices_.units, unit.name, &LogicalUnit::name);
  if (known == devices_.units.end()) {
    unit.uuid = unit_uuid(unit.name, path.lun, unit.model);
    path.working = path.state == PathState::active;
    devices_.units.push_back(std::move(unit));
  } else {
    // Without dm-multipath the kernel uses a unit through the block device of its first path.
    path.working = known->multipath && path.state == PathState::active;
  }
  devices_.paths.push_back(std::move(path));
}

void Reader::read_scsi_units() {
  std::vector<std::pair<std::tuple<int, int, int, int>, fs::path>> all;
  for (const fs::path& link : entries(classes_ / "scsi_device")) {
    if (const auto a = parse_scsi_address(link.filename()))
      all.emplace_back(std::tuple(a->host, a->channel, a->target, a->lun), link / "device");
  }
  std::ranges::sort(all);
  for (const auto& [address, device] : all) {
    const auto [host, channel, target, lun] = address;
    read_scsi_unit(device, {host, channel, target, lun});
  }
}

void Reader::read_scsi_unit(const fs::path& device, const ScsiAddress& address) {
  const auto member = membership_.find(fmt::format("host{}", address.host));
  if (member == membership_.end()) return;
  const auto& [order, index] = member->second;
  const Found& entry = found(order);
  LogicalUnit unit;
  unit.name = with_underscores(read_text(device / "wwid"));
  unit.type = static_cast<int>(read_number(device / "type"));
  unit.vendor = trimmed(read_text(device / "vendor"));
  unit.model = trimmed(read_text(device / "model"));
  unit.revision = trimmed(read_text(device / "rev"));
  unit.inquiry = read_bytes(device / "inquiry");
  const std::string page80 = read_bytes(device / "vpd_pg80");
  if (page80.size() > 4) unit.serial = trimmed(page80.substr(4));
  unit.scsi_level = static_cast<int>(read_number(device / "scsi_level"));
  unit.queue_depth = static_cast<int>(read_number(device / "queue_depth"));
  unit.state = read_text(device / "state");
  unit.local = entry.adapter.kind == AdapterKind::block ||
               entry.adapter.kind == AdapterKind::parallel_scsi ||
               entry.adapter.kind == AdapterKind::sas;
  for (const fs::path& block : entries(device / "block")) read_block(unit, block);

  Path path;
  path.adapter = entry.adapter.name;
  const bool shared = entry.members.size() > 1;  // each host of it is a target
  path.channel = shared ? address.target : address.channel;
  path.target = shared ? index : address.target;
  path.lun = address.lun;
  path.state = scsi_path_state(unit.state, read_text(device / "access_state"));
  path.remote = scsi_remote(address, resolve(device));
  path.state_file = device / "state";
  path.scsi_address =
      fmt::format("{}:{}:{}:{}", address.host, address.channel, address.target, address.lun);
  add(std::move(unit), std::move(path));
}

TargetIdentity Reader::scsi_remote(const ScsiAddress& address, const fs::path& device) {
  const fs::path fc = classes_ / "fc_transport" /
                      fmt::format("target{}:{}:{}", address.host, address.channel, address.target);
  if (fs::exists(fc))
    return FibreChannelPort{read_number(fc / "port_name", 16), read_number(fc / "node_name", 16)};
  for (const fs::path& part : device) {  // …/session3/target4:0:0/4:0:0:1
    const std::string name = part.string();
    const fs::path session = classes_ / "iscsi_session" / name;
    if (!name.starts_with("session") || !fs::exists(session)) continue;
    IscsiTarget target{read_text(session / "targetname"), read_text(session / "targetalias"), {}};
    const std::string prefix = fmt::format("connection{}:", number_of(name));
    for (const fs::path& link : entries(classes_ / "iscsi_connection")) {
      if (!link.filename().string().starts_with(prefix)) continue;
      target.addresses.push_back(
          host_port(read_text(link / "persistent_address"), read_text(link / "persistent_port")));
    }
    return target;
  }
  return {};
}

// ---- NVMe

// "eui.…" and "naa.…" as the kernel has them; a namespace without either gets a T10 name of model
// and serial number, as ESXi gives it.
std::string nvme_unit_name(const fs::path& space, const NvmeController& controller) {
  const std::string id = read_text(space / "wwid");
  if (!id.empty() && !id.starts_with("nvme.")) return id;
  return with_underscores(fmt::format("t10.NVMe____{:_<40}_{:_<20}_{:08x}", controller.model,
                                      controller.serial, read_number(space / "nsid")));
}

// nvme0n1, or with native multipath the hidden path nvme0c1n1: subsystem 0, controller 1.
bool is_namespace(const std::string& name) {
  if (!name.starts_with("nvme")) return false;
  const auto letter = name.find_first_not_of("0123456789", 4);
  return letter != std::string::npos && letter > 4 && (name[letter] == 'n' || name[letter] == 'c');
}

void Reader::read_nvme_namespaces() {
  for (const fs::path& link : entries(classes_ / "nvme")) {
    const auto& [order, index] = membership_.at(link.filename());
    NvmeController controller;
    controller.name = link.filename();
    controller.adapter = found(order).adapter.name;
    controller.number = static_cast<int>(read_number(link / "cntlid"));
    controller.subsystem = read_text(link / "subsysnqn");
    controller.transport = read_text(link / "transport");
    controller.model = trimmed(read_text(link / "model"));
    controller.serial = trimmed(read_text(link / "serial"));
    controller.firmware = trimmed(read_text(link / "firmware_rev"));
    controller.vendor_id = read_text(link / "device/vendor");
    controller.queues = static_cast<int>(read_number(link / "queue_count"));
    controller.queue_size = static_cast<int>(read_number(link / "sqsize"));
    for (const fs::path& space : entries(link))
      if (is_namespace(space.filename())) read_nvme_namespace(controller, space, link, index);
    devices_.controllers.push_back(std::move(controller));
  }
}

void Reader::read_nvme_namespace(NvmeController& controller, const fs::path& space,
                                 const fs::path& controller_path, int target) {
  const std::string name = space.filename();
  // The hidden path nvme1c2n3 of a subsystem belongs to the disk nvme1n3.
  const auto c = name.find('c');
  const std::string disk =
      c == std::string::npos ? name : name.substr(0, c) + name.substr(name.find('n', c));
  LogicalUnit unit;
  unit.name = nvme_unit_name(space, controller);
  unit.vendor = "NVMe";
  unit.model = controller.model;
  unit.revision = controller.firmware;
  unit.serial = controller.serial;
  unit.state = "running";
  unit.local = controller.transport == "pcie";
  read_block(unit, classes_ / "block" / disk);
  unit.multipath = c != std::string::npos;

  Path path;
  path.adapter = controller.adapter;
  path.target = target;
  const auto id = static_cast<std::uint32_t>(read_number(space / "nsid"));
  path.lun = id > 0 ? static_cast<int>(id) - 1 : 0;
  path.state =
      nvme_path_state(read_text(controller_path / "state"), read_text(space / "ana_state"));
  controller.namespaces.push_back({unit.name, id});
  add(std::move(unit), std::move(path));
}

// ---- The rest

void Reader::read_other_disks() {
  for (const fs::path& link : entries(classes_ / "block")) {
    const auto member = membership_.find(link.filename());
    if (member == membership_.end()) continue;
    const auto& [order, index] = member->second;
    LogicalUnit unit;
    read_block(unit, link);
    unit.serial = read_text(link / "serial");
    unit.state = "running";
    Path path;
    path.adapter = found(order).adapter.name;
    path.target = index;
    add(std::move(unit), std::move(path));
  }
}

Devices Reader::read() {
  find_scsi_hosts();
  find_nvme_controllers();
  find_other_disks();
  name_adapters();
  read_scsi_units();
  read_nvme_namespaces();
  read_other_disks();
  return std::move(devices_);
}

}  // namespace

Devices read_devices(const std::string& root) {
  return Reader(root).read();
}

}  // namespace virga::storage

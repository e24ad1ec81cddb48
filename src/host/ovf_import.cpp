#include "host/ovf_import.h"

#include <algorithm>
#include <set>

#include "host/guest_os.h"
#include "host/hardware_version.h"
#include "host/vm_config_words.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

using ovf::Item;
using ovf::ResourceType;

constexpr int first_ide_key = keys::ide;
constexpr int scsi_own_unit = 7;

bool is_true(std::string_view value) {
  return vmx::equal_ignoring_case(value, "true") || value == "1";
}

// --- Words of descriptors ----------------------------------------------------------------------

struct SubType {
  std::string_view word;
  std::string_view api_type;
};

constexpr SubType scsi_controllers[] = {{"lsilogic", "VirtualLsiLogicController"},
                                        {"lsilogicsas", "VirtualLsiLogicSASController"},
                                        {"virtualscsi", "ParaVirtualSCSIController"},
                                        {"buslogic", "VirtualBusLogicController"}};
constexpr SubType storage_controllers[] = {{"vmware.sata.ahci", "VirtualAHCIController"},
                                           {"ahci", "VirtualAHCIController"},
                                           {"vmware.nvme.controller", "VirtualNVMEController"},
                                           {"nvme", "VirtualNVMEController"}};
constexpr SubType adapters[] = {{"vmxnet3", "VirtualVmxnet3"}, {"e1000e", "VirtualE1000e"},
                                {"e1000", "VirtualE1000"},     {"pcnet32", "VirtualPCNet32"},
                                {"vmxnet2", "VirtualVmxnet2"}, {"vmxnet", "VirtualVmxnet"},
                                {"flexible", "VirtualPCNet32"}};
// What drivers are everywhere for.
constexpr std::string_view usual_scsi = "VirtualLsiLogicController";
constexpr std::string_view usual_adapter = "VirtualE1000";

// The first of the words that names one; several stand for a choice.
template <std::size_t N>
std::string_view find_type(const SubType (&types)[N], std::string_view words) {
  while (!words.empty()) {
    const auto end = std::min(words.find(' '), words.size());
    for (const SubType& type : types)
      if (vmx::equal_ignoring_case(type.word, words.substr(0, end))) return type.api_type;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return {};
}

struct CimSystem {
  int id;
  std::string_view guest_id;
};

// Where CIM means several, the one that a new machine would be.
constexpr CimSystem cim_systems[] = {
    {1, "otherGuest"},
    {36, "otherLinuxGuest"},
    {42, "freebsdGuest"},
    {58, "win2000ServGuest"},
    {67, "winXPProGuest"},
    {69, "winNetStandardGuest"},
    {70, "winNetStandard64Guest"},
    {71, "winXPPro64Guest"},
    {73, "winVistaGuest"},
    {74, "winVista64Guest"},
    {76, "winLonghornGuest"},
    {77, "winLonghorn64Guest"},
    {78, "freebsd64Guest"},
    {79, "rhel7Guest"},
    {80, "rhel7_64Guest"},
    {81, "solaris10_64Guest"},
    {82, "suseGuest"},
    {83, "suse64Guest"},
    {84, "slesGuest"},
    {85, "sles64Guest"},
    {86, "oesGuest"},
    {87, "nld9Guest"},
    {88, "sjdsGuest"},
    {89, "mandrivaGuest"},
    {90, "mandriva64Guest"},
    {91, "turboLinuxGuest"},
    {92, "turboLinux64Guest"},
    {93, "ubuntuGuest"},
    {94, "ubuntu64Guest"},
    {95, "debian10Guest"},
    {96, "debian10_64Guest"},
    {97, "other24xLinuxGuest"},
    {98, "other24xLinux64Guest"},
    {99, "other26xLinuxGuest"},
    {100, "other26xLinux64Guest"},
    {101, "otherLinux64Guest"},
    {102, "otherGuest64"},
    {103, "windows7Server64Guest"},
    {105, "windows7_64Guest"},
    {106, "centosGuest"},
    {107, "centos64Guest"},
    {108, "oracleLinuxGuest"},
    {109, "oracleLinux64Guest"},
    {110, "eComStationGuest"},
    {112, "windows8Server64Guest"},
    {113, "windows8Guest"},
    {114, "windows8_64Guest"},
    {115, "windows8Server64Guest"},
};

constexpr std::string_view vmdk_format =
    "http://www.vmware.com/interfaces/specifications/vmdk.html";

bool is_vmdk(std::string_view format) {
  return format.empty() || format.starts_with(vmdk_format) ||
         format.starts_with("http://www.vmware.com/specifications/vmdk.html");
}

// --- The settings that vmw:Config knows ---------------------------------------------------------

using Spec = vim::VirtualMachineConfigSpec;

template <class T>
T& part(model::Ptr<T>& object) {
  return object.edit();
}

struct KnownSetting {
  std::string_view key;
  void (*apply)(Spec& spec, const std::string& value);
};

// A flag that asks for nothing needs no word.
template <std::optional<bool> Spec::*Flag>
void set_flag(Spec& spec, const std::string& value) {
  if (is_true(value)) spec.*Flag = true;
}
template <std::optional<bool> vim::ToolsConfigInfo::*Flag>
void set_tools_flag(Spec& spec, const std::string& value) {
  part(spec.tools).*Flag = is_true(value);
}

constexpr KnownSetting known_settings[] = {
    {"firmware", [](Spec& spec, const std::string& value) { spec.firmware = value; }},
    {"cpuHotAddEnabled", set_flag<&Spec::cpuHotAddEnabled>},
    {"memoryHotAddEnabled", set_flag<&Spec::memoryHotAddEnabled>},
    {"nestedHVEnabled", set_flag<&Spec::nestedHVEnabled>},
    {"virtualICH7MPresent", [](Spec&, const std::string&) {}},
    {"virtualSMCPresent", [](Spec&, const std::string&) {}},
    {"cpuHotRemoveEnabled", [](Spec&, const std::string&) {}},
    {"bootOptions.efiSecureBootEnabled",
     [](Spec& spec, const std::string& value) {
       if (is_true(value)) part(spec.bootOptions).efiSecureBootEnabled = true;
     }},
    {"bootOptions.bootDelay",
     [](Spec& spec, const std::string& value) {
       if (const auto delay = vmx::parse_int(value)) part(spec.bootOptions).bootDelay = *delay;
     }},
    {"tools.syncTimeWithHost", set_tools_flag<&vim::ToolsConfigInfo::syncTimeWithHost>},
    {"tools.afterPowerOn", set_tools_flag<&vim::ToolsConfigInfo::afterPowerOn>},
    {"tools.afterResume", set_tools_flag<&vim::ToolsConfigInfo::afterResume>},
    {"tools.beforeGuestStandby", set_tools_flag<&vim::ToolsConfigInfo::beforeGuestStandby>},
    {"tools.beforeGuestShutdown", set_tools_flag<&vim::ToolsConfigInfo::beforeGuestShutdown>},
    {"tools.toolsUpgradePolicy",
     [](Spec& spec, const std::string& value) { part(spec.tools).toolsUpgradePolicy = value; }},
};

// --- Planning ----------------------------------------------------------------------------------

class Planner {
 public:
  Planner(const ovf::Envelope& envelope, const OvfChoices& choices,
          const std::vector<std::string>& port_groups, OvfFindings& findings)
      : envelope_(envelope),
        choices_(choices),
        port_groups_(port_groups),
        findings_(findings),
        option_(choices.deployment_option.empty() ? envelope.default_option
                                                  : choices.deployment_option) {}

  OvfImportPlan plan();

 private:
  // A controller that devices can hang on.
  struct Place {
    int key = 0;
    std::string_view type;
    int bus = 0;
    std::set<int> units;  // taken

    bool is_scsi() const {
      return type.find("SCSI") != type.npos || type.find("Logic") != type.npos;
    }
  };

  Spec& spec() { return plan_.config; }
  std::vector<const Item*> chosen_items(const ovf::VirtualSystem& system);
  template <class Device>
  void add(Device device);
  int new_key() { return --last_key_; }
  void unsupported_type(const Item& item);
  void unsupported_sub_type(const Item& item, bool is_error);

  void plan_machine(const ovf::VirtualSystem& system);
  void plan_version(const ovf::VirtualSystem& system);
  void plan_guest(const ovf::VirtualSystem& system);
  void plan_settings(const ovf::VirtualSystem& system);
  void check_option();
  void plan_item(const Item& item);
  void plan_processors(const Item& item);
  void plan_memory(const Item& item);
  void plan_controller(const Item& item);
  template <class Controller>
  Controller controller(int key, int bus);
  void add_controller(std::string_view type, int key, int bus);
  void plan_usb(const Item& item);
  void plan_adapter(const Item& item);
  template <class Card>
  void add_adapter(const Item& item, const std::string& network);
  std::string port_group_of(const Item& item);
  void plan_disk(const Item& item);
  void plan_drive(const Item& item);
  Place& place_of(const Item& item, bool is_disk);
  Place& new_place(const std::string& instance, std::string_view type);
  std::optional<int> unit_of(const Item& item, Place& place);
  const ovf::Disk* disk_of(const Item& item);
  void plan_file(const Item& item, const ovf::Disk& disk, const Place& place, int unit);
  vim::VirtualDiskFlatVer2BackingInfo new_backing();

  const ovf::Envelope& envelope_;
  const OvfChoices& choices_;
  const std::vector<std::string>& port_groups_;
  OvfFindings& findings_;
  const std::string option_;
  OvfImportPlan plan_;
  std::map<std::string, Place> places_;  // by the item's instance
  std::map<std::string, int> buses_;     // of each kind, how many there are
  int last_key_ = -100;
};

OvfImportPlan Planner::plan() {
  check_option();
  if (envelope_.is_collection) {
    vim::OvfUnsupportedElement detail;
    detail.name = "VirtualSystemCollection";
    findings_.error(std::move(detail), "The descriptor is of a vApp, which a host cannot have.");
  }
  if (!envelope_.systems.empty()) plan_machine(envelope_.systems.front());
  return std::move(plan_);
}

void Planner::check_option() {
  const auto& options = envelope_.options;
  if (option_.empty() ||
      std::ranges::any_of(options, [&](const auto& it) { return it.id == option_; }))
    return;
  vim::OvfInvalidValueConfiguration detail;
  detail.elementName = "DeploymentOptionSection";
  detail.attributeName = "id";
  detail.value = option_;
  findings_.error(std::move(detail),
                  fmt::format("The descriptor has no deployment option '{}'.", option_));
}

// Of items with one instance, that of the deployment option stands for all.
std::vector<const Item*> Planner::chosen_items(const ovf::VirtualSystem& system) {
  std::vector<const Item*> chosen;
  for (const Item& item : system.items) {
    if (!item.options.empty() && std::ranges::find(item.options, option_) == item.options.end())
      continue;
    const auto same = std::ranges::find_if(
        chosen, [&](const Item* other) { return other->instance == item.instance; });
    if (same == chosen.end())
      chosen.push_back(&item);
    else if (!item.options.empty())
      *same = &item;
  }
  return chosen;
}

void Planner::plan_machine(const ovf::VirtualSystem& system) {
  spec().name = choices_.name.empty() ? system.name : choices_.name;
  vim::VirtualMachineFileInfo files;
  files.vmPathName = fmt::format("[{}]", choices_.datastore);
  spec().files = model::share(std::move(files));
  if (!system.annotation.empty()) spec().annotation = system.annotation;
  plan_version(system);
  plan_guest(system);
  plan_settings(system);
  const std::vector<const Item*> items = chosen_items(system);
  // Controllers come before what hangs on them, wherever the descriptor has them.
  const auto is_controller = [](const Item* item) {
    const auto type = static_cast<ResourceType>(item->type);
    return type == ResourceType::ide_controller || type == ResourceType::scsi_controller ||
           type == ResourceType::other_storage;
  };
  for (const Item* item : items)
    if (is_controller(item)) plan_controller(*item);
  for (const Item* item : items)
    if (!is_controller(item)) plan_item(*item);
}

void Planner::plan_version(const ovf::VirtualSystem& system) {
  std::string families;
  std::optional<int> newest;
  bool is_vmware = system.families.empty();
  for (const std::string& family : system.families) {
    families += (families.empty() ? "" : " ") + family;
    const auto version = parse_hardware_version(family);
    is_vmware |= version.has_value();
    if (version && is_hardware_version(*version) && *version <= hardware_versions().back().number)
      newest = std::max(newest.value_or(0), *version);
  }
  if (newest) spec().version = format_hardware_version(*newest);
  if (newest || system.families.empty()) return;
  vim::OvfNoSupportedHardwareFamily detail;
  detail.version = families;
  const std::string what = fmt::format("The virtual hardware is of family '{}'", families);
  if (is_vmware)
    findings_.error(std::move(detail), what + ", which this host does not have.");
  else
    findings_.warning(std::move(detail), what + "; it is taken for this host's.");
}

void Planner::plan_guest(const ovf::VirtualSystem& system) {
  const ovf::OperatingSystem& os = system.system;
  if (find_guest_os(os.vmware_id)) {
    spec().guestId = os.vmware_id;
    return;
  }
  const std::string known = guest_id_of_cim(os.id);
  spec().guestId = known.empty() ? "otherGuest" : known;
  if (os.id == 0 && os.vmware_id.empty()) return;
  vim::OvfMappedOsId detail;
  detail.ovfId = os.id;
  detail.ovfDescription = os.description;
  detail.targetDescription = find_guest_os(*spec().guestId)->full_name;
  const std::string message = fmt::format("The guest operating system '{}' ({}) becomes {}.",
                                          os.description, os.id, detail.targetDescription);
  findings_.warning(std::move(detail), message);
}

void Planner::plan_settings(const ovf::VirtualSystem& system) {
  for (const ovf::Setting& setting : system.settings) {
    const auto known = std::ranges::find(known_settings, setting.key, &KnownSetting::key);
    if (known != std::end(known_settings)) {
      known->apply(spec(), setting.value);
    } else if (setting.is_required) {
      vim::OvfUnsupportedElementValue detail;
      detail.name = "vmw:Config";
      detail.value = setting.key;
      findings_.error(std::move(detail), fmt::format("'{}' is not served.", setting.key));
    }
  }
  for (const ovf::Setting& setting : system.extra) {
    if (vmx::is_described(setting.key)) continue;
    vim::OptionValue& option = spec().extraConfig.emplace_back();
    option.key = setting.key;
    option.value = model::any(setting.value);
  }
  const bool has_properties = std::ranges::any_of(
      system.products, [](const ovf::Product& it) { return !it.properties.empty(); });
  if (!has_properties) return;
  vim::OvfUnsupportedSection detail;
  detail.name = "ProductSection";
  detail.info = "Properties";
  detail.lineNumber = system.line;
  findings_.warning(std::move(detail), "The guest is not told of the descriptor's properties.");
}

void Planner::unsupported_type(const Item& item) {
  vim::OvfUnsupportedType detail;
  detail.lineNumber = item.line;
  detail.name = item.name;
  detail.instanceId = item.instance;
  detail.deviceType = item.type;
  const bool is_error = item.is_required;
  findings_.add(is_error,
                model::Fault(std::move(detail),
                             fmt::format("Line {}: a device of type {} ({}) is not served.",
                                         item.line, item.type, item.name)));
}

void Planner::unsupported_sub_type(const Item& item, bool is_error) {
  vim::OvfUnsupportedSubType detail;
  detail.lineNumber = item.line;
  detail.elementName = item.name;
  detail.instanceId = item.instance;
  detail.deviceType = item.type;
  detail.deviceSubType = item.sub_type;
  findings_.add(is_error && item.is_required,
                model::Fault(std::move(detail), fmt::format("Line {}: '{}' ({}) is not served.",
                                                            item.line, item.sub_type, item.name)));
}

void Planner::plan_item(const Item& item) {
  switch (static_cast<ResourceType>(item.type)) {
    case ResourceType::processor:
      return plan_processors(item);
    case ResourceType::memory:
      return plan_memory(item);
    case ResourceType::ethernet:
      return plan_adapter(item);
    case ResourceType::disk:
      return plan_disk(item);
    case ResourceType::cd_drive:
    case ResourceType::dvd_drive:
      return plan_drive(item);
    case ResourceType::usb_controller:
      return plan_usb(item);
    case ResourceType::graphics:
      return;  // every machine has a video card
    default:
      return unsupported_type(item);
  }
}

// --- Processors and memory ---------------------------------------------------------------------

model::Ptr<vim::ResourceAllocationInfo> allocation_of(const Item& item, std::int64_t unit) {
  if (!item.reservation && !item.limit && !item.weight) return {};
  vim::ResourceAllocationInfo allocation;
  if (item.reservation) allocation.reservation = *item.reservation / unit;
  if (item.limit) allocation.limit = *item.limit / unit;
  if (item.weight) {
    vim::SharesInfo shares;
    shares.level = vim::SharesLevel::custom;
    shares.shares = static_cast<std::int32_t>(*item.weight);
    allocation.shares = model::share(std::move(shares));
  }
  return model::share(std::move(allocation));
}

void Planner::plan_processors(const Item& item) {
  const auto count = static_cast<int>(std::min<std::uint64_t>(item.quantity.value_or(1), 1 << 20));
  spec().numCPUs = count;
  if (item.cores_per_socket && *item.cores_per_socket > 0 && count % *item.cores_per_socket == 0)
    spec().numCoresPerSocket = *item.cores_per_socket;
  spec().cpuAllocation = allocation_of(item, 1);
}

void Planner::plan_memory(const Item& item) {
  constexpr std::int64_t mib = 1 << 20;
  if (item.quantity) spec().memoryMB = static_cast<std::int64_t>(*item.quantity) / mib;
  spec().memoryAllocation = allocation_of(item, mib);
}

// --- Controllers -------------------------------------------------------------------------------

template <class Device>
void Planner::add(Device device) {
  vim::VirtualDeviceConfigSpec change;
  change.operation = vim::VirtualDeviceConfigSpecOperation::add;
  change.device = model::Ptr<vim::VirtualDevice>(model::share(std::move(device)).data());
  spec().deviceChange.push_back(std::move(change));
}

template <class Controller>
Controller Planner::controller(int key, int bus) {
  Controller controller;
  controller.key = key;
  controller.busNumber = bus;
  if constexpr (std::is_base_of_v<vim::VirtualSCSIController, Controller>)
    controller.sharedBus = vim::VirtualSCSISharing::noSharing;
  return controller;
}

void Planner::add_controller(std::string_view type, int key, int bus) {
  if (type == "ParaVirtualSCSIController")
    add(controller<vim::ParaVirtualSCSIController>(key, bus));
  else if (type == "VirtualLsiLogicController")
    add(controller<vim::VirtualLsiLogicController>(key, bus));
  else if (type == "VirtualLsiLogicSASController")
    add(controller<vim::VirtualLsiLogicSASController>(key, bus));
  else if (type == "VirtualBusLogicController")
    add(controller<vim::VirtualBusLogicController>(key, bus));
  else if (type == "VirtualAHCIController")
    add(controller<vim::VirtualAHCIController>(key, bus));
  else if (type == "VirtualNVMEController")
    add(controller<vim::VirtualNVMEController>(key, bus));
}

// The two IDE controllers are always there.
Planner::Place& Planner::new_place(const std::string& instance, std::string_view type) {
  Place place;
  place.type = type;
  const bool is_ide = type == "VirtualIDEController";
  const std::string kind = place.is_scsi() ? "SCSI" : std::string(type);
  place.bus = buses_[kind]++;
  place.key = is_ide ? first_ide_key + place.bus : new_key();
  if (place.is_scsi()) place.units.insert(scsi_own_unit);
  if (!is_ide) add_controller(type, place.key, place.bus);
  return places_[instance] = std::move(place);
}

void Planner::plan_controller(const Item& item) {
  std::string_view type = "VirtualIDEController";
  if (item.type == static_cast<int>(ResourceType::scsi_controller))
    type = item.sub_type.empty() ? usual_scsi : find_type(scsi_controllers, item.sub_type);
  if (item.type == static_cast<int>(ResourceType::other_storage))
    type = find_type(storage_controllers, item.sub_type);
  if (type.empty()) return unsupported_sub_type(item, true);
  if (type == "VirtualIDEController" && buses_[std::string(type)] == 2) return;
  new_place(item.instance, type);
}

void Planner::plan_usb(const Item& item) {
  if (vmx::equal_ignoring_case(item.sub_type, "vmware.usb.xhci")) {
    vim::VirtualUSBXHCIController xhci;
    xhci.key = new_key();
    return add(std::move(xhci));
  }
  vim::VirtualUSBController usb;
  usb.key = new_key();
  usb.ehciEnabled = vmx::equal_ignoring_case(item.sub_type, "vmware.usb.ehci");
  add(std::move(usb));
}

// --- Network adapters --------------------------------------------------------------------------

std::string Planner::port_group_of(const Item& item) {
  const std::string wanted = item.connections.empty() ? "" : item.connections.front();
  if (const auto chosen = choices_.networks.find(wanted); chosen != choices_.networks.end())
    return chosen->second;
  if (std::ranges::find(port_groups_, wanted) != port_groups_.end()) return wanted;
  if (!port_groups_.empty()) return port_groups_.front();
  vim::OvfNoHostNic detail;
  detail.lineNumber = item.line;
  findings_.error(std::move(detail), "The host has no network for " + item.name + ".");
  return {};
}

template <class Card>
void Planner::add_adapter(const Item& item, const std::string& network) {
  Card card;
  card.key = new_key();
  card.addressType = "generated";
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = network;
  card.backing = model::Ptr<vim::VirtualDeviceBackingInfo>(model::share(std::move(backing)).data());
  vim::VirtualDeviceConnectInfo connection;
  connection.startConnected = connection.connected = item.starts_connected;
  connection.allowGuestControl = true;
  card.connectable = model::share(std::move(connection));
  for (const ovf::Setting& setting : item.settings)
    if (setting.key == "wakeOnLanEnabled") card.wakeOnLanEnabled = is_true(setting.value);
  add(std::move(card));
}

void Planner::plan_adapter(const Item& item) {
  const std::string network = port_group_of(item);
  std::string_view type = find_type(adapters, item.sub_type);
  if (type.empty() && !item.sub_type.empty()) unsupported_sub_type(item, false);
  if (type.empty()) type = usual_adapter;
  if (type == "VirtualVmxnet3") add_adapter<vim::VirtualVmxnet3>(item, network);
  if (type == "VirtualE1000e") add_adapter<vim::VirtualE1000e>(item, network);
  if (type == "VirtualE1000") add_adapter<vim::VirtualE1000>(item, network);
  if (type == "VirtualPCNet32") add_adapter<vim::VirtualPCNet32>(item, network);
  if (type == "VirtualVmxnet2") add_adapter<vim::VirtualVmxnet2>(item, network);
  if (type == "VirtualVmxnet") add_adapter<vim::VirtualVmxnet>(item, network);
}

// --- Disks and drives --------------------------------------------------------------------------

// A device that hangs on nothing gets a controller.
Planner::Place& Planner::place_of(const Item& item, bool is_disk) {
  if (const auto found = places_.find(item.parent); found != places_.end()) return found->second;
  const std::string_view type = is_disk ? usual_scsi : "VirtualIDEController";
  for (auto& [instance, place] : places_)
    if (place.type == type) return place;
  return new_place(std::string(type), type);
}

std::optional<int> Planner::unit_of(const Item& item, Place& place) {
  const int most = place.type == "VirtualIDEController" ? 2 : 64;
  const auto asked = vmx::parse_int(item.address_on_parent);
  const bool is_free =
      asked && *asked >= 0 && *asked < most && !place.units.contains(static_cast<int>(*asked));
  int unit = is_free ? static_cast<int>(*asked) : 0;
  while (place.units.contains(unit)) ++unit;
  if (unit >= most) {
    vim::OvfNoSpaceOnController detail;
    detail.lineNumber = item.line;
    detail.name = item.name;
    detail.parent = item.parent;
    findings_.error(std::move(detail), fmt::format("Line {}: {} finds no room on its controller.",
                                                   item.line, item.name));
    return std::nullopt;
  }
  place.units.insert(unit);
  return unit;
}

// "ovf:/disk/ID", "/disk/ID" and "ovf://disk/ID".
const ovf::Disk* Planner::disk_of(const Item& item) {
  const std::string resource = item.host_resources.empty() ? "" : item.host_resources.front();
  const auto at = resource.find("disk/");
  const std::string id = at == resource.npos ? "" : resource.substr(at + 5);
  const auto found = std::ranges::find(envelope_.disks, id, &ovf::Disk::id);
  if (found != envelope_.disks.end()) return &*found;
  vim::OvfInvalidValueReference detail;
  detail.lineNumber = item.line;
  detail.elementName = "Item";
  detail.attributeName = "HostResource";
  detail.value = resource;
  findings_.error(std::move(detail), fmt::format("Line {}: {} is to be '{}', which is not there.",
                                                 item.line, item.name, resource));
  return nullptr;
}

vim::VirtualDiskFlatVer2BackingInfo Planner::new_backing() {
  vim::VirtualDiskFlatVer2BackingInfo backing;
  backing.diskMode = "persistent";
  backing.thinProvisioned = choices_.provisioning == "thin" || choices_.provisioning == "sparse";
  backing.eagerlyScrub = choices_.provisioning == "eagerZeroedThick";
  return backing;
}

void Planner::plan_disk(const Item& item) {
  const ovf::Disk* disk = disk_of(item);
  if (!disk) return;
  Place& place = place_of(item, true);
  const auto unit = unit_of(item, place);
  if (!unit) return;
  constexpr std::uint64_t kib = 1024;
  vim::VirtualDisk device;
  device.key = new_key();
  device.controllerKey = place.key;
  device.unitNumber = *unit;
  device.capacityInKB = static_cast<std::int64_t>((disk->capacity + kib - 1) / kib);
  device.backing = model::Ptr<vim::VirtualDeviceBackingInfo>(model::share(new_backing()).data());
  vim::VirtualDeviceConfigSpec change;
  change.operation = vim::VirtualDeviceConfigSpecOperation::add;
  change.fileOperation = vim::VirtualDeviceConfigSpecFileOperation::create;
  change.device = model::Ptr<vim::VirtualDevice>(model::share(std::move(device)).data());
  spec().deviceChange.push_back(std::move(change));
  if (!disk->file.empty()) plan_file(item, *disk, place, *unit);
}

void Planner::plan_file(const Item& item, const ovf::Disk& disk, const Place& place, int unit) {
  const auto file = std::ranges::find(envelope_.files, disk.file, &ovf::File::id);
  if (file == envelope_.files.end()) return;  // the reader has said so
  const auto refuse = [&](int line, const char* element, const char* attribute,
                          const std::string& value) {
    vim::OvfUnsupportedAttributeValue detail;
    detail.lineNumber = line;
    detail.elementName = element;
    detail.attributeName = attribute;
    detail.value = value;
    findings_.error(std::move(detail),
                    fmt::format("Line {}: {} '{}' is not served.", line, attribute, value));
  };
  if (!is_vmdk(disk.format)) refuse(disk.line, "Disk", "format", disk.format);
  if (!file->compression.empty()) refuse(file->line, "File", "compression", file->compression);
  if (file->chunk_size) refuse(file->line, "File", "chunkSize", std::to_string(*file->chunk_size));
  vim::OvfFileItem& sent = plan_.files.emplace_back();
  sent.deviceId = fmt::format("/{}/{}{}:{}", *spec().name, place.type, place.bus, unit);
  sent.path = file->href;
  if (file->size) sent.size = static_cast<std::int64_t>(*file->size);
  sent.cimType = item.type;
}

void Planner::plan_drive(const Item& item) {
  Place& place = place_of(item, false);
  const auto unit = unit_of(item, place);
  if (!unit) return;
  vim::VirtualCdrom drive;
  drive.key = new_key();
  drive.controllerKey = place.key;
  drive.unitNumber = *unit;
  drive.backing = model::Ptr<vim::VirtualDeviceBackingInfo>(
      model::share(vim::VirtualCdromRemotePassthroughBackingInfo{}).data());
  vim::VirtualDeviceConnectInfo connection;
  connection.allowGuestControl = true;
  drive.connectable = model::share(std::move(connection));
  add(std::move(drive));
  if (item.host_resources.empty()) return;
  vim::OvfUnsupportedDeviceBackingInfo detail;
  detail.elementName = item.name;
  detail.instanceId = item.instance;
  detail.deviceName = item.name;
  detail.backingName = item.host_resources.front();
  findings_.warning(std::move(detail), item.name + " comes without its medium.");
}

}  // namespace

OvfImportPlan plan_ovf_import(const ovf::Envelope& envelope, const OvfChoices& choices,
                              const std::vector<std::string>& port_groups, OvfFindings& findings) {
  const auto served = ovf_disk_provisionings();
  const bool is_served = choices.provisioning.empty() ||
                         std::ranges::find(served, choices.provisioning) != served.end();
  if (!is_served) {
    vim::OvfUnsupportedDiskProvisioning detail;
    detail.diskProvisioning = choices.provisioning;
    for (const std::string& kind : served)
      detail.supportedDiskProvisioning +=
          (detail.supportedDiskProvisioning.empty() ? "" : ", ") + kind;
    findings.error(std::move(detail),
                   fmt::format("Disks are not provisioned as '{}'.", choices.provisioning));
  }
  return Planner(envelope, choices, port_groups, findings).plan();
}

std::vector<std::string> ovf_disk_provisionings() {
  return {"thin", "thick", "eagerZeroedThick", "sparse", "flat"};
}

std::string guest_id_of_cim(int os_type) {
  const auto found = std::ranges::find(cim_systems, os_type, &CimSystem::id);
  return found == std::end(cim_systems) ? "" : std::string(found->guest_id);
}

int cim_of_guest_id(const std::string& guest_id) {
  const auto found = std::ranges::find(cim_systems, guest_id, &CimSystem::guest_id);
  if (found != std::end(cim_systems)) return found->id;
  constexpr int other = 1, linux = 36, linux_64 = 101;
  const GuestOs* os = find_guest_os(guest_id);
  if (!os || os->family != GuestFamily::linux) return other;
  return os->is_64_bit() ? linux_64 : linux;
}

}  // namespace virga::host

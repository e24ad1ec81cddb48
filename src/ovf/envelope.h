// What an OVF descriptor says (DMTF DSP0243, versions 1.0 to 2.0), in plain values: no type of the
// API. VMware's extensions (namespace http://www.vmware.com/schema/ovf) are among them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace virga::ovf {

struct File {
  std::string id;
  std::string href;
  std::optional<std::uint64_t> size;  // bytes
  std::string compression;            // empty: none
  std::optional<std::int64_t> chunk_size;
  int line = 0;
};

struct Disk {
  std::string id;
  std::string file;            // its id; empty: the disk is empty
  std::uint64_t capacity = 0;  // bytes
  std::optional<std::uint64_t> populated;
  std::string format;  // a URI
  int line = 0;
};

struct Network {
  std::string name;
  std::string description;
};

struct DeploymentOption {
  std::string id;
  std::string label;
  std::string description;
};

struct Property {
  std::string key;
  std::string type;                                    // "string", "boolean", "uint8", …
  std::string qualifiers;                              // "MinLen(1) MaxLen(64)", "ValueMap{…}"
  std::string value;                                   // by default
  std::map<std::string, std::string> value_of_option;  // by deployment option
  bool user_configurable = false;
  bool is_secret = false;  // ovf:password
  std::string label;
  std::string description;
  std::string category;
};

struct Product {
  std::string class_id;
  std::string instance_id;
  std::string name;
  std::string vendor;
  std::string version;
  std::string full_version;
  std::string product_url;
  std::string vendor_url;
  std::string app_url;
  std::vector<Property> properties;
};

// CIM_ResourceAllocationSettingData.ResourceType.
enum class ResourceType {
  other = 1,
  processor = 3,
  memory = 4,
  ide_controller = 5,
  scsi_controller = 6,
  ethernet = 10,
  floppy = 14,
  cd_drive = 15,
  dvd_drive = 16,
  disk = 17,
  other_storage = 20,  // a controller for SATA or NVMe
  serial_port = 21,
  parallel_port = 22,
  usb_controller = 23,
  graphics = 24,
  sound = 35,
};

// A key and a value of VMware's, and whether who does not know it must not go on.
struct Setting {
  std::string key;
  std::string value;
  bool is_required = false;
};

// One piece of virtual hardware: Item, StorageItem or EthernetPortItem.
struct Item {
  int type = 0;  // a ResourceType, or one we know no name of
  std::string sub_type;
  std::string instance;  // what names it among the items
  std::string name;
  std::string description;
  std::string parent;  // the instance it hangs on
  std::string address;
  std::string address_on_parent;
  std::vector<std::string> host_resources;  // "ovf:/disk/vmdisk1"
  std::vector<std::string> connections;     // names of networks
  std::optional<std::uint64_t> quantity;    // memory: bytes; processors: how many
  std::optional<std::int64_t> reservation;  // memory: bytes; processors: MHz
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> weight;
  std::optional<int> cores_per_socket;
  bool starts_connected = true;  // AutomaticAllocation
  bool is_required = true;
  std::vector<std::string> options;  // deployment options it belongs to; none: all
  std::vector<Setting> settings;
  int line = 0;
};

struct OperatingSystem {
  int id = 0;             // CIM_OperatingSystem.OsType
  std::string vmware_id;  // "debian11_64Guest"
  std::string description;
};

// A section that has no place in these structures.
struct UnknownSection {
  std::string name;
  std::string info;
  bool is_required = true;
  int line = 0;
};

struct VirtualSystem {
  std::string id;
  std::string name;
  std::string annotation;
  std::vector<std::string> eulas;
  std::vector<Product> products;
  OperatingSystem system;
  std::vector<std::string> families;    // of virtual hardware: "vmx-13"
  std::vector<std::string> transports;  // of the properties into the guest: "iso"
  std::vector<Item> items;
  std::vector<Setting> settings;
  std::vector<Setting> extra;  // vmw:ExtraConfig: keys of a .vmx
  std::vector<UnknownSection> unknown;
  int line = 0;
};

struct Envelope {
  std::vector<File> files;
  std::vector<Disk> disks;
  std::vector<Network> networks;
  std::vector<DeploymentOption> options;
  std::string default_option;  // empty where there are none
  std::vector<VirtualSystem> systems;
  bool is_collection = false;  // a vApp
  std::vector<UnknownSection> unknown;
};

}  // namespace virga::ovf

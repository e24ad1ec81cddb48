#include "ovf/writer.h"

#include <fmt/format.h>

#include "wire/xml_writer.h"

namespace virga::ovf {
namespace {

using wire::XmlWriter;

constexpr std::uint64_t mib = 1 << 20;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

class Writer {
 public:
  std::string write(const Envelope& envelope) {
    xml_.declaration();
    xml_.start("Envelope");
    xml_.attribute("xmlns", "http://schemas.dmtf.org/ovf/envelope/1");
    xml_.attribute("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1");
    xml_.attribute("xmlns:cim", "http://schemas.dmtf.org/wbem/wscim/1/common");
    xml_.attribute("xmlns:rasd",
                   "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
                   "CIM_ResourceAllocationSettingData");
    xml_.attribute("xmlns:vssd",
                   "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
                   "CIM_VirtualSystemSettingData");
    xml_.attribute("xmlns:vmw", "http://www.vmware.com/schema/ovf");
    write_references(envelope);
    write_disks(envelope);
    write_networks(envelope);
    write_options(envelope);
    for (const VirtualSystem& system : envelope.systems) write_system(system);
    xml_.end("Envelope");
    return std::move(xml_).take();
  }

 private:
  void number(std::string_view name, std::uint64_t value) {
    xml_.attribute(name, std::to_string(value));
  }
  void present(std::string_view name, const std::string& value) {
    if (!value.empty()) xml_.attribute(name, value);
  }
  void present_element(std::string_view name, const std::string& value) {
    if (!value.empty()) xml_.element(name, value);
  }
  void optional_required(bool is_required) {
    if (!is_required) xml_.attribute("ovf:required", "false");
  }
  void begin_section(std::string_view name, std::string_view info) {
    xml_.start(name);
    xml_.element("Info", info);
  }

  void write_references(const Envelope& envelope) {
    xml_.start("References");
    for (const File& file : envelope.files) {
      xml_.start("File");
      xml_.attribute("ovf:id", file.id);
      xml_.attribute("ovf:href", file.href);
      if (file.size) number("ovf:size", *file.size);
      present("ovf:compression", file.compression);
      if (file.chunk_size) number("ovf:chunkSize", static_cast<std::uint64_t>(*file.chunk_size));
      xml_.end("File");
    }
    xml_.end("References");
  }

  void write_disks(const Envelope& envelope) {
    if (envelope.disks.empty()) return;
    begin_section("DiskSection", "Virtual disks");
    for (const Disk& disk : envelope.disks) {
      xml_.start("Disk");
      number("ovf:capacity", disk.capacity);
      xml_.attribute("ovf:capacityAllocationUnits", "byte");
      xml_.attribute("ovf:diskId", disk.id);
      present("ovf:fileRef", disk.file);
      present("ovf:format", disk.format);
      if (disk.populated) number("ovf:populatedSize", *disk.populated);
      xml_.end("Disk");
    }
    xml_.end("DiskSection");
  }

  void write_networks(const Envelope& envelope) {
    if (envelope.networks.empty()) return;
    begin_section("NetworkSection", "Networks");
    for (const Network& network : envelope.networks) {
      xml_.start("Network");
      xml_.attribute("ovf:name", network.name);
      xml_.element("Description", network.description);
      xml_.end("Network");
    }
    xml_.end("NetworkSection");
  }

  void write_options(const Envelope& envelope) {
    if (envelope.options.empty()) return;
    begin_section("DeploymentOptionSection", "Deployment options");
    for (const DeploymentOption& option : envelope.options) {
      xml_.start("Configuration");
      xml_.attribute("ovf:id", option.id);
      if (option.id == envelope.default_option) xml_.attribute("ovf:default", "true");
      xml_.element("Label", option.label);
      xml_.element("Description", option.description);
      xml_.end("Configuration");
    }
    xml_.end("DeploymentOptionSection");
  }

  void write_system(const VirtualSystem& system) {
    xml_.start("VirtualSystem");
    xml_.attribute("ovf:id", system.id);
    xml_.element("Info", "A virtual machine");
    xml_.element("Name", system.name);
    write_operating_system(system.system);
    write_hardware(system);
    if (!system.annotation.empty()) {
      begin_section("AnnotationSection", "A description of the virtual machine");
      xml_.element("Annotation", system.annotation);
      xml_.end("AnnotationSection");
    }
    for (const std::string& eula : system.eulas) {
      begin_section("EulaSection", "A license agreement");
      xml_.element("License", eula);
      xml_.end("EulaSection");
    }
    for (const Product& product : system.products) write_product(product);
    xml_.end("VirtualSystem");
  }

  void write_operating_system(const OperatingSystem& system) {
    xml_.start("OperatingSystemSection");
    xml_.attribute("ovf:id", std::to_string(system.id));
    present("vmw:osType", system.vmware_id);
    xml_.element("Info", "The guest operating system");
    xml_.element("Description", system.description);
    xml_.end("OperatingSystemSection");
  }

  void write_hardware(const VirtualSystem& system) {
    xml_.start("VirtualHardwareSection");
    if (!system.transports.empty()) xml_.attribute("ovf:transport", joined(system.transports));
    xml_.element("Info", "Virtual hardware");
    xml_.start("System");
    xml_.element("vssd:ElementName", "Virtual Hardware Family");
    xml_.element("vssd:InstanceID", "0");
    xml_.element("vssd:VirtualSystemIdentifier", system.name);
    xml_.element("vssd:VirtualSystemType", joined(system.families));
    xml_.end("System");
    for (const Item& item : system.items) write_item(item);
    for (const Setting& setting : system.settings) write_setting("vmw:Config", setting);
    for (const Setting& setting : system.extra) write_setting("vmw:ExtraConfig", setting);
    xml_.end("VirtualHardwareSection");
  }

  void write_setting(std::string_view name, const Setting& setting) {
    xml_.start(name);
    xml_.attribute("ovf:required", setting.is_required ? "true" : "false");
    xml_.attribute("vmw:key", setting.key);
    xml_.attribute("vmw:value", setting.value);
    xml_.end(name);
  }

  // The children in the order of their names, as CIM's schema wants them.
  void write_item(const Item& item) {
    const bool is_memory = item.type == static_cast<int>(ResourceType::memory);
    const std::uint64_t unit = is_memory ? mib : 1;
    const auto amount = [&](std::string_view name, std::optional<std::uint64_t> value) {
      if (value) xml_.element(name, std::to_string(*value / unit));
    };
    const auto count = [&](std::string_view name, std::optional<std::int64_t> value) {
      if (value) amount(name, static_cast<std::uint64_t>(*value));
    };
    xml_.start("Item");
    if (!item.options.empty()) xml_.attribute("ovf:configuration", joined(item.options));
    optional_required(item.is_required);
    present_element("rasd:Address", item.address);
    present_element("rasd:AddressOnParent", item.address_on_parent);
    if (is_memory) xml_.element("rasd:AllocationUnits", "byte * 2^20");
    if (item.type == static_cast<int>(ResourceType::processor))
      xml_.element("rasd:AllocationUnits", "hertz * 10^6");
    if (!item.starts_connected || !item.connections.empty())
      xml_.element("rasd:AutomaticAllocation", item.starts_connected ? "true" : "false");
    for (const std::string& network : item.connections) xml_.element("rasd:Connection", network);
    present_element("rasd:Description", item.description);
    xml_.element("rasd:ElementName", item.name);
    for (const std::string& resource : item.host_resources)
      xml_.element("rasd:HostResource", resource);
    xml_.element("rasd:InstanceID", item.instance);
    count("rasd:Limit", item.limit);
    present_element("rasd:Parent", item.parent);
    count("rasd:Reservation", item.reservation);
    present_element("rasd:ResourceSubType", item.sub_type);
    xml_.element("rasd:ResourceType", std::to_string(item.type));
    amount("rasd:VirtualQuantity", item.quantity);
    if (item.weight) xml_.element("rasd:Weight", std::to_string(*item.weight));
    for (const Setting& setting : item.settings) write_setting("vmw:Config", setting);
    if (item.cores_per_socket) {
      xml_.start("vmw:CoresPerSocket");
      xml_.attribute("ovf:required", "false");
      xml_.text(std::to_string(*item.cores_per_socket));
      xml_.end("vmw:CoresPerSocket");
    }
    xml_.end("Item");
  }

  void write_product(const Product& product) {
    xml_.start("ProductSection");
    present("ovf:class", product.class_id);
    present("ovf:instance", product.instance_id);
    xml_.element("Info", "Information about the installed software");
    present_element("Product", product.name);
    present_element("Vendor", product.vendor);
    present_element("Version", product.version);
    present_element("FullVersion", product.full_version);
    present_element("ProductUrl", product.product_url);
    present_element("VendorUrl", product.vendor_url);
    present_element("AppUrl", product.app_url);
    std::string category;
    for (const Property& property : product.properties) {
      if (property.category != category) xml_.element("Category", property.category);
      category = property.category;
      write_property(property);
    }
    xml_.end("ProductSection");
  }

  void write_property(const Property& property) {
    xml_.start("Property");
    xml_.attribute("ovf:key", property.key);
    xml_.attribute("ovf:type", property.type);
    present("ovf:qualifiers", property.qualifiers);
    if (property.user_configurable) xml_.attribute("ovf:userConfigurable", "true");
    if (property.is_secret) xml_.attribute("ovf:password", "true");
    xml_.attribute("ovf:value", property.value);
    present_element("Label", property.label);
    present_element("Description", property.description);
    for (const auto& [option, value] : property.value_of_option) {
      xml_.start("Value");
      xml_.attribute("ovf:value", value);
      present("ovf:configuration", option);
      xml_.end("Value");
    }
    xml_.end("Property");
  }

  XmlWriter xml_;
};

}  // namespace

std::string write(const Envelope& envelope) {
  return Writer().write(envelope);
}

}  // namespace virga::ovf

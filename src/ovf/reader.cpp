#include "ovf/reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "wire/xml_reader.h"

namespace virga::ovf {
namespace {

using wire::XmlElement;
using Kind = Issue::Kind;

constexpr std::string_view vmware_namespace = "http://www.vmware.com/schema/ovf";
constexpr wire::XmlLimits limits{.bytes = 4 << 20, .elements = 100'000, .depth = 40};

bool is_envelope_namespace(std::string_view uri) {
  return uri == "http://schemas.dmtf.org/ovf/envelope/1" ||
         uri == "http://schemas.dmtf.org/ovf/envelope/2" ||
         uri == "http://schemas.dmtf.org/ovf/1/envelope";
}

std::string_view trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  text = trim(text);
  Number number{};
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const auto end = std::min(text.find_first_of(" \t\r\n"), text.size());
    found.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return found;
}

// nullopt when the product does not fit.
std::optional<std::uint64_t> times(std::uint64_t number, std::uint64_t unit) {
  if (unit != 0 && number > std::numeric_limits<std::int64_t>::max() / unit) return std::nullopt;
  return number * unit;
}

class Reader {
 public:
  Reader(std::string_view text, const std::map<std::string, std::string>& messages)
      : text_(text), messages_(messages) {}

  Reading take() && { return std::move(reading_); }

  void read_envelope(XmlElement root);
  void complain(Issue issue) { reading_.issues.push_back(std::move(issue)); }

 private:
  Envelope& envelope() { return reading_.envelope; }

  int line_of(XmlElement element) const;
  // The attribute in the envelope's namespace, or in none as some writers have it.
  std::optional<std::string> attribute(XmlElement element, std::string_view name) const;
  std::optional<std::string> vmware_attribute(XmlElement element, std::string_view name) const;
  std::string text_or_empty(XmlElement element, std::string_view child) const;
  std::string message(XmlElement element) const;
  std::string child_message(XmlElement element, std::string_view child) const;
  bool is_required(XmlElement element) const;
  std::string required_attribute(XmlElement element, std::string_view name);
  template <class Number>
  std::optional<Number> number_attribute(XmlElement element, std::string_view name);
  template <class Number>
  std::optional<Number> number(XmlElement element);
  void note_unknown(XmlElement section, std::vector<UnknownSection>& unknown);

  void read_strings(XmlElement root);
  void read_references(XmlElement section);
  void read_disks(XmlElement section);
  void read_networks(XmlElement section);
  void read_options(XmlElement section);
  void read_system(XmlElement element);
  void read_collection(XmlElement element);
  void read_section(XmlElement section, VirtualSystem& system);
  void read_hardware(XmlElement section, VirtualSystem& system);
  void read_operating_system(XmlElement section, VirtualSystem& system);
  void read_product(XmlElement section, VirtualSystem& system);
  Property read_property(XmlElement element, const std::string& category);
  Item read_item(XmlElement element);
  void read_quantities(XmlElement element, Item& item);
  void read_setting(XmlElement element, std::vector<Setting>& settings) const;
  void check_references();

  std::string_view text_;
  std::map<std::string, std::string> messages_;
  Reading reading_;
};

// --- Pieces ------------------------------------------------------------------------------------

int Reader::line_of(XmlElement element) const {
  const std::string_view before = text_.substr(0, std::min(element.offset(), text_.size()));
  return 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
}

std::optional<std::string> Reader::attribute(XmlElement element, std::string_view name) const {
  const std::string_view uri = element.name().uri;
  for (const std::string_view space :
       {uri, std::string_view("http://schemas.dmtf.org/ovf/envelope/1"),
        std::string_view("http://schemas.dmtf.org/ovf/envelope/2"),
        std::string_view("http://schemas.dmtf.org/ovf/1/envelope")})
    if (const auto value = element.attribute(space, name)) return std::string(*value);
  const auto value = element.attribute(name);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

std::optional<std::string> Reader::vmware_attribute(XmlElement element,
                                                    std::string_view name) const {
  const auto value = element.attribute(vmware_namespace, name);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

std::string Reader::text_or_empty(XmlElement element, std::string_view child) const {
  const XmlElement found = element.child(child);
  return found ? std::string(trim(found.text())) : std::string();
}

std::string Reader::message(XmlElement element) const {
  if (const auto id = attribute(element, "msgid")) {
    const auto found = messages_.find(*id);
    if (found != messages_.end()) return found->second;
  }
  return std::string(trim(element.text()));
}

std::string Reader::child_message(XmlElement element, std::string_view child) const {
  const XmlElement found = element.child(child);
  return found ? message(found) : std::string();
}

bool Reader::is_required(XmlElement element) const {
  const std::string value = attribute(element, "required").value_or("true");
  return value != "false" && value != "0";
}

std::string Reader::required_attribute(XmlElement element, std::string_view name) {
  const auto value = attribute(element, name);
  if (!value)
    complain({Kind::missing_attribute, line_of(element), std::string(element.local_name()),
              std::string(name), ""});
  return value.value_or("");
}

template <class Number>
std::optional<Number> Reader::number_attribute(XmlElement element, std::string_view name) {
  const auto text = attribute(element, name);
  if (!text) return std::nullopt;
  const auto number = parse_number<Number>(*text);
  if (!number)
    complain({Kind::invalid_attribute, line_of(element), std::string(element.local_name()),
              std::string(name), *text});
  return number;
}

template <class Number>
std::optional<Number> Reader::number(XmlElement element) {
  const std::string text(trim(element.text()));
  const auto value = parse_number<Number>(text);
  if (!value)
    complain(
        {Kind::invalid_element, line_of(element), std::string(element.local_name()), "", text});
  return value;
}

void Reader::note_unknown(XmlElement section, std::vector<UnknownSection>& unknown) {
  UnknownSection note;
  note.name = section.local_name();
  note.info = child_message(section, "Info");
  note.is_required = is_required(section);
  note.line = line_of(section);
  complain({Kind::unsupported_section, note.line, note.name, "", note.info, note.is_required});
  unknown.push_back(std::move(note));
}

void Reader::read_setting(XmlElement element, std::vector<Setting>& settings) const {
  Setting setting;
  setting.key = vmware_attribute(element, "key").value_or("");
  setting.value = vmware_attribute(element, "value").value_or("");
  setting.is_required = is_required(element);
  if (!setting.key.empty()) settings.push_back(std::move(setting));
}

// --- The envelope's sections -------------------------------------------------------------------

void Reader::read_strings(XmlElement root) {
  for (const XmlElement strings : root.children()) {
    if (strings.local_name() != "Strings") continue;
    for (const XmlElement text : strings.children())
      if (const auto id = attribute(text, "msgid"))
        messages_.emplace(*id, std::string(trim(text.text())));
  }
}

void Reader::read_references(XmlElement section) {
  for (const XmlElement element : section.children()) {
    if (element.local_name() != "File") continue;
    File file;
    file.line = line_of(element);
    file.id = required_attribute(element, "id");
    file.href = required_attribute(element, "href");
    file.size = number_attribute<std::uint64_t>(element, "size");
    file.compression = attribute(element, "compression").value_or("");
    if (file.compression == "identity") file.compression.clear();
    file.chunk_size = number_attribute<std::int64_t>(element, "chunkSize");
    envelope().files.push_back(std::move(file));
  }
}

void Reader::read_disks(XmlElement section) {
  for (const XmlElement element : section.children()) {
    if (element.local_name() != "Disk") continue;
    Disk disk;
    disk.line = line_of(element);
    disk.id = required_attribute(element, "diskId");
    disk.file = attribute(element, "fileRef").value_or("");
    disk.format = attribute(element, "format").value_or("");
    disk.populated = number_attribute<std::uint64_t>(element, "populatedSize");
    const std::string units = attribute(element, "capacityAllocationUnits").value_or("byte");
    const std::string capacity = required_attribute(element, "capacity");
    const auto number = parse_number<std::uint64_t>(capacity);
    const auto bytes = number ? times(*number, parse_byte_units(units)) : std::nullopt;
    if (!capacity.empty() && (!bytes || *bytes == 0))
      complain({Kind::invalid_attribute, disk.line, "Disk",
                number ? "capacityAllocationUnits" : "capacity", number ? units : capacity});
    disk.capacity = bytes.value_or(0);
    envelope().disks.push_back(std::move(disk));
  }
}

void Reader::read_networks(XmlElement section) {
  for (const XmlElement element : section.children())
    if (element.local_name() == "Network")
      envelope().networks.push_back(
          {required_attribute(element, "name"), child_message(element, "Description")});
}

void Reader::read_options(XmlElement section) {
  for (const XmlElement element : section.children()) {
    if (element.local_name() != "Configuration") continue;
    DeploymentOption option;
    option.id = required_attribute(element, "id");
    option.label = child_message(element, "Label");
    option.description = child_message(element, "Description");
    const std::string is_default = attribute(element, "default").value_or("false");
    if (is_default == "true" || is_default == "1") envelope().default_option = option.id;
    envelope().options.push_back(std::move(option));
  }
  if (envelope().default_option.empty() && !envelope().options.empty())
    envelope().default_option = envelope().options.front().id;
}

// --- A virtual system --------------------------------------------------------------------------

Property Reader::read_property(XmlElement element, const std::string& category) {
  Property property;
  property.key = required_attribute(element, "key");
  property.type = attribute(element, "type").value_or("string");
  property.qualifiers = attribute(element, "qualifiers").value_or("");
  property.value = attribute(element, "value").value_or("");
  const std::string configurable = attribute(element, "userConfigurable").value_or("false");
  property.user_configurable = configurable == "true" || configurable == "1";
  property.is_secret = attribute(element, "password").value_or("false") == "true";
  property.label = child_message(element, "Label");
  property.description = child_message(element, "Description");
  property.category = category;
  for (const XmlElement value : element.children())
    if (value.local_name() == "Value")
      property.value_of_option[attribute(value, "configuration").value_or("")] =
          attribute(value, "value").value_or("");
  return property;
}

void Reader::read_product(XmlElement section, VirtualSystem& system) {
  Product product;
  product.class_id = attribute(section, "class").value_or("");
  product.instance_id = attribute(section, "instance").value_or("");
  product.name = child_message(section, "Product");
  product.vendor = child_message(section, "Vendor");
  product.version = text_or_empty(section, "Version");
  product.full_version = text_or_empty(section, "FullVersion");
  product.product_url = text_or_empty(section, "ProductUrl");
  product.vendor_url = text_or_empty(section, "VendorUrl");
  product.app_url = text_or_empty(section, "AppUrl");
  std::string category;  // of the properties that follow it
  for (const XmlElement element : section.children()) {
    if (element.local_name() == "Category") category = message(element);
    if (element.local_name() == "Property")
      product.properties.push_back(read_property(element, category));
  }
  system.products.push_back(std::move(product));
}

void Reader::read_operating_system(XmlElement section, VirtualSystem& system) {
  system.system.id = number_attribute<int>(section, "id").value_or(0);
  system.system.vmware_id = vmware_attribute(section, "osType").value_or("");
  system.system.description = child_message(section, "Description");
}

void Reader::read_quantities(XmlElement element, Item& item) {
  const bool is_memory = item.type == static_cast<int>(ResourceType::memory);
  std::uint64_t unit = 1;
  if (is_memory) {
    const std::string units = text_or_empty(element, "AllocationUnits");
    unit = units.empty() ? 1 << 20 : parse_byte_units(units);
    if (unit == 0) complain({Kind::invalid_element, item.line, "AllocationUnits", "", units});
  }
  const auto amount = [&](std::string_view name) -> std::optional<std::int64_t> {
    const XmlElement child = element.child(name);
    const auto value = child ? number<std::uint64_t>(child) : std::nullopt;
    if (!value) return std::nullopt;
    const auto product = times(*value, unit);
    if (!product)
      complain({Kind::invalid_element, line_of(child), std::string(name), "",
                std::string(trim(child.text()))});
    return product ? std::optional(static_cast<std::int64_t>(*product)) : std::nullopt;
  };
  const auto quantity = amount("VirtualQuantity");
  if (quantity) item.quantity = static_cast<std::uint64_t>(*quantity);
  item.reservation = amount("Reservation");
  item.limit = amount("Limit");
}

Item Reader::read_item(XmlElement element) {
  Item item;
  item.line = line_of(element);
  item.is_required = is_required(element);
  item.options = words(attribute(element, "configuration").value_or(""));
  if (const XmlElement type = element.child("ResourceType"))
    item.type = number<int>(type).value_or(0);
  else
    complain({Kind::missing_element, item.line, "ResourceType", "", ""});
  item.instance = text_or_empty(element, "InstanceID");
  if (item.instance.empty()) item.instance = text_or_empty(element, "InstanceId");
  if (item.instance.empty()) complain({Kind::missing_element, item.line, "InstanceID", "", ""});
  item.sub_type = text_or_empty(element, "ResourceSubType");
  item.name = text_or_empty(element, "ElementName");
  item.description = text_or_empty(element, "Description");
  item.parent = text_or_empty(element, "Parent");
  item.address = text_or_empty(element, "Address");
  item.address_on_parent = text_or_empty(element, "AddressOnParent");
  item.starts_connected = lower(text_or_empty(element, "AutomaticAllocation")) != "false";
  if (const XmlElement weight = element.child("Weight")) item.weight = number<std::int64_t>(weight);
  if (const XmlElement cores = element.child("CoresPerSocket"))
    item.cores_per_socket = number<int>(cores);
  read_quantities(element, item);
  for (const XmlElement child : element.children()) {
    const std::string_view name = child.local_name();
    if (name == "HostResource") item.host_resources.emplace_back(trim(child.text()));
    if (name == "Connection") item.connections.emplace_back(trim(child.text()));
    if (name == "Config" && child.name().uri == vmware_namespace)
      read_setting(child, item.settings);
  }
  return item;
}

void Reader::read_hardware(XmlElement section, VirtualSystem& system) {
  if (const XmlElement described = section.child("System"))
    system.families = words(text_or_empty(described, "VirtualSystemType"));
  for (std::string& family : system.families)
    if (family.ends_with(',')) family.pop_back();
  system.transports = words(attribute(section, "transport").value_or(""));
  for (const XmlElement element : section.children()) {
    const std::string_view name = element.local_name();
    if (name == "Item" || name == "StorageItem" || name == "EthernetPortItem")
      system.items.push_back(read_item(element));
    else if (name == "Config" && element.name().uri == vmware_namespace)
      read_setting(element, system.settings);
    else if (name == "ExtraConfig" && element.name().uri == vmware_namespace)
      read_setting(element, system.extra);
  }
}

void Reader::read_section(XmlElement section, VirtualSystem& system) {
  const std::string_view name = section.local_name();
  if (name == "VirtualHardwareSection") {
    read_hardware(section, system);
  } else if (name == "OperatingSystemSection") {
    read_operating_system(section, system);
  } else if (name == "ProductSection") {
    read_product(section, system);
  } else if (name == "EulaSection") {
    system.eulas.push_back(child_message(section, "License"));
  } else if (name == "AnnotationSection") {
    system.annotation = child_message(section, "Annotation");
  } else if (name == "Name") {
    system.name = message(section);
  } else if (name.ends_with("Section") || section.child("Info")) {
    note_unknown(section, system.unknown);
  }
}

void Reader::read_system(XmlElement element) {
  VirtualSystem system;
  system.line = line_of(element);
  system.id = required_attribute(element, "id");
  bool has_hardware = false;
  for (const XmlElement section : element.children()) {
    has_hardware |= section.local_name() == "VirtualHardwareSection";
    read_section(section, system);
  }
  if (!has_hardware)
    complain({Kind::missing_element, system.line, "VirtualHardwareSection", "", ""});
  if (system.name.empty()) system.name = system.id;
  envelope().systems.push_back(std::move(system));
}

// What the collection says of itself is that of a vApp.
void Reader::read_collection(XmlElement element) {
  envelope().is_collection = true;
  for (const XmlElement child : element.children()) {
    if (child.local_name() == "VirtualSystem") read_system(child);
    if (child.local_name() == "VirtualSystemCollection") read_collection(child);
  }
}

void Reader::check_references() {
  const Envelope& all = envelope();
  const auto has_file = [&](const std::string& id) {
    return std::ranges::any_of(all.files, [&](const File& file) { return file.id == id; });
  };
  std::vector<Issue> found;
  for (const Disk& disk : all.disks)
    if (!disk.file.empty() && !has_file(disk.file))
      found.push_back({Kind::dangling_reference, disk.line, "Disk", "fileRef", disk.file});
  for (std::size_t i = 0; i < all.files.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (all.files[i].id == all.files[j].id)
        found.push_back(
            {Kind::duplicate_element, all.files[i].line, "File", "id", all.files[i].id});
  for (std::size_t i = 0; i < all.disks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (all.disks[i].id == all.disks[j].id)
        found.push_back(
            {Kind::duplicate_element, all.disks[i].line, "Disk", "diskId", all.disks[i].id});
  for (Issue& issue : found) complain(std::move(issue));
}

void Reader::read_envelope(XmlElement root) {
  if (root.local_name() != "Envelope")
    return complain({Kind::missing_element, line_of(root), "Envelope", "", ""});
  if (!is_envelope_namespace(root.name().uri))
    return complain(
        {Kind::wrong_namespace, line_of(root), "Envelope", "", std::string(root.name().uri)});
  read_strings(root);
  bool has_references = false;
  for (const XmlElement section : root.children()) {
    const std::string_view name = section.local_name();
    has_references |= name == "References";
    if (name == "References")
      read_references(section);
    else if (name == "DiskSection")
      read_disks(section);
    else if (name == "NetworkSection")
      read_networks(section);
    else if (name == "DeploymentOptionSection")
      read_options(section);
    else if (name == "VirtualSystem")
      read_system(section);
    else if (name == "VirtualSystemCollection")
      read_collection(section);
    else if (name != "Strings")
      note_unknown(section, envelope().unknown);
  }
  if (!has_references) complain({Kind::missing_element, line_of(root), "References", "", ""});
  if (envelope().systems.empty())
    complain({Kind::missing_element, line_of(root), "VirtualSystem", "", ""});
  check_references();
}

}  // namespace

bool Reading::has_errors() const {
  return std::ranges::any_of(issues, [](const Issue& issue) { return issue.is_error; });
}

std::uint64_t parse_byte_units(std::string_view units) {
  const std::string text = lower(trim(units));
  if (text.empty() || text == "byte" || text == "bytes") return 1;
  if (text == "kilobytes" || text == "kb") return 1 << 10;
  if (text == "megabytes" || text == "mb") return 1 << 20;
  if (text == "gigabytes" || text == "gb") return 1 << 30;
  // "byte * 2^20", "byte*2^20", "2^20"
  const auto power = text.find("2^");
  if (power == std::string::npos) return 0;
  const auto exponent = parse_number<unsigned>(std::string_view(text).substr(power + 2));
  return exponent && *exponent < 63 ? std::uint64_t{1} << *exponent : 0;
}

Reading read(std::string_view descriptor, const std::map<std::string, std::string>& messages) {
  Reader reader(descriptor, messages);
  try {
    const auto document = wire::XmlDocument::parse(std::string(descriptor), limits);
    reader.read_envelope(document.root());
  } catch (const Error& refused) {
    reader.complain({Kind::xml, 0, "", "", refused.what()});
  }
  return std::move(reader).take();
}

}  // namespace virga::ovf

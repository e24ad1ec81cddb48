#include "ovf/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "ovf/writer.h"

namespace virga::ovf {
namespace {

using Kind = Issue::Kind;

std::string sample(const std::string& name) {
  return read_file(fs::path(VIRGA_SOURCE_DIR) / "tests/unit/ovf/samples" / name, 1 << 20);
}

const Item& item(const VirtualSystem& system, const std::string& instance) {
  return *std::ranges::find(system.items, instance, &Item::instance);
}

// A descriptor of one machine; `hardware` and `disks` go into their sections.
std::string descriptor(const std::string& hardware, const std::string& disks = "") {
  return "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'\n"
         " xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' xmlns:r='r'>\n"
         "<References><File ovf:id='f' ovf:href='f.vmdk'/></References>\n"
         "<DiskSection><Info/>" +
         disks +
         "</DiskSection>\n"
         "<VirtualSystem ovf:id='x'><Info/><VirtualHardwareSection><Info/>\n" +
         hardware + "</VirtualHardwareSection></VirtualSystem></Envelope>";
}

std::vector<std::tuple<Kind, int, std::string, std::string, std::string>> issues_of(
    const std::string& text) {
  std::vector<std::tuple<Kind, int, std::string, std::string, std::string>> found;
  for (const Issue& issue : read(text).issues)
    found.emplace_back(issue.kind, issue.line, issue.element, issue.attribute, issue.value);
  return found;
}

using Issues = decltype(issues_of(""));

TEST(OvfReader, ReadsWhatVSphereWrites) {
  const Reading reading = read(sample("vsphere.ovf"));
  ASSERT_EQ(reading.issues.size(), 1u);
  EXPECT_EQ(reading.issues[0].kind, Kind::unsupported_section);
  EXPECT_EQ(reading.issues[0].element, "BootOrderSection");
  EXPECT_FALSE(reading.has_errors());

  const Envelope& envelope = reading.envelope;
  ASSERT_EQ(envelope.files.size(), 2u);
  EXPECT_EQ(envelope.files[0].href, "shop-disk1.vmdk");
  EXPECT_EQ(envelope.files[0].size, 70'144u);
  ASSERT_EQ(envelope.disks.size(), 2u);
  EXPECT_EQ(envelope.disks[0].capacity, 16ULL << 30);
  EXPECT_EQ(envelope.disks[0].file, "file1");
  EXPECT_EQ(envelope.disks[1].capacity, 512ULL << 20);
  EXPECT_EQ(envelope.disks[1].file, "");
  ASSERT_EQ(envelope.networks.size(), 1u);
  EXPECT_EQ(envelope.networks[0].description, "Where customers come from");
  ASSERT_EQ(envelope.options.size(), 2u);
  EXPECT_EQ(envelope.options[0].label, "Small");
  EXPECT_EQ(envelope.default_option, "large");

  ASSERT_EQ(envelope.systems.size(), 1u);
  const VirtualSystem& system = envelope.systems[0];
  EXPECT_EQ(system.name, "Shop & Sons");
  EXPECT_EQ(system.system.vmware_id, "debian11_64Guest");
  EXPECT_EQ(system.system.id, 96);
  EXPECT_EQ(system.families, (std::vector<std::string>{"vmx-13", "vmx-14"}));
  EXPECT_EQ(system.transports, (std::vector<std::string>{"iso", "com.vmware.guestInfo"}));
  EXPECT_EQ(system.annotation, "Sells things.");
  EXPECT_EQ(system.eulas, std::vector<std::string>{"Do no harm."});
  ASSERT_EQ(system.settings.size(), 2u);
  EXPECT_EQ(system.settings[0].key, "firmware");
  EXPECT_EQ(system.settings[0].value, "efi");
  EXPECT_FALSE(system.settings[0].is_required);
  ASSERT_EQ(system.extra.size(), 1u);
  EXPECT_EQ(system.extra[0].key, "guestinfo.shop");
}

TEST(OvfReader, ReadsHardware) {
  const VirtualSystem system = read(sample("vsphere.ovf")).envelope.systems.at(0);
  EXPECT_EQ(system.items.size(), 9u);
  EXPECT_EQ(system.items[0].quantity, 4u);
  EXPECT_EQ(system.items[0].cores_per_socket, 2);
  EXPECT_EQ(system.items[0].reservation, 500);
  EXPECT_EQ(system.items[1].options, std::vector<std::string>{"small"});
  EXPECT_EQ(item(system, "2").quantity, 512ULL << 20);
  EXPECT_EQ(item(system, "3").sub_type, "VirtualSCSI");
  EXPECT_EQ(item(system, "6").parent, "3");
  EXPECT_EQ(item(system, "6").address_on_parent, "8");
  EXPECT_EQ(item(system, "6").host_resources, std::vector<std::string>{"ovf:/disk/vmdisk2"});
  EXPECT_FALSE(item(system, "7").is_required);
  EXPECT_FALSE(item(system, "7").starts_connected);
  EXPECT_EQ(item(system, "8").connections, std::vector<std::string>{"Front"});
  EXPECT_EQ(item(system, "8").settings.at(0).key, "wakeOnLanEnabled");
}

TEST(OvfReader, ReadsProperties) {
  const VirtualSystem system = read(sample("vsphere.ovf")).envelope.systems.at(0);
  ASSERT_EQ(system.products.size(), 1u);
  const Product& product = system.products[0];
  EXPECT_EQ(product.class_id, "shop");
  EXPECT_EQ(product.vendor, "Sons");
  ASSERT_EQ(product.properties.size(), 2u);
  EXPECT_EQ(product.properties[0].key, "ip");
  EXPECT_TRUE(product.properties[0].user_configurable);
  EXPECT_EQ(product.properties[0].label, "Address");
  EXPECT_EQ(product.properties[0].category, "Network");
  EXPECT_EQ(product.properties[1].value, "2");
  EXPECT_EQ(product.properties[1].value_of_option.at("large"), "16");
}

TEST(OvfReader, ReadsWhatVirtualBoxWrites) {
  const Reading reading = read(sample("virtualbox.ovf"));
  EXPECT_FALSE(reading.has_errors());
  const VirtualSystem& system = reading.envelope.systems.at(0);
  EXPECT_EQ(system.families, std::vector<std::string>{"virtualbox-2.2"});
  EXPECT_EQ(item(system, "2").quantity, 1ULL << 30);
  EXPECT_EQ(item(system, "7").host_resources, std::vector<std::string>{"/disk/vmdisk1"});
  EXPECT_EQ(item(system, "9").connections, std::vector<std::string>{"NAT"});
  EXPECT_EQ(reading.envelope.disks.at(0).capacity, 8ULL << 30);
}

TEST(OvfReader, ReadsWhatXenServerWrites) {
  const Reading reading = read(sample("xen.ovf"));
  EXPECT_FALSE(reading.has_errors());
  const VirtualSystem& system = reading.envelope.systems.at(0);
  EXPECT_EQ(item(system, "m").quantity, 2ULL << 30);
  EXPECT_EQ(item(system, "d").parent, "");
}

TEST(OvfReader, FindsAgainWhatIsWritten) {
  for (const char* name : {"vsphere.ovf", "virtualbox.ovf", "xen.ovf"}) {
    const Envelope before = read(sample(name)).envelope;
    const std::string text = write(before);
    const Reading reading = read(text);
    EXPECT_FALSE(reading.has_errors());
    EXPECT_EQ(write(reading.envelope), text);
    EXPECT_EQ(reading.envelope.disks.at(0).capacity, before.disks.at(0).capacity);
    EXPECT_EQ(reading.envelope.systems.at(0).items.size(), before.systems.at(0).items.size());
    EXPECT_EQ(reading.envelope.systems.at(0).items.at(1).quantity,
              before.systems.at(0).items.at(1).quantity);
  }
}

TEST(OvfReader, SaysWhatIsMissing) {
  EXPECT_EQ(issues_of(sample("incomplete.ovf")),
            (Issues{{Kind::unsupported_section, 6, "Section", "", "Disks"},
                    {Kind::missing_element, 2, "VirtualSystem", "", ""}}));
  EXPECT_EQ(issues_of(descriptor("<Item><r:InstanceID>1</r:InstanceID></Item>",
                                 "<Disk ovf:capacity='1' ovf:fileRef='f'/>")),
            (Issues{{Kind::missing_attribute, 4, "Disk", "diskId", ""},
                    {Kind::missing_element, 6, "ResourceType", "", ""}}));
}

TEST(OvfReader, SaysWhatMakesNoSense) {
  EXPECT_EQ(issues_of(descriptor(
                "<Item><r:InstanceID>1</r:InstanceID><r:ResourceType>3</r:ResourceType>\n"
                "<r:VirtualQuantity>many</r:VirtualQuantity></Item>",
                "<Disk ovf:diskId='a' ovf:capacity='-1' ovf:fileRef='g'/>\n"
                "<Disk ovf:diskId='a' ovf:capacity='9' ovf:capacityAllocationUnits='acre'/>")),
            (Issues{{Kind::invalid_attribute, 4, "Disk", "capacity", "-1"},
                    {Kind::invalid_attribute, 5, "Disk", "capacityAllocationUnits", "acre"},
                    {Kind::invalid_element, 8, "VirtualQuantity", "", "many"},
                    {Kind::dangling_reference, 4, "Disk", "fileRef", "g"},
                    {Kind::duplicate_element, 5, "Disk", "diskId", "a"}}));
}

TEST(OvfReader, SaysWhatIsNoDescriptor) {
  EXPECT_EQ(read("<Envelope xmlns='urn:x'/>").issues.at(0).kind, Kind::wrong_namespace);
  EXPECT_EQ(read("<Envelope>").issues.at(0).kind, Kind::xml);
  EXPECT_EQ(read("").issues.at(0).kind, Kind::xml);
  EXPECT_TRUE(read("<a/>").has_errors());
}

TEST(OvfReader, TakesMessagesOfTheCaller) {
  const Reading reading = read(sample("vsphere.ovf"), {{"small.label", "Klein"}});
  EXPECT_EQ(reading.envelope.options.at(0).label, "Klein");
}

TEST(ByteUnits, AreThoseOfEveryVersion) {
  EXPECT_EQ(parse_byte_units("byte"), 1u);
  EXPECT_EQ(parse_byte_units("byte * 2^30"), 1u << 30);
  EXPECT_EQ(parse_byte_units("byte*2^10"), 1u << 10);
  EXPECT_EQ(parse_byte_units("MegaBytes"), 1u << 20);
  EXPECT_EQ(parse_byte_units("byte * 2^99"), 0u);
  EXPECT_EQ(parse_byte_units("hertz"), 0u);
}

}  // namespace
}  // namespace virga::ovf

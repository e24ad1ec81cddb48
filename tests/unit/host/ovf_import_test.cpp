#include "host/ovf_import.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "ovf/reader.h"

namespace virga::host {
namespace {

std::string sample(const std::string& name) {
  return read_file(fs::path(VIRGA_SOURCE_DIR) / "tests/unit/ovf/samples" / name, 1 << 20);
}

struct Planned {
  OvfImportPlan plan;
  OvfFindings findings;

  const vim::VirtualMachineConfigSpec& config() const { return plan.config; }
  // Of the devices of that type, the one with that number.
  template <class Device>
  const Device* device(std::size_t index = 0) const {
    for (const auto& change : plan.config.deviceChange)
      if (const auto* found = change->device.template as<Device>(); found && index-- == 0)
        return found;
    return nullptr;
  }
  template <class Fault>
  const Fault* error() const {
    return find<Fault>(findings.errors);
  }
  template <class Fault>
  const Fault* warning() const {
    return find<Fault>(findings.warnings);
  }

 private:
  template <class Fault>
  static const Fault* find(const model::List<vim::LocalizedMethodFault>& faults) {
    for (const auto& fault : faults)
      if (const auto* found = fault->fault.template as<Fault>()) return found;
    return nullptr;
  }
};

Planned plan(const ovf::Envelope& envelope, OvfChoices choices = {},
             const std::vector<std::string>& port_groups = {"VM Network"}) {
  choices.name = choices.name.empty() ? "new" : choices.name;
  choices.datastore = "ds";
  Planned planned;
  planned.plan = plan_ovf_import(envelope, choices, port_groups, planned.findings);
  return planned;
}

Planned plan_sample(const std::string& name, OvfChoices choices = {}) {
  return plan(ovf::read(sample(name)).envelope, std::move(choices));
}

ovf::Item item(ovf::ResourceType type, const std::string& instance,
               const std::string& sub_type = "") {
  ovf::Item made;
  made.type = static_cast<int>(type);
  made.instance = instance;
  made.sub_type = sub_type;
  made.name = instance;
  return made;
}

ovf::Envelope machine_with(std::vector<ovf::Item> items) {
  ovf::Envelope envelope;
  ovf::VirtualSystem& system = envelope.systems.emplace_back();
  system.name = "x";
  system.items = std::move(items);
  return envelope;
}

TEST(OvfImport, TakesWhatVSphereDescribes) {
  const Planned it = plan_sample("vsphere.ovf", {.provisioning = "thin"});
  EXPECT_TRUE(it.findings.errors.empty());
  const auto& config = it.config();
  EXPECT_EQ(config.name, "new");
  EXPECT_EQ(config.files->vmPathName, "[ds]");
  EXPECT_EQ(config.version, "vmx-14");
  EXPECT_EQ(config.guestId, "debian11_64Guest");
  EXPECT_EQ(config.annotation, "Sells things.");
  EXPECT_EQ(config.firmware, "efi");
  EXPECT_EQ(config.cpuHotAddEnabled, true);
  EXPECT_EQ(config.numCPUs, 4);
  EXPECT_EQ(config.numCoresPerSocket, 2);
  EXPECT_EQ(config.cpuAllocation->reservation, 500);
  EXPECT_EQ(config.memoryMB, 512);
  ASSERT_EQ(config.extraConfig.size(), 1u);
  EXPECT_EQ(config.extraConfig[0]->key, "guestinfo.shop");

  const auto* pvscsi = it.device<vim::ParaVirtualSCSIController>();
  const auto* sata = it.device<vim::VirtualAHCIController>();
  const auto* first = it.device<vim::VirtualDisk>();
  const auto* second = it.device<vim::VirtualDisk>(1);
  const auto* drive = it.device<vim::VirtualCdrom>();
  const auto* card = it.device<vim::VirtualVmxnet3>();
  ASSERT_TRUE(pvscsi && sata && first && second && drive && card);
  EXPECT_EQ(first->controllerKey, pvscsi->key);
  EXPECT_EQ(first->unitNumber, 0);
  EXPECT_EQ(first->capacityInKB, 16 << 20);
  EXPECT_EQ(first->backing.as<vim::VirtualDiskFlatVer2BackingInfo>()->thinProvisioned, true);
  EXPECT_EQ(second->unitNumber, 8);
  EXPECT_EQ(drive->controllerKey, sata->key);
  EXPECT_EQ(card->backing.as<vim::VirtualEthernetCardNetworkBackingInfo>()->deviceName,
            "VM Network");
  EXPECT_EQ(card->wakeOnLanEnabled, true);

  ASSERT_EQ(it.plan.files.size(), 1u);
  EXPECT_EQ(it.plan.files[0]->deviceId, "/new/ParaVirtualSCSIController0:0");
  EXPECT_EQ(it.plan.files[0]->path, "shop-disk1.vmdk");
  EXPECT_EQ(it.plan.files[0]->size, 70'144);
  EXPECT_EQ(it.plan.files[0]->cimType, 17);
  EXPECT_FALSE(it.plan.files[0]->create);
  EXPECT_TRUE(it.warning<vim::OvfUnsupportedSection>());  // the properties
}

TEST(OvfImport, FollowsTheDeploymentOption) {
  const Planned small = plan_sample("vsphere.ovf", {.deployment_option = "small"});
  EXPECT_EQ(small.config().numCPUs, 1);
  const Planned other = plan_sample("vsphere.ovf", {.deployment_option = "huge"});
  ASSERT_TRUE(other.error<vim::OvfInvalidValueConfiguration>());
  EXPECT_EQ(other.error<vim::OvfInvalidValueConfiguration>()->value, "huge");
}

TEST(OvfImport, PutsNetworksWhereItIsTold) {
  const ovf::Envelope envelope = ovf::read(sample("vsphere.ovf")).envelope;
  const auto network = [](const Planned& planned) {
    return planned.device<vim::VirtualVmxnet3>()
        ->backing.as<vim::VirtualEthernetCardNetworkBackingInfo>()
        ->deviceName;
  };
  EXPECT_EQ(network(plan(envelope, {.networks = {{"Front", "Back"}}}, {"Back", "Front"})), "Back");
  EXPECT_EQ(network(plan(envelope, {}, {"Back", "Front"})), "Front");
  EXPECT_EQ(network(plan(envelope, {}, {"Back", "Other"})), "Back");
  EXPECT_TRUE(plan(envelope, {}, {}).error<vim::OvfNoHostNic>());
}

TEST(OvfImport, TakesWhatVirtualBoxDescribes) {
  const Planned it = plan_sample("virtualbox.ovf");
  EXPECT_TRUE(it.findings.errors.empty());
  EXPECT_TRUE(it.warning<vim::OvfNoSupportedHardwareFamily>());
  EXPECT_TRUE(it.warning<vim::OvfUnsupportedType>());  // the sound card
  EXPECT_FALSE(it.config().version);
  EXPECT_EQ(it.config().guestId, "ubuntu64Guest");
  EXPECT_EQ(it.config().memoryMB, 1024);
  ASSERT_TRUE(it.device<vim::VirtualDisk>());
  EXPECT_EQ(it.device<vim::VirtualDisk>()->controllerKey,
            it.device<vim::VirtualAHCIController>()->key);
  EXPECT_EQ(it.device<vim::VirtualCdrom>()->controllerKey, 200);
  EXPECT_TRUE(it.device<vim::VirtualE1000>());
  EXPECT_EQ(it.plan.files.size(), 1u);
}

TEST(OvfImport, RefusesDisksInOtherFormats) {
  const Planned it = plan_sample("xen.ovf");
  const auto* error = it.error<vim::OvfUnsupportedAttributeValue>();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->attributeName, "format");
  EXPECT_EQ(it.findings.errors.size(), 1u);
  // A disk that hangs on nothing gets a controller, an adapter of no type the usual one.
  EXPECT_EQ(it.device<vim::VirtualDisk>()->controllerKey,
            it.device<vim::VirtualLsiLogicController>()->key);
  EXPECT_TRUE(it.device<vim::VirtualE1000>());
}

TEST(OvfImport, NamesWhatItDoesNotKnow) {
  using enum ovf::ResourceType;
  const Planned it = plan(machine_with({item(scsi_controller, "1", "raid9"), item(serial_port, "2"),
                                        item(ethernet, "3", "virtio"), item(disk, "4")}));
  const auto* controller = it.error<vim::OvfUnsupportedSubType>();
  ASSERT_TRUE(controller);
  EXPECT_EQ(controller->deviceSubType, "raid9");
  EXPECT_EQ(controller->instanceId, "1");
  ASSERT_TRUE(it.error<vim::OvfUnsupportedType>());
  EXPECT_EQ(it.error<vim::OvfUnsupportedType>()->deviceType, 21);
  ASSERT_TRUE(it.warning<vim::OvfUnsupportedSubType>());
  EXPECT_EQ(it.warning<vim::OvfUnsupportedSubType>()->deviceSubType, "virtio");
  EXPECT_TRUE(it.error<vim::OvfInvalidValueReference>());
}

TEST(OvfImport, NamesWhatTheHostDoesNotHave) {
  ovf::Envelope envelope = machine_with({});
  envelope.systems[0].families = {"vmx-99"};
  envelope.systems[0].settings = {{"flags.magic", "on", true}};
  envelope.is_collection = true;
  const Planned it = plan(envelope, {.provisioning = "seSparse"});
  EXPECT_TRUE(it.error<vim::OvfNoSupportedHardwareFamily>());
  EXPECT_TRUE(it.error<vim::OvfUnsupportedElementValue>());
  EXPECT_TRUE(it.error<vim::OvfUnsupportedElement>());
  EXPECT_TRUE(it.error<vim::OvfUnsupportedDiskProvisioning>());
}

TEST(OvfImport, FindsRoomOnControllers) {
  using enum ovf::ResourceType;
  std::vector<ovf::Item> items = {item(ide_controller, "1")};
  for (const char* instance : {"2", "3", "4"}) {
    items.push_back(item(cd_drive, instance));
    items.back().parent = "1";
  }
  const Planned it = plan(machine_with(items));
  EXPECT_EQ(it.device<vim::VirtualCdrom>(0)->unitNumber, 0);
  EXPECT_EQ(it.device<vim::VirtualCdrom>(1)->unitNumber, 1);
  EXPECT_FALSE(it.device<vim::VirtualCdrom>(2));
  ASSERT_TRUE(it.error<vim::OvfNoSpaceOnController>());
  EXPECT_EQ(it.error<vim::OvfNoSpaceOnController>()->parent, "1");
}

TEST(OvfImport, KnowsSystemsByTheirNumbers) {
  EXPECT_EQ(guest_id_of_cim(94), "ubuntu64Guest");
  EXPECT_EQ(guest_id_of_cim(12345), "");
  EXPECT_EQ(cim_of_guest_id("ubuntu64Guest"), 94);
  EXPECT_EQ(cim_of_guest_id("debian11_64Guest"), 101);
  EXPECT_EQ(cim_of_guest_id("otherGuest"), 1);
}

TEST(OvfFindings, SayWhatReadingFound) {
  const OvfFindings findings = findings_of(ovf::read(sample("incomplete.ovf")));
  ASSERT_EQ(findings.errors.size(), 2u);
  EXPECT_EQ(findings.errors[1]->fault.as<vim::OvfMissingElement>()->name, "VirtualSystem");
  EXPECT_EQ(findings.errors[1]->localizedMessage, "Line 2: The element VirtualSystem is missing.");
}

}  // namespace
}  // namespace virga::host

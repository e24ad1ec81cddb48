#include "host/vm_identity.h"

#include "base/uuid.h"
#include "vm_config_sample.h"

namespace virga::host {
namespace {

struct VmIdentityTest : testing::Test {
  vmx::MachineConfig config = sample_config();
  Surroundings around;
};

TEST_F(VmIdentityTest, APlaceHasOneUuidWhateverItsDatastoreIsCalled) {
  const std::string here = location_uuid(around.context);
  EXPECT_TRUE(is_uuid(here)) << here;
  EXPECT_EQ(vmx::canonical_uuid(vmx::vmx_uuid(here)), here);
  around.context.volumes.names_by_id["5f3a2b1c-00000001"] = "renamed";
  around.context.config_file = vmx::DatastorePath("renamed", "web/web.vmx");
  EXPECT_EQ(location_uuid(around.context), here);
  around.context.config_file = vmx::DatastorePath("ds2", "web/web.vmx");
  EXPECT_NE(location_uuid(around.context), here);
  around.context.config_file = vmx::DatastorePath("renamed", "web/web2.vmx");
  EXPECT_NE(location_uuid(around.context), here);
}

TEST_F(VmIdentityTest, ACopyHasAllItsOwn) {
  vmx::NetworkAdapter adapter = config.network_adapters.front();
  adapter.number = 1;
  adapter.address_type = vmx::AddressType::manual;
  adapter.mac = "00:50:56:00:00:01";
  config.network_adapters.push_back(adapter);
  const vmx::MachineConfig before = config;
  become_a_copy(config, around.context);
  EXPECT_NE(config.bios_uuid, before.bios_uuid);
  EXPECT_NE(config.instance_uuid, before.instance_uuid);
  EXPECT_NE(config.network_adapters[0].mac, before.network_adapters[0].mac);
  EXPECT_EQ(config.network_adapters[0].mac, vmx::generated_mac(config.bios_uuid, 0));
  EXPECT_EQ(config.network_adapters[1].mac, "00:50:56:00:00:01");
  EXPECT_EQ(config.display_name, before.display_name);
}

TEST_F(VmIdentityTest, TheConfigurationSaysWhatIsToBeDone) {
  EXPECT_EQ(on_new_place(config), OnNewPlace::ask);
  for (const auto& [word, action] :
       {std::pair("Keep", OnNewPlace::keep), std::pair("create", OnNewPlace::create),
        std::pair("change", OnNewPlace::create), std::pair("perhaps", OnNewPlace::ask)}) {
    config.extra = {{"uuid.action", word}};
    EXPECT_EQ(on_new_place(config), action) << word;
  }
}

struct References : VmIdentityTest {
  std::string adopted(const std::string& file, std::vector<std::string> folder = {}) {
    config.disks.front().file = file;
    adopt_references(config, around.context, folder);
    return config.disks.front().file;
  }
};

TEST_F(References, ToAKnownDatastoreNameItByUuid) {
  const std::string far = "/vmfs/volumes/5f3a2b1c-00000002/a/b.vmdk";
  EXPECT_EQ(adopted("/vmfs/volumes/ds2/a/b.vmdk"), far);
  EXPECT_EQ(adopted("[ds2] a/b.vmdk"), far);
  EXPECT_EQ(adopted(far), far);
  EXPECT_EQ(adopted("/vmfs/volumes/5f3a2b1c-00000001/web/b.vmdk"), "b.vmdk");
  // What has the same name in the VM's folder is another file.
  EXPECT_EQ(adopted("[ds2] a/b.vmdk", {"b.vmdk"}), far);
}

TEST_F(References, ThatAreRelativeStaySo) {
  for (const char* file : {"web.vmdk", "../base/base.vmdk", "sub/x.vmdk", ""})
    EXPECT_EQ(adopted(file, {"base.vmdk", "x.vmdk"}), file);
}

TEST_F(References, ThatLeadNowhereMeanTheFileBeside) {
  const std::vector<std::string> folder = {"web.vmdk", "Web Server.vmdk"};
  EXPECT_EQ(adopted("/vmfs/volumes/4f0c7a91-6b2d8e13/web/web.vmdk", folder), "web.vmdk");
  EXPECT_EQ(adopted("[gone] web/web.vmdk", folder), "web.vmdk");
  EXPECT_EQ(adopted("/home/me/vms/web.vmdk", folder), "web.vmdk");
  EXPECT_EQ(adopted("C:\\VMs\\web\\WEB SERVER.VMDK", folder), "Web Server.vmdk");
  EXPECT_EQ(adopted("WEB.vmdk", folder), "web.vmdk");
  EXPECT_EQ(adopted("..\\base\\base.vmdk", folder), "../base/base.vmdk");
  const std::string elsewhere = "/vmfs/volumes/4f0c7a91-6b2d8e13/iso/other.iso";
  EXPECT_EQ(adopted(elsewhere, folder), elsewhere);
  EXPECT_EQ(adopted("C:\\iso\\other.iso", folder), "C:\\iso\\other.iso");
}

TEST_F(References, OfTheDrivesThatHoldImagesToo) {
  config.cdroms.front().file = "D:\\Guest.ISO";
  config.nvram = "WEB.NVRAM";
  adopt_references(config, around.context, {"guest.iso", "web.nvram"});
  EXPECT_EQ(config.cdroms.front().file, "guest.iso");
  EXPECT_EQ(config.nvram, "web.nvram");
}

}  // namespace
}  // namespace virga::host

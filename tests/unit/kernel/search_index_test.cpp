#include <gmock/gmock.h>

#include "lab.h"

namespace virga::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kUuid[] = "4227a5c0-1111-2222-3333-444455556666";
constexpr char kInstance[] = "5027a5c0-1111-2222-3333-444455556666";

class Search : public testing::Test {
 protected:
  Search() {
    web = lab.add_machine("1", "web");
    db = lab.add_machine("2", "db%2fmain");
    web->update([](auto& p) {
      p.config.edit().uuid = kUuid;
      p.config.edit().instanceUuid = kInstance;
      p.config.edit().files.vmPathName = "[store1] web/web.vmx";
      p.guest.edit().hostName = "web.example.org";
      p.guest.edit().ipAddress = "10.0.0.5";
      p.guest.edit().net.emplace_back().ipAddress = {"10.0.0.5", "fe80::5"};
    });
    lab.host->update([](auto& p) {
      p.hardware.edit().systemInfo.uuid = kUuid;
      vim::HostNetworkInfo& network = p.config.edit().network.edit();
      network.dnsConfig.edit().hostName = "esx1";
      network.dnsConfig.edit().domainName = "example.org";
      network.vnic.emplace_back().spec.ip.edit().ipAddress = "10.0.0.1";
    });
  }

  std::string id(const std::optional<MoRef>& ref) { return ref ? ref->value : "none"; }
  std::string by_uuid(const std::string& uuid, bool machines, bool instance = false,
                      std::optional<MoRef> datacenter = {}) {
    vim::FindByUuidRequestType r;
    r.datacenter = std::move(datacenter);
    r.uuid = uuid;
    r.vmSearch = machines;
    r.instanceUuid = instance;
    return id(lab.run(index->FindByUuid(lab.call, r)));
  }
  std::string by_path(const std::string& path) {
    vim::FindByInventoryPathRequestType r;
    r.inventoryPath = path;
    return id(lab.run(index->FindByInventoryPath(lab.call, r)));
  }
  std::string by_file(const std::string& path) {
    vim::FindByDatastorePathRequestType r;
    r.datacenter = lab.datacenter->self();
    r.path = path;
    return id(lab.run(index->FindByDatastorePath(lab.call, r)));
  }
  std::string by_name(const std::string& name, bool machines) {
    vim::FindByDnsNameRequestType r;
    r.dnsName = name;
    r.vmSearch = machines;
    return id(lab.run(index->FindByDnsName(lab.call, r)));
  }
  std::string by_address(const std::string& address, bool machines) {
    vim::FindByIpRequestType r;
    r.ip = address;
    r.vmSearch = machines;
    return id(lab.run(index->FindByIp(lab.call, r)));
  }
  std::string child(const MoRef& parent, const std::string& name) {
    vim::FindChildRequestType r;
    r.entity = parent;
    r.name = name;
    return id(lab.run(index->FindChild(lab.call, r)));
  }

  Lab lab;
  std::shared_ptr<MachineExhibit> web, db;
  std::shared_ptr<vim::SearchIndex> index =
      lab.service<vim::SearchIndex>({"SearchIndex", "search"});
};

TEST_F(Search, ByUuid) {
  EXPECT_EQ(by_uuid(kUuid, true), "1");
  EXPECT_EQ(by_uuid("4227A5C0-1111-2222-3333-444455556666", true), "1");
  EXPECT_EQ(by_uuid(kInstance, true), "none");
  EXPECT_EQ(by_uuid(kInstance, true, true), "1");
  EXPECT_EQ(by_uuid(kUuid, true, true), "none");
  EXPECT_EQ(by_uuid(kUuid, false), "host1");
  EXPECT_EQ(by_uuid("", true, true), "none") << "a machine without one has no empty one";
  EXPECT_EQ(by_uuid(kUuid, true, false, lab.datacenter->self()), "1");
  lab.datacenter->update([](auto& p) { p.parent.reset(); });
  EXPECT_EQ(fault_of([&] {
              by_uuid(kUuid, true, false, MoRef{"Datacenter", "other"});
            }),
            "ManagedObjectNotFound");
}

TEST_F(Search, OnlyInTheDatacenterAskedFor) {
  const auto other = lab.kernel.inventory.emplace<Exhibit<vim::Datacenter>>(
      lab.kernel.inventory, MoRef{"Datacenter", "dc2"});
  EXPECT_EQ(by_uuid(kUuid, true, false, other->self()), "none");
}

TEST_F(Search, ByInventoryPath) {
  EXPECT_EQ(by_path("dc/vm/web"), "1");
  EXPECT_EQ(by_path("/dc/vm/web/"), "1");
  EXPECT_EQ(by_path("dc"), "dc");
  EXPECT_EQ(by_path("/"), "group-root");
  EXPECT_EQ(by_path("dc/host/cr/host1"), "host1");
  EXPECT_EQ(by_path("dc/host/cr/Resources/web"), "1");
  EXPECT_EQ(by_path("dc/datastore/store1"), "store1");
  EXPECT_EQ(by_path("dc/vm/db%2fmain"), "2");
  EXPECT_EQ(by_path("dc/vm/db%2Fmain"), "2");
  EXPECT_EQ(by_path("dc/vm/db"), "none");
  EXPECT_EQ(by_path("dc/vm/web/further"), "none");
  EXPECT_EQ(by_path("elsewhere"), "none");
}

TEST_F(Search, ByDatastorePath) {
  EXPECT_EQ(by_file("[store1] web/web.vmx"), "1");
  EXPECT_EQ(by_file("[store1]web/web.vmx"), "1");
  EXPECT_EQ(by_file("[store1] web/other.vmx"), "none");
  EXPECT_EQ(fault_of([&] { by_file("[store9] web/web.vmx"); }), "InvalidDatastore");
  EXPECT_EQ(fault_of([&] { by_file("web/web.vmx"); }), "InvalidDatastorePath");
}

TEST_F(Search, ByNameAndAddressInTheNetwork) {
  EXPECT_EQ(by_name("WEB.example.org", true), "1");
  EXPECT_EQ(by_name("esx1", false), "host1");
  EXPECT_EQ(by_name("esx1.example.org", false), "host1");
  EXPECT_EQ(by_name("esx1", true), "none");
  EXPECT_EQ(by_address("10.0.0.5", true), "1");
  EXPECT_EQ(by_address("fe80::5", true), "1");
  EXPECT_EQ(by_address("10.0.0.1", false), "host1");
  EXPECT_EQ(by_address("10.0.0.9", true), "none");
}

TEST_F(Search, AllThatAnswer) {
  db->update([](auto& p) { p.config.edit().uuid = kUuid; });
  vim::FindAllByUuidRequestType r;
  r.uuid = kUuid;
  r.vmSearch = true;
  EXPECT_THAT(lab.run(index->FindAllByUuid(lab.call, r)), ElementsAre(web->self(), db->self()));
  r.uuid = kInstance;
  EXPECT_THAT(lab.run(index->FindAllByUuid(lab.call, r)), IsEmpty());
}

TEST_F(Search, ForChildren) {
  EXPECT_EQ(child(lab.vm_folder->self(), "web"), "1");
  EXPECT_EQ(child(lab.datacenter->self(), "host"), "group-h");
  EXPECT_EQ(child(lab.vm_folder->self(), "nobody"), "none");
  EXPECT_EQ(fault_of([&] { child({"Folder", "nowhere"}, "x"); }), "ManagedObjectNotFound");
}

TEST_F(Search, FindsNothingThatTheUserMayNotSee) {
  lab.permit(web->self(), "viewer", kRoleNoAccess);
  lab.call.session = lab.log_in("viewer");
  EXPECT_EQ(by_uuid(kUuid, true), "none");
  EXPECT_EQ(by_uuid(kUuid, false), "host1");
  EXPECT_EQ(by_path("dc/vm/web"), "none");
  EXPECT_EQ(by_path("dc/vm/db%2fmain"), "2");
}

}  // namespace
}  // namespace virga::kernel

#include "host/guest_os.h"

#include <gtest/gtest.h>

#include <set>

#include "host/vm_config.h"
#include "model/metadata.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

TEST(GuestOs, TableIsTheEnumerationOfTheApi) {
  const model::EnumInfo* identifiers = model::find_enum("VirtualMachineGuestOsIdentifier");
  ASSERT_NE(identifiers, nullptr);
  ASSERT_EQ(identifiers->values.size(), guest_operating_systems().size());
  for (std::size_t i = 0; i < identifiers->values.size(); ++i)
    EXPECT_EQ(guest_operating_systems()[i].id, identifiers->values[i]);
}

TEST(GuestOs, NamesTellGuestsApart) {
  std::set<std::string> short_names;
  std::set<std::string_view> full_names;
  for (const GuestOs& guest : guest_operating_systems()) {
    EXPECT_TRUE(short_names.insert(vmx::to_lower(guest.short_name)).second) << guest.short_name;
    EXPECT_EQ(guest.full_name.find("(32-bit)") != std::string_view::npos && guest.is_64_bit(),
              false)
        << guest.full_name;
    full_names.insert(guest.full_name);
  }
  // "Other Linux (32-bit)" is what two identifiers are called.
  EXPECT_EQ(full_names.size() + 1, guest_operating_systems().size());
}

TEST(GuestOs, EveryIdentifierComesBackFromTheVmx) {
  for (const GuestOs& guest : guest_operating_systems()) {
    const auto os = guest_os_of_id(std::string(guest.id));
    ASSERT_TRUE(os.has_value()) << guest.id;
    EXPECT_EQ(guest_id_of_os(*os), guest.id);
    EXPECT_EQ(guest_full_name(std::string(guest.id)), guest.full_name);
  }
}

struct Named {
  const char* id;
  const char* short_name;
  const char* full_name;
};

class KnownGuest : public testing::TestWithParam<Named> {};

TEST_P(KnownGuest, IsCalledAsByVmware) {
  const Named& expected = GetParam();
  EXPECT_EQ(guest_os_of_id(expected.id), expected.short_name);
  EXPECT_EQ(guest_id_of_os(vmx::to_lower(expected.short_name)), expected.id);
  EXPECT_EQ(guest_full_name(expected.id), expected.full_name);
}

INSTANTIATE_TEST_SUITE_P(
    GuestOs, KnownGuest,
    testing::Values(
        Named{"debian11_64Guest", "debian11-64", "Debian GNU/Linux 11 (64-bit)"},
        Named{"ubuntu64Guest", "ubuntu-64", "Ubuntu Linux (64-bit)"},
        Named{"rhel8_64Guest", "rhel8-64", "Red Hat Enterprise Linux 8 (64-bit)"},
        Named{"windows9_64Guest", "windows9-64", "Microsoft Windows 10 (64-bit)"},
        Named{"windows2019srv_64Guest", "windows2019srv-64",
              "Microsoft Windows Server 2019 (64-bit)"},
        Named{"winLonghorn64Guest", "longhorn-64", "Microsoft Windows Server 2008 (64-bit)"},
        Named{"vmwarePhoton64Guest", "vmware-photon-64", "VMware Photon OS (64-bit)"},
        Named{"other5xLinux64Guest", "other5xlinux-64", "Other 5.x or later Linux (64-bit)"},
        Named{"otherGuest", "other", "Other (32-bit)"},
        Named{"otherGuest64", "other-64", "Other (64-bit)"}),
    [](const auto& info) { return std::string(info.param.id); });

TEST(GuestOs, UnknownOnesAreNotInvented) {
  EXPECT_EQ(guest_os_of_id("debain11_64Guest"), std::nullopt);
  EXPECT_EQ(guest_os_of_id(""), std::nullopt);
  EXPECT_EQ(guest_id_of_os(""), "otherGuest");
  EXPECT_EQ(guest_id_of_os("debian13-64"), "debian13_64Guest");
  EXPECT_EQ(guest_full_name("debian13_64Guest"), "debian13_64");
}

}  // namespace
}  // namespace virga::host

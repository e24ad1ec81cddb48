#include "datastore/browse.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t mib = 1 << 20;

struct BrowseTest : DatastoreTest {
  void SetUp() override {
    fs::create_directory(real("vm"));
    create_disk(at("vm/vm.vmdk"), {.capacity = 8 * mib, .provisioning = Provisioning::lazy_zeroed});
    create_disk(at("vm/data.vmdk"), {.capacity = 64 * mib});
    put("vm/vm.vmx", "virtualHW.version = \"14\"\n");
    put("vm/vmware.log", "hello");
    put("vm/sub/a.iso", "iso");
  }

  static std::vector<std::string> names(const std::vector<FileInfo>& files) {
    std::vector<std::string> found;
    for (const FileInfo& file : files) found.push_back(file.name);
    return found;
  }
  std::vector<std::string> list(const std::string& folder, const Search& search = {}) {
    return names(list_folder(at(folder), search).files);
  }
};

TEST_F(BrowseTest, ShowsADiskAsOneFile) {
  EXPECT_EQ(list("vm"),
            (std::vector<std::string>{"data.vmdk", "sub", "vm.vmdk", "vm.vmx", "vmware.log"}));
  const FileInfo disk = describe(at("vm/vm.vmdk"));
  EXPECT_EQ(disk.kind, FileKind::disk);
  EXPECT_EQ(disk.size, 8 * mib);
  EXPECT_GE(disk.allocated, 8 * mib);
  const FileInfo thin = describe(at("vm/data.vmdk"));
  EXPECT_EQ(thin.size, 64 * mib);
  EXPECT_LT(thin.allocated, mib);
  EXPECT_EQ(list("vm", {.patterns = {"*flat*"}, .show_extents = true}),
            (std::vector<std::string>{"data-flat.vmdk", "vm-flat.vmdk"}));
}

TEST_F(BrowseTest, ReadsDetailsWhenAsked) {
  EXPECT_EQ(describe(at("vm/vm.vmdk")).disk, std::nullopt);
  const FileInfo disk = describe(at("vm/vm.vmdk"), {.disk_details = true});
  ASSERT_TRUE(disk.disk);
  EXPECT_EQ(disk.disk->provisioning, Provisioning::lazy_zeroed);
  EXPECT_EQ(disk.disk->extents, std::vector<std::string>{"vm/vm-flat.vmdk"});
  EXPECT_EQ(describe(at("vm/vm.vmx"), {.config_details = true}).hardware_version, 14);
  EXPECT_EQ(describe(at("vm/vm.vmx")).hardware_version, std::nullopt);
}

TEST_F(BrowseTest, ShowsWhatIsDamagedWithoutDetails) {
  put("vm/torn.vmdk", "# Disk Descr");
  put("vm/torn.vmx", "memsize = \"");
  const Search details{.disk_details = true, .config_details = true};
  EXPECT_EQ(describe(at("vm/torn.vmdk"), details).kind, FileKind::disk);
  EXPECT_EQ(describe(at("vm/torn.vmdk"), details).disk, std::nullopt);
  EXPECT_EQ(describe(at("vm/torn.vmx"), details).kind, FileKind::vm_config);
}

TEST_F(BrowseTest, TellsKindsApart) {
  const auto kind = [&](const std::string& name, std::size_t size = 10) {
    put("k/" + name, std::string(size, 'x'));
    return describe(at("k/" + name)).kind;
  };
  EXPECT_EQ(kind("a.VMX"), FileKind::vm_config);
  EXPECT_EQ(kind("a.vmtx"), FileKind::vm_template);
  EXPECT_EQ(kind("a.iso"), FileKind::iso_image);
  EXPECT_EQ(kind("a.flp"), FileKind::floppy_image);
  EXPECT_EQ(kind("a.img", 1'474'560), FileKind::floppy_image);
  EXPECT_EQ(kind("b.img"), FileKind::other);
  EXPECT_EQ(kind("a.nvram"), FileKind::nvram);
  EXPECT_EQ(kind("a.log"), FileKind::log);
  EXPECT_EQ(kind("a.vmsd"), FileKind::snapshot);
  EXPECT_EQ(kind("a.txt"), FileKind::other);
  EXPECT_EQ(kind("orphan-flat.vmdk", 2 * mib), FileKind::other);
  EXPECT_EQ(describe(at("k")).kind, FileKind::folder);
  ASSERT_EQ(::mkfifo(real("k/fifo").c_str(), 0600), 0);
  EXPECT_EQ(describe(at("k/fifo")).kind, FileKind::other);
}

TEST_F(BrowseTest, SaysWhoseAndWhen) {
  put("a", "x");
  const FileInfo file = describe(at("a"));
  EXPECT_EQ(file.owner, "root");
  EXPECT_GT(file.modified, std::chrono::system_clock::now() - std::chrono::hours(1));
  ASSERT_EQ(::chown(real("a").c_str(), 3'000'000, 0), 0);
  EXPECT_EQ(describe(at("a")).owner, "3000000");
}

TEST_F(BrowseTest, HidesWhatIsNotForUse) {
  put("\xff.iso", "x");
  fs::create_symlink("/etc", real("link"));
  EXPECT_EQ(list(""), (std::vector<std::string>{"link", "vm"}));
  EXPECT_EQ(describe(at("link")).kind, FileKind::other);
  expect_error(ErrorKind::access_denied, "not for use", [&] { list_folder(at(".virga")); });
  expect_error(ErrorKind::access_denied, "leads out", [&] { list_folder(at("link")); });
}

TEST_F(BrowseTest, FiltersAndSorts) {
  EXPECT_EQ(list("vm", {.patterns = {"*.VMX", "vmware.*"}}),
            (std::vector<std::string>{"vm.vmx", "vmware.log"}));
  EXPECT_TRUE(list("vm", {.patterns = {"*.VMX"}, .ignore_case = false}).empty());
  EXPECT_EQ(list("vm", {.folders_first = true}).front(), "sub");
}

TEST_F(BrowseTest, WalksTheTreeParentsFirst) {
  const auto listings = list_tree(at(""), {.patterns = {"*.iso"}});
  std::vector<std::string> folders;
  for (const Listing& listing : listings) folders.push_back(listing.folder);
  EXPECT_EQ(folders, (std::vector<std::string>{"", "vm", "vm/sub"}));
  EXPECT_TRUE(listings[1].files.empty());
  EXPECT_EQ(names(listings[2].files), std::vector<std::string>{"a.iso"});
  std::stop_source stop;
  stop.request_stop();
  expect_error(ErrorKind::cancelled, "[ds]", [&] { list_tree(at(""), {}, stop.get_token()); });
}

TEST_F(BrowseTest, SaysWhatIsMissing) {
  expect_error(ErrorKind::not_found, "[ds] none", [&] { list_folder(at("none")); });
  expect_error(ErrorKind::not_found, "[ds] vm/vm.vmx", [&] { list_folder(at("vm/vm.vmx")); });
  expect_error(ErrorKind::not_found, "[ds] none", [&] { describe(at("none")); });
}

TEST_F(BrowseTest, SumsWhatSparseFilesMayStillTake) {
  const std::uint64_t before = uncommitted_space(*datastore);
  EXPECT_GE(before, 63 * mib);
  EXPECT_LE(before, 64 * mib);
  create_disk(at("more.vmdk"), {.capacity = 1024 * mib});
  EXPECT_GE(uncommitted_space(*datastore), before + 1023 * mib);
}

TEST(Matches, FollowsTheGlobRules) {
  for (const auto& [pattern, text] :
       {std::pair("*", ""), std::pair("*.vmx", "a.vmx"), std::pair("a?c*e", "abcdefe"),
        std::pair("**", "x"), std::pair("*a*b*", "xxaxxbxx"), std::pair("", "")})
    EXPECT_TRUE(matches(pattern, text, false)) << pattern << " " << text;
  for (const auto& [pattern, text] :
       {std::pair("?", ""), std::pair("*.vmx", "a.vmxf"), std::pair("a", "A"),
        std::pair("*ab", "aba"), std::pair("[a]", "a")})
    EXPECT_FALSE(matches(pattern, text, false)) << pattern << " " << text;
  EXPECT_TRUE(matches("A*", "abc", true));
  // Would take ages if every star were tried against every place.
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*b", std::string(10'000, 'a'), false));
}

}  // namespace
}  // namespace virga::datastore

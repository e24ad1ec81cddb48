#include "host/vm_storage.h"

#include "base/uuid.h"
#include "host/vm_swap.h"
#include "vm_config_sample.h"

namespace virga::host {
namespace {

using datastore::Occupancy;
using testing::ElementsAre;
using testing::IsEmpty;

struct VmStorageTest : testing::Test {
  vmx::MachineConfig config = sample_config();
  Surroundings around;

  std::vector<std::string> wanted() const {
    std::vector<std::string> words;
    for (const auto& file : files_of(config, around.context).files)
      words.push_back(file.type + " " + file.path.format());
    return words;
  }
};

TEST_F(VmStorageTest, LooksForEveryFileTheConfigurationMeans) {
  config.extended_config = "web.vmxf";
  config.suspend_state = "web.vmss";
  const std::string swap = swap_file(config, around.context).format();
  EXPECT_THAT(wanted(),
              ElementsAre("config [ds1] web/web.vmx", "extendedConfig [ds1] web/web.vmxf",
                          "nvram [ds1] web/web.nvram", "snapshotList [ds1] web/web.vmsd",
                          "suspend [ds1] web/web.vmss", "suspendMemory [ds1] web/web.vmem",
                          "log [ds1] web/vmware.log", "swap " + swap));
  const auto disks = files_of(config, around.context).disks;
  ASSERT_EQ(disks.size(), 1u);
  EXPECT_EQ(disks[0].key, 2000);
  EXPECT_EQ(disks[0].path.format(), "[ds1] web/web.vmdk");
}

TEST_F(VmStorageTest, ATemplateHasNoSwapFile) {
  around.context.config_file = vmx::DatastorePath("ds1", "web/web.vmtx");
  EXPECT_EQ(files_of(config, around.context).swap, std::nullopt);
}

TEST_F(VmStorageTest, TheSwapFileIsNamedByThePlaceAndHoldsWhatIsNotReserved) {
  const auto file = swap_file(config, around.context);
  EXPECT_THAT(file.name(), testing::MatchesRegex("web-[0-9a-f]{8}\\.vswp"));
  EXPECT_EQ(file.parent().format(), "[ds1] web");
  around.context.volumes.names_by_id["5f3a2b1c-00000001"] = "renamed";
  around.context.config_file = vmx::DatastorePath("renamed", "web/web.vmx");
  EXPECT_EQ(swap_file(config, around.context).name(), file.name());
  around.context.config_file = vmx::DatastorePath("renamed", "web2/web.vmx");
  EXPECT_NE(swap_file(config, around.context).name(), file.name());
  config.working_directory = "/vmfs/volumes/ds2/swap";
  EXPECT_EQ(swap_file(config, around.context).parent().format(), "[ds2] swap");

  EXPECT_EQ(swap_size(config), 2048ull << 20);
  config.memory.reservation = 2000;
  EXPECT_EQ(swap_size(config), 48ull << 20);
  config.memory.reservation = 4096;
  EXPECT_EQ(swap_size(config), 0u);
  config.memory.reservation = 0;
  config.memory_reservation_locked = true;
  EXPECT_EQ(swap_size(config), 0u);
}

// A delta on a base that another VM has too, a log that cannot be read, and an ISO's datastore.
FileSurvey sample_survey() {
  FileSurvey survey;
  const auto file = [](const std::string& path, std::optional<Occupancy> occupancy,
                       const std::string& type) {
    return FileSurvey::File{type, vmx::DatastorePath::parse(path), occupancy};
  };
  survey.files = {
      file("[ds1] web/web.vmx", Occupancy{2000, 2000, 2000}, "config"),
      file("[ds1] web/web.nvram", Occupancy{8684, 8684, std::nullopt}, "nvram"),
      file("[ds1] web/web-000001.vmdk", Occupancy{400, 400, 400}, "diskDescriptor"),
      file("[ds1] web/web-000001-delta.vmdk", Occupancy{9000, 6000, 5000}, "diskExtent"),
      file("[ds2] base/base.vmdk", Occupancy{500, 500, 500}, "diskDescriptor"),
      file("[ds2] base/base-flat.vmdk", Occupancy{100'000, 40'000, 40'000}, "diskExtent"),
      file("[ds1] web/vmware.log", std::nullopt, "log"),
      file("[ds1] web/web-0badcafe.vswp", Occupancy{7000, 0, 0}, "swap")};
  survey.disks = {{2000, {{4, 5}, {2, 3}}, 3000}};
  survey.swap_datastore = "ds1";
  survey.swap_growth = 7000;
  return survey;
}

VmStorage describe_sample(const FileSurvey& survey) {
  StorageContext context;
  context.datastore = [](const std::string& name) { return MoRef{"Datastore", name}; };
  context.is_shared = [](const std::string& path) { return path.starts_with("[ds2] base/"); };
  return describe(survey, context);
}

TEST(VmStorageDescription, TellsOfEachFileWhatItTakes) {
  const VmStorage storage = describe_sample(sample_survey());
  const auto& files = storage.layout_ex.file;
  ASSERT_EQ(files.size(), 8u);
  EXPECT_EQ(files[3]->key, 3);
  EXPECT_EQ(files[3]->name, "[ds1] web/web-000001-delta.vmdk");
  EXPECT_EQ(files[3]->type, "diskExtent");
  EXPECT_EQ(files[3]->size, 6000);
  EXPECT_EQ(files[3]->uniqueSize, 5000);
  EXPECT_EQ(files[3]->accessible, true);
  EXPECT_EQ(files[1]->uniqueSize, std::nullopt);
  EXPECT_EQ(files[6]->accessible, false);
  EXPECT_EQ(files[6]->size, 0);
  ASSERT_EQ(storage.layout_ex.disk.size(), 1u);
  ASSERT_EQ(storage.layout_ex.disk[0]->chain.size(), 2u);
  EXPECT_THAT(storage.layout_ex.disk[0]->chain[0]->fileKey, ElementsAre(4, 5));
  EXPECT_THAT(storage.layout_ex.disk[0]->chain[1]->fileKey, ElementsAre(2, 3));
}

TEST(VmStorageDescription, TheOldLayoutNamesThem) {
  const auto layout = describe_sample(sample_survey()).layout;
  EXPECT_THAT(layout.configFile, ElementsAre("web.nvram"));
  EXPECT_THAT(layout.logFile, ElementsAre("vmware.log"));
  EXPECT_EQ(layout.swapFile, "[ds1] web/web-0badcafe.vswp");
  ASSERT_EQ(layout.disk.size(), 1u);
  EXPECT_THAT(layout.disk[0]->diskFile,
              ElementsAre("[ds2] base/base.vmdk", "[ds1] web/web-000001.vmdk"));
}

TEST(VmStorageDescription, SumsByDatastore) {
  const VmStorage storage = describe_sample(sample_survey());
  ASSERT_EQ(storage.usage.perDatastoreUsage.size(), 2u);
  const auto& first = *storage.usage.perDatastoreUsage[0];
  EXPECT_EQ(first.datastore, (MoRef{"Datastore", "ds1"}));
  EXPECT_EQ(first.committed, 2000 + 8684 + 400 + 6000);
  EXPECT_EQ(first.unshared, 2000 + 8684 + 400 + 5000);
  EXPECT_EQ(first.uncommitted, 3000 + 7000);
  const auto& second = *storage.usage.perDatastoreUsage[1];
  EXPECT_EQ(second.committed, 40'500);
  EXPECT_EQ(second.unshared, 0);
  EXPECT_EQ(second.uncommitted, 0);
  EXPECT_EQ(storage.summary.committed, first.committed + second.committed);
  EXPECT_EQ(storage.summary.uncommitted, 10'000);
  EXPECT_EQ(storage.summary.unshared, first.unshared);
}

TEST(VmStorageDescription, NothingIsNothing) {
  const VmStorage storage = describe_sample({});
  EXPECT_THAT(storage.layout_ex.file, testing::SizeIs(0));
  EXPECT_EQ(storage.summary.committed, 0);
}

// --- On a real folder
// ------------------------------------------------------------------------------

struct SurveyTest : VmStorageTest {
  fs::path root = fs::path(testing::TempDir()) / ("survey-" + make_uuid());
  SurveyTest() { fs::create_directories(root / "web"); }
  ~SurveyTest() override { fs::remove_all(root); }

  void put(const std::string& name, const std::string& text) const {
    write_file_atomically(root / "web" / name, text);
  }
  FileSurvey look() const {
    return survey(files_of(config, around.context),
                  {{"ds1", std::make_shared<const datastore::Datastore>("ds1", root)}});
  }
};

TEST_F(SurveyTest, FindsWhatIsThere) {
  const auto place = std::make_shared<const datastore::Datastore>("ds1", root);
  put("web.vmx", "x = \"y\"\n");
  for (const char* name :
       {"vmware.log", "vmware-2.log", "vmware-12.log", "vmware-x.log", "web-1.png", "other.txt"})
    put(name, "text");
  datastore::create_disk({place, "web/web.vmdk"}, {.capacity = 1 << 20});
  std::vector<std::string> found;
  const FileSurvey survey = look();
  for (const auto& file : survey.files) {
    found.push_back(file.type + " " + file.path.name());
    EXPECT_TRUE(file.occupancy) << file.path.format();
  }
  EXPECT_THAT(found, ElementsAre("config web.vmx", "log vmware.log", "diskDescriptor web.vmdk",
                                 "diskExtent web-flat.vmdk", "log vmware-12.log",
                                 "log vmware-2.log", "screenshot web-1.png"));
  ASSERT_EQ(survey.disks.size(), 1u);
  EXPECT_THAT(survey.disks[0].chain, ElementsAre(ElementsAre(2, 3)));
  EXPECT_EQ(survey.disks[0].growth, 1u << 20);
  EXPECT_EQ(survey.swap_growth, 2048ull << 20);
}

TEST_F(SurveyTest, ADiskThatIsGoneIsNotAccessible) {
  const FileSurvey survey = look();
  ASSERT_EQ(survey.files.size(), 2u);
  EXPECT_EQ(survey.files[0].occupancy, std::nullopt);  // the .vmx
  EXPECT_EQ(survey.files[1].type, "diskDescriptor");
  EXPECT_EQ(survey.files[1].occupancy, std::nullopt);
}

}  // namespace
}  // namespace virga::host

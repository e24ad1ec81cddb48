// What is known of a Linux guest by the output of scripts run in it. The scripts are run here too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "base/process.h"
#include "hypervisor/guest/account.h"
#include "hypervisor/guest/files.h"
#include "hypervisor/guest/processes.h"

namespace virga::hypervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

GuestAccount with_password(std::string hash) {
  return {.name = "ann", .password = std::move(hash)};
}

TEST(GuestUserName, HasNothingThatAShellOrAFileOfAccountsWouldRead) {
  for (const char* name : {"root", "ann", "Ann_2", "www-data", "first.last"})
    EXPECT_TRUE(is_guest_user_name(name)) << name;
  for (const char* name : {"", "-c", ".hidden", "a b", "a:b", "a\nb", "$(id)", "a/b",
                           "anna-with-a-name-of-more-than-32-letters"})
    EXPECT_FALSE(is_guest_user_name(name)) << name;
}

TEST(ParseAccount, TakesPasswdAndShadowTogether) {
  const auto account = parse_account("ann",
                                     "ann:x:1000:100:Ann,,,:/home/ann:/bin/sh\n"
                                     "ann:$6$salt$hash:19000:0:99999:7::20000:\n");
  ASSERT_TRUE(account);
  EXPECT_EQ(account->uid, 1000u);
  EXPECT_EQ(account->gid, 100u);
  EXPECT_EQ(account->home, "/home/ann");
  EXPECT_EQ(account->shell, "/bin/sh");
  EXPECT_EQ(account->password, "$6$salt$hash");
  EXPECT_EQ(account->expiry, std::chrono::sys_days(std::chrono::days(20000)));
}

TEST(ParseAccount, TakesAPasswordThatStandsInPasswd) {
  const auto account = parse_account("root", "root:$1$a$b:0:0:root:/root:/bin/sh\n");
  ASSERT_TRUE(account);
  EXPECT_EQ(account->password, "$1$a$b");
  EXPECT_FALSE(account->expiry);
}

TEST(ParseAccount, FindsNobodyElse) {
  for (const char* output :
       {"", "\n", "ann", "ann:x:1000:100", "bob:x:1:1::/:/bin/sh\n", "ann:x:-1:100:::\n",
        "ann:x:1:4294967296:::\n", "ann:$6$salt$hash:19000:0:99999:7:::\n"})
    EXPECT_FALSE(parse_account("ann", output)) << output;
}

TEST(GuestPassword, FitsItsHashOnly) {
  const std::string hash = run_checked({"openssl", "passwd", "-6", "-salt", "pepper", "virga"});
  const GuestAccount account = with_password(hash.substr(0, hash.find('\n')));
  EXPECT_TRUE(is_password_of(account, "virga"));
  EXPECT_FALSE(is_password_of(account, "Virga"));
  EXPECT_FALSE(is_password_of(account, ""));
}

TEST(GuestPassword, FitsNoAccountWithoutOneOrThatIsLocked) {
  const std::string hash = run_checked({"openssl", "passwd", "-6", "-salt", "pepper", "virga"});
  for (const std::string& stored : {std::string(), std::string("*"), std::string("!"),
                                    "!" + hash.substr(0, hash.find('\n')), std::string("x")}) {
    EXPECT_FALSE(is_password_of(with_password(stored), "virga")) << stored;
    EXPECT_FALSE(is_password_of(with_password(stored), "")) << stored;
  }
}

TEST(GuestPassword, IsNotTriedWhereTheGuestWouldMakeItCostHours) {
  for (const char* hash :
       {"$6$rounds=999999999$salt$x", "$2b$31$abcdefghijklmnopqrstuv", "$y$jzT$s$h",
        "$y$j9T.....$s$h", "$7$CU..../....salt$hash", "$gy$j9T$s$h"})
    EXPECT_FALSE(is_password_of(with_password(hash), "virga")) << hash;
}

TEST(AccountScript, FindsRoot) {
  const auto account =
      parse_account("root", run_checked({"/bin/sh", "-c", account_script, "sh", "root"}));
  ASSERT_TRUE(account);
  EXPECT_EQ(account->uid, 0u);
}

TEST(ParseProcessList, TellsWhoRunsWhatSinceWhen) {
  const auto processes = parse_process_list(
      std::string(
          "==> /etc/passwd <==\nroot:x:0:0:root:/root:/bin/sh\n\n==> /proc/stat <==\ncpu  1 2\n"
          "btime 1700000000\n\n==> /proc/7/stat <==\n"
          "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 250 1 1\n\n"
          "==> /proc/7/cmdline <==\n") +
      std::string("sleep\0001 0\0\n", 11) + "\n==> owners <==\n0 /proc/7\n1000 /proc/8\n");
  ASSERT_THAT(processes, SizeIs(1));
  EXPECT_EQ(processes[0].pid, 7);
  EXPECT_EQ(processes[0].name, "a (b) c");
  EXPECT_EQ(processes[0].owner, "root");
  EXPECT_EQ(processes[0].start, std::chrono::sys_seconds(1700000002s));
}

TEST(ParseProcessList, TakesNothingFromNonsense) {
  for (const char* output :
       {"", "==> owners <==", "==> <==\n", "==> owners <==\nx /proc/1\n0 /proc/\n",
        "==> /proc/1/stat <==\n1 (a\n==> owners <==\n0 /proc/1\n",
        "==> /proc/1/stat <==\n1 (a) S 1\n==> owners <==\n0 /proc/1\n"})
    EXPECT_THAT(parse_process_list(output), IsEmpty()) << output;
}

TEST(ProcessListScript, FindsThisProcess) {
  const auto processes = parse_process_list(run_checked({"/bin/sh", "-c", process_list_script}));
  const auto age_known = Field(&GuestProcess::start, ::testing::Gt(std::chrono::sys_seconds(0s)));
  EXPECT_THAT(processes,
              Contains(::testing::AllOf(Field(&GuestProcess::pid, ::getpid()),
                                        Field(&GuestProcess::owner, "root"), age_known)));
}

struct FileList : ::testing::Test {
  fs::path folder = fs::temp_directory_path() / ("virga-guest-test-" + std::to_string(::getpid()));
  FileList() {
    fs::create_directories(folder / "inner");
    std::ofstream(folder / "a file") << "twelve bytes";
    ::chmod((folder / "a file").c_str(), 0640);
    std::ofstream(folder / "-x");
    fs::create_symlink("a file", folder / "link");
  }
  ~FileList() override { fs::remove_all(folder); }

  std::vector<GuestFile> list(const fs::path& path, const std::string& pattern = {}) {
    return parse_file_list(
        run_checked({"/bin/sh", "-c", file_list_script, "sh", path.string(), pattern}));
  }
};

TEST_F(FileList, HasAllEntriesOfADirectory) {
  const auto files = list(folder);
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(".", "..", "-x", "a file", "inner", "link"));
  for (const auto& file : files) {
    if (file.name == "a file") {
      EXPECT_EQ(file.kind, GuestFile::Kind::file);
      EXPECT_EQ(file.size, 12u);
      EXPECT_EQ(file.permissions, 0640u);
      EXPECT_EQ(file.uid, ::getuid());
      EXPECT_GT(file.modified, std::chrono::sys_seconds(0s));
    }
    if (file.name == "inner") {
      EXPECT_EQ(file.kind, GuestFile::Kind::directory);
    }
    if (file.name == "link") {
      EXPECT_EQ(file.kind, GuestFile::Kind::symbolic_link);
      EXPECT_EQ(file.target, "a file");
    }
  }
}

TEST_F(FileList, HasWhatFitsThePattern) {
  EXPECT_THAT(list(folder, "^a.*e$"), ElementsAre(Field(&GuestFile::name, "a file")));
  EXPECT_THAT(list(folder, "nothing"), IsEmpty());
}

TEST_F(FileList, IsOneFile) {
  EXPECT_THAT(list(folder / "a file"), ElementsAre(Field(&GuestFile::name, "a file")));
  EXPECT_THAT(list(folder / "link"), ElementsAre(Field(&GuestFile::target, "a file")));
}

TEST_F(FileList, NamesWhatIsNotThere) {
  const auto result =
      run_process({"/bin/sh", "-c", file_list_script, "sh", (folder / "none").string(), ""});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.errors, ::testing::HasSubstr("No such file or directory"));
}

TEST(ParseFileList, TakesNothingFromNonsense) {
  for (const char* output :
       {"", "\n==> links <==\n", "81a4 0 0", "81a4 0 0 -1 0 0 name", "x 0 0 1 0 0 name"})
    EXPECT_THAT(parse_file_list(output), IsEmpty()) << output;
  EXPECT_THAT(parse_file_list("81a4 0 0 1 99999999999999 x name\n"), SizeIs(1));
}

}  // namespace
}  // namespace virga::hypervisor

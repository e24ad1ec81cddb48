#include "hypervisor/qemu/huge_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <numeric>

namespace virga::hypervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t present = std::uint64_t(1) << 63;

using Pagemap = std::array<std::uint64_t, huge_page_size / page_size>;

Pagemap consecutive(std::uint64_t first) {
  Pagemap entries;
  std::iota(entries.begin(), entries.end(), present | first);
  return entries;
}

TEST(HugePageRanges, AreThoseTheProcessAskedFor) {
  EXPECT_THAT(parse_huge_page_ranges("7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \n"
                                     "Size:               4096 kB\n"
                                     "VmFlags: rd wr mr mw me ac hg \n"
                                     "7f0000600000-7f0000800000 rw-p 00000000 00:00 0 \n"
                                     "VmFlags: rd wr mr mw me ac \n"),
              ElementsAre(AddressRange{0x7f0000000000, 0x7f0000400000}));
}

TEST(HugePageRanges, AreOfWholeHugePages) {
  EXPECT_THAT(parse_huge_page_ranges("7f00001ff000-7f0000601000 rw-p 00000000 00:00 0 \n"
                                     "VmFlags: rd hg \n"),
              ElementsAre(AddressRange{0x7f0000200000, 0x7f0000600000}));
  EXPECT_THAT(parse_huge_page_ranges("7f0000001000-7f0000201000 rw-p 00000000 00:00 0 \n"
                                     "VmFlags: rd hg \n"),
              IsEmpty());
}

TEST(HugePageRanges, OfTextThatIsNoneAreNone) {
  for (const char* text : {"", "\n", "VmFlags: rd hg", "7f-", "7f-8 \nVmFlags: rd hg"})
    EXPECT_THAT(parse_huge_page_ranges(text), IsEmpty()) << text;
}

TEST(HugePage, IsOfConsecutiveFramesFromAnEvenPlace) {
  EXPECT_TRUE(is_huge_page(consecutive(512 * 7)));
  EXPECT_FALSE(is_huge_page(consecutive(512 * 7 + 1)));
  EXPECT_FALSE(is_huge_page(consecutive(0))) << "who may not see frames sees zeros";
}

TEST(HugePage, HasNoGapAndNoForeignPage) {
  Pagemap swapped = consecutive(512);
  swapped[511] &= ~present;
  EXPECT_FALSE(is_huge_page(swapped));
  Pagemap replaced = consecutive(512);
  replaced[100] = present | 99;
  EXPECT_FALSE(is_huge_page(replaced));
}

TEST(HugePage, IsNotThePageOfZerosManyTimes) {
  Pagemap zeros;
  zeros.fill(present | 512);
  EXPECT_FALSE(is_huge_page(zeros));
}

// In KiB, of all this process has.
long mapped_as_huge_pages() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string name; rollup >> name;) {
    long value = 0;
    if (name == "AnonHugePages:" && rollup >> value) return value;
  }
  return 0;
}

TEST(JoinHugePages, MapsWhatWasSplitAsBeforeAndChangesNothing) {
  constexpr std::size_t size = 16 * huge_page_size;
  void* const reserved =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(reserved, MAP_FAILED);
  char* const memory = static_cast<char*>(reserved);
  ::madvise(memory, size, MADV_HUGEPAGE);
  for (std::size_t i = 0; i < size; ++i) memory[i] = static_cast<char>(i * 31);
  const long whole = mapped_as_huge_pages();  // 0 where huge pages are switched off
  for (std::size_t i = 0; i < size; i += huge_page_size / 2)
    ::mprotect(memory + i, page_size, PROT_READ);
  ::mprotect(memory, size, PROT_READ | PROT_WRITE);
  if (whole > 0) {
    ASSERT_LT(mapped_as_huge_pages(), whole);
  }

  join_huge_pages(identify(::getpid()));
  EXPECT_EQ(mapped_as_huge_pages(), whole);
  for (std::size_t i = 0; i < size; ++i)
    ASSERT_EQ(memory[i], static_cast<char>(i * 31)) << "at " << i;
  ::munmap(memory, size);
}

TEST(JoinHugePages, LeavesAProcessThatHasEndedAlone) {
  ProcessIdentity ended = identify(::getpid());
  ended.start_time += 1;
  join_huge_pages(ended);
}

}  // namespace
}  // namespace virga::hypervisor

// The huge pages behind a guest's memory. A background snapshot protects memory page by page, which
// leaves a huge page as one in memory and mapped as 512; QEMU then touches each of them while the
// guest stands still for the next snapshot, which takes it ten times as long.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "hypervisor/qemu/process_identity.h"

namespace virga::hypervisor {

constexpr std::uint64_t page_size = 4096, huge_page_size = 2 << 20;  // of x86-64

struct AddressRange {
  std::uint64_t begin = 0, end = 0;
  bool operator==(const AddressRange&) const = default;
};

// Where the process of this /proc/PID/smaps asked for huge pages (madvise(2)), in whole huge pages.
std::vector<AddressRange> parse_huge_page_ranges(std::string_view smaps);

// Whether entries of /proc/PID/pagemap, as many as a huge page has, all lie in one huge page.
// Memory that was never written, all of it the page of zeros, does not: to map that as a huge page
// would fill it.
bool is_huge_page(std::span<const std::uint64_t> pagemap);

// Maps such memory of the process as huge pages again; it may run meanwhile. Does nothing for a
// process that has ended, and on Linux before 6.1, where its own khugepaged gets there in time.
void join_huge_pages(const ProcessIdentity& process);

}  // namespace virga::hypervisor

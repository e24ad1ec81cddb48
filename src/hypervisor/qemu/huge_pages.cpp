#include "hypervisor/qemu/huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>

namespace virga::hypervisor {
namespace {

constexpr std::size_t pages_per_huge_page = huge_page_size / page_size;
// Of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
constexpr std::uint64_t present = std::uint64_t(1) << 63;
constexpr std::uint64_t frame_mask = (std::uint64_t(1) << 55) - 1;
constexpr int collapse = 25;  // MADV_COLLAPSE, which glibc 2.36 does not know yet

// "55d0c8a00000-55d0c8c00000 rw-p …"; empty for the other lines of smaps.
AddressRange parse_addresses(std::string_view line) {
  AddressRange range;
  const char* const end = line.data() + line.size();
  const auto [dash, bad_begin] = std::from_chars(line.data(), end, range.begin, 16);
  if (bad_begin != std::errc() || dash == end || *dash != '-') return {};
  const auto [space, bad_end] = std::from_chars(dash + 1, end, range.end, 16);
  if (bad_end != std::errc() || space == end || *space != ' ') return {};
  return range;
}

AddressRange whole_huge_pages(AddressRange range) {
  const std::uint64_t begin = (range.begin + huge_page_size - 1) & ~(huge_page_size - 1);
  return {begin, std::max(begin, range.end & ~(huge_page_size - 1))};
}

std::string read_smaps(pid_t pid) {
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
  return {std::istreambuf_iterator<char>(smaps), {}};
}

}  // namespace

std::vector<AddressRange> parse_huge_page_ranges(std::string_view smaps) {
  std::vector<AddressRange> ranges;
  AddressRange mapping;
  while (!smaps.empty()) {
    const std::string_view line = smaps.substr(0, smaps.find('\n'));
    smaps.remove_prefix(std::min(line.size() + 1, smaps.size()));
    if (const AddressRange found = parse_addresses(line); found.end > 0) mapping = found;
    if (!line.starts_with("VmFlags:") || line.find(" hg") == line.npos) continue;
    if (const AddressRange whole = whole_huge_pages(mapping); whole.begin < whole.end)
      ranges.push_back(whole);
  }
  return ranges;
}

bool is_huge_page(std::span<const std::uint64_t> pagemap) {
  const std::uint64_t first = pagemap.front() & frame_mask;
  if (first == 0 || first % pages_per_huge_page != 0) return false;
  for (std::size_t i = 0; i < pagemap.size(); ++i)
    if (!(pagemap[i] & present) || (pagemap[i] & frame_mask) != first + i) return false;
  return true;
}

void join_huge_pages(const ProcessIdentity& identity) {
  const Fd process = open_process(identity);
  if (!process) return;
  const std::string pagemap_path = "/proc/" + std::to_string(identity.pid) + "/pagemap";
  const Fd pagemap(::open(pagemap_path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<std::uint64_t, pages_per_huge_page> entries;
  for (const AddressRange& range : parse_huge_page_ranges(read_smaps(identity.pid))) {
    for (std::uint64_t page = range.begin; page < range.end; page += huge_page_size) {
      const auto offset = static_cast<off_t>(page / page_size * sizeof entries[0]);
      if (::pread(pagemap.get(), &entries, sizeof entries, offset) != sizeof entries) return;
      if (!is_huge_page(entries)) continue;
      const iovec memory{reinterpret_cast<void*>(page), huge_page_size};
      if (::process_madvise(process.get(), &memory, 1, collapse, 0) < 0 && errno != EAGAIN) return;
    }
  }
}

}  // namespace virga::hypervisor

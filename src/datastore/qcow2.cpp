#include "datastore/qcow2.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr std::string_view magic = "QFI\xfb";
constexpr std::uint32_t version = 3;
constexpr std::size_t fixed_length = 112;  // version 3 with the compression type
constexpr std::size_t max_backing_name = 1023;

constexpr std::uint32_t cluster_bits = 16;
constexpr std::uint64_t cluster_size = 1 << cluster_bits;
constexpr std::uint64_t bytes_per_l1_entry = cluster_size / 8 * cluster_size;
constexpr std::uint32_t refcount_order = 4;  // 16 bits each

// Where the fields of the header lie.
enum Field : std::size_t {
  at_version = 4,
  at_backing_offset = 8,
  at_backing_size = 16,
  at_cluster_bits = 20,
  at_capacity = 24,
  at_l1_size = 36,
  at_l1_offset = 40,
  at_refcount_offset = 48,
  at_refcount_clusters = 56,
  at_incompatible_features = 72,
  at_autoclear_features = 88,
  at_refcount_order = 96,
  at_header_length = 100,
};

constexpr std::uint32_t end_of_extensions = 0;
constexpr std::uint32_t backing_format = 0xe2792aca;
constexpr std::uint32_t bitmaps = 0x23852875;

// Of the incompatible features: data in another file, other compression, clusters in parts.
constexpr std::uint64_t unreadable_features = 1 << 2 | 1 << 3 | 1 << 4;
constexpr std::uint64_t bitmaps_are_valid = 1 << 0;        // of the autoclear features
constexpr std::uint64_t offset_mask = 0x00fffffffffffe00;  // of entries of L1, L2 and bitmap tables
constexpr std::uint64_t zero_cluster = 1 << 0;             // of entries of L2
constexpr std::uint64_t compressed_cluster = 1ULL << 62;

struct Extension {
  std::uint32_t type;
  std::string data;
};

std::uint64_t get(std::string_view bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
std::uint32_t get32(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(get(bytes, at, 4));
}
std::uint64_t get64(std::string_view bytes, std::size_t at) {
  return get(bytes, at, 8);
}

void put(std::string& bytes, std::size_t at, std::size_t width, std::uint64_t value) {
  for (std::size_t i = 0; i < width; ++i)
    bytes[at + i] = static_cast<char>(value >> 8 * (width - 1 - i));
}

std::size_t padded(std::size_t length) {
  return (length + 7) / 8 * 8;
}

Error damaged(const std::string& name, std::string_view what) {
  return error(ErrorKind::damaged, name, "{} is no qcow2 image: {}", name, what);
}

std::size_t check_header(std::string_view beginning, const std::string& name) {
  if (beginning.size() < fixed_length || !beginning.starts_with(magic))
    throw damaged(name, "it has no header");
  if (get32(beginning, at_version) != version)
    throw error(ErrorKind::unsupported, name, "{} is a qcow2 image of version {}", name,
                get32(beginning, at_version));
  const std::size_t length = get32(beginning, at_header_length);
  if (length < 104 || length > beginning.size() || length % 8 != 0)
    throw damaged(name, "its header is of an impossible length");
  return length;
}

std::vector<Extension> read_extensions(std::string_view beginning, const std::string& name) {
  std::vector<Extension> extensions;
  for (std::size_t at = check_header(beginning, name);;) {
    if (at + 8 > beginning.size()) throw damaged(name, "its header has no end");
    const std::uint32_t type = get32(beginning, at);
    const std::size_t length = get32(beginning, at + 4);
    if (type == end_of_extensions) return extensions;
    if (length > beginning.size() - at - 8) throw damaged(name, "its header has no end");
    extensions.push_back({type, std::string(beginning.substr(at + 8, length))});
    at += 8 + padded(length);
  }
}

void append_extension(std::string& header, const Extension& extension) {
  const std::size_t at = header.size();
  header.resize(at + 8 + padded(extension.data.size()));
  put(header, at, 4, extension.type);
  put(header, at + 4, 4, extension.data.size());
  header.replace(at + 8, extension.data.size(), extension.data);
}

// `fixed`: the header up to its extensions.
std::string assemble(std::string fixed, const std::vector<Extension>& extensions,
                     const Qcow2Backing& backing, const std::string& name) {
  for (const Extension& extension : extensions)
    if (extension.type != backing_format) append_extension(fixed, extension);
  if (!backing.file.empty()) append_extension(fixed, {backing_format, backing.format});
  append_extension(fixed, {end_of_extensions, {}});
  put(fixed, at_backing_offset, 8, backing.file.empty() ? 0 : fixed.size());
  put(fixed, at_backing_size, 4, backing.file.size());
  fixed += backing.file;
  if (backing.file.size() > max_backing_name || fixed.size() > qcow2_header_size)
    throw error(ErrorKind::invalid_argument, name, "{} is too long a name for the image below {}",
                backing.file, name);
  fixed.resize(qcow2_header_size);
  return fixed;
}

}  // namespace

EmptyQcow2 make_qcow2(const Qcow2Header& header) {
  constexpr std::uint64_t refcount_table = 1, refcount_block = 2, l1_table = 3;  // clusters
  const std::uint64_t l1_entries = (header.capacity + bytes_per_l1_entry - 1) / bytes_per_l1_entry;
  const std::uint64_t clusters = l1_table + (l1_entries * 8 + cluster_size - 1) / cluster_size;

  std::string fixed(fixed_length, '\0');
  fixed.replace(0, magic.size(), magic);
  put(fixed, at_version, 4, version);
  put(fixed, at_cluster_bits, 4, cluster_bits);
  put(fixed, at_capacity, 8, header.capacity);
  put(fixed, at_l1_size, 4, l1_entries);
  put(fixed, at_l1_offset, 8, l1_table * cluster_size);
  put(fixed, at_refcount_offset, 8, refcount_table * cluster_size);
  put(fixed, at_refcount_clusters, 4, 1);
  put(fixed, at_refcount_order, 4, refcount_order);
  put(fixed, at_header_length, 4, fixed_length);

  std::string table(8, '\0');
  put(table, 0, 8, refcount_block * cluster_size);
  std::string counts(clusters * 2, '\0');
  for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) put(counts, cluster * 2, 2, 1);
  return {{{0, assemble(std::move(fixed), {}, header.backing, header.backing.file)},
           {refcount_table * cluster_size, table},
           {refcount_block * cluster_size, counts}},
          clusters * cluster_size};
}

Qcow2Header parse_qcow2(std::string_view beginning, const std::string& name) {
  Qcow2Header header;
  for (const Extension& extension : read_extensions(beginning, name))
    if (extension.type == backing_format) header.backing.format = extension.data;
  header.capacity = get64(beginning, at_capacity);
  const std::uint64_t offset = get64(beginning, at_backing_offset);
  const std::size_t size = get32(beginning, at_backing_size);
  if (offset == 0) return header;
  if (size > max_backing_name || offset > beginning.size() || size > beginning.size() - offset)
    throw damaged(name, "it has no room for the name of the image below");
  header.backing.file = beginning.substr(offset, size);
  return header;
}

std::string with_backing(std::string_view beginning, const Qcow2Backing& backing,
                         const std::string& name) {
  const std::vector<Extension> extensions = read_extensions(beginning, name);
  std::string fixed(beginning.substr(0, check_header(beginning, name)));
  return assemble(std::move(fixed), extensions, backing, name);
}

namespace {

std::string read_whole(const ReadImage& read, std::uint64_t offset, std::uint64_t length,
                       const std::string& name) {
  std::string bytes = read(offset, length);
  if (bytes.size() != length) throw damaged(name, "it ends too early");
  return bytes;
}

std::uint64_t cluster_size_of(std::string_view beginning, const std::string& name) {
  const std::uint32_t bits = get32(beginning, at_cluster_bits);
  if (bits < 9 || bits > 21) throw damaged(name, "its clusters are of an impossible size");
  return 1ULL << bits;
}

std::uint64_t capacity_of(std::string_view beginning, const std::string& name) {
  const std::uint64_t capacity = get64(beginning, at_capacity);
  if (capacity > 1ULL << 62) throw damaged(name, "it is impossibly large");
  return capacity;
}

// Of a table of 64-bit entries that the file must have room for.
std::string read_table(const ReadImage& read, std::uint64_t offset, std::uint64_t entries,
                       const std::string& name) {
  constexpr std::uint64_t most = 1 << 25;  // entries; QEMU's own limit of L1 is 2^22
  if (entries > most) throw damaged(name, "a table in it is too long");
  return read_whole(read, offset, entries * 8, name);
}

struct Bitmap {
  std::uint64_t table_offset;
  std::uint64_t clusters;     // entries of the table
  std::uint64_t granularity;  // bytes a bit stands for
};

// The only entry of the directory of bitmaps.
Bitmap find_bitmap(const ReadImage& read, std::string_view beginning, const std::string& name) {
  const std::vector<Extension> extensions = read_extensions(beginning, name);
  const auto found = std::ranges::find(extensions, bitmaps, &Extension::type);
  const bool is_valid = get64(beginning, at_autoclear_features) & bitmaps_are_valid;
  if (found == extensions.end() || found->data.size() < 24 || !is_valid ||
      get32(found->data, 0) != 1)
    throw damaged(name, "it has no bitmap");
  const std::string entry = read_whole(read, get64(found->data, 16), 24, name);
  const auto flags = get32(entry, 12);
  const auto type = get(entry, 16, 1), granularity_bits = get(entry, 17, 1);
  if (flags & 1) throw damaged(name, "its bitmap was not brought to its end");
  if (type != 1 || granularity_bits < 9 || granularity_bits > 31)
    throw damaged(name, "its bitmap is of an unknown kind");
  return {get64(entry, 0), get32(entry, 8), 1ULL << granularity_bits};
}

// `bits` as one number each, the lowest of a byte first, standing for `granularity` bytes from
// `offset` on.
void add_marked(std::vector<vmx::Area>& areas, std::string_view bits, std::uint64_t offset,
                std::uint64_t granularity) {
  for (std::size_t at = 0; at < bits.size(); ++at) {
    const auto byte = static_cast<unsigned char>(bits[at]);
    for (unsigned bit = 0; byte >> bit != 0; ++bit) {
      if (!(byte >> bit & 1)) continue;
      const std::uint64_t from = offset + (at * 8 + bit) * granularity;
      if (!areas.empty() && areas.back().end() == from)
        areas.back().length += granularity;
      else
        areas.push_back({from, granularity});
    }
  }
}

// Joins the cluster to the run before, where it goes on from there in disk and file.
void add_cluster(std::vector<Qcow2Run>& runs, std::uint64_t at, std::uint64_t size,
                 std::uint64_t l2_entry, const std::string& name) {
  if (l2_entry == 0) return;
  if (l2_entry & compressed_cluster)
    throw error(ErrorKind::unsupported, name, "{} has compressed clusters", name);
  const std::uint64_t offset = l2_entry & offset_mask;
  const bool is_zero = offset == 0 || l2_entry & zero_cluster;
  if (!runs.empty() && runs.back().from + runs.back().length == at) {
    Qcow2Run& before = runs.back();
    const bool goes_on = is_zero ? !before.offset : before.offset == offset - before.length;
    if (goes_on) {
      before.length += size;
      return;
    }
  }
  runs.push_back({at, size, is_zero ? std::nullopt : std::optional(offset)});
}

void clip(std::vector<Qcow2Run>& runs, std::uint64_t capacity) {
  while (!runs.empty() && runs.back().from >= capacity) runs.pop_back();
  if (runs.empty()) return;
  runs.back().length = std::min(runs.back().length, capacity - runs.back().from);
}

}  // namespace

std::vector<Qcow2Run> allocated_runs(const ReadImage& read, const std::string& name) {
  const std::string beginning = read(0, qcow2_header_size);
  check_header(beginning, name);
  if (get64(beginning, at_incompatible_features) & unreadable_features)
    throw error(ErrorKind::unsupported, name, "{} keeps its clusters in a way of its own", name);
  const std::uint64_t cluster = cluster_size_of(beginning, name);
  const std::uint64_t capacity = capacity_of(beginning, name);
  const std::uint64_t l2_entries = cluster / 8, reach = l2_entries * cluster;
  const std::string l1 =
      read_table(read, get64(beginning, at_l1_offset), (capacity + reach - 1) / reach, name);
  std::vector<Qcow2Run> runs;
  for (std::uint64_t table = 0; table * 8 < l1.size(); ++table) {
    const std::uint64_t offset = get64(l1, table * 8) & offset_mask;
    if (offset == 0) continue;
    const std::string l2 = read_table(read, offset, l2_entries, name);
    for (std::uint64_t entry = 0; entry < l2_entries; ++entry)
      add_cluster(runs, table * reach + entry * cluster, cluster, get64(l2, entry * 8), name);
  }
  clip(runs, capacity);
  return runs;
}

vmx::Areas allocated_areas(const ReadImage& read, const std::string& name) {
  std::vector<vmx::Area> areas;
  for (const Qcow2Run& run : allocated_runs(read, name)) areas.push_back({run.from, run.length});
  return vmx::united(std::move(areas));
}

vmx::Areas bitmap_areas(const ReadImage& read, const std::string& name) {
  const std::string beginning = read(0, qcow2_header_size);
  check_header(beginning, name);
  const Bitmap bitmap = find_bitmap(read, beginning, name);
  const std::uint64_t cluster = cluster_size_of(beginning, name);
  const std::uint64_t capacity = capacity_of(beginning, name);
  const std::uint64_t reach = cluster * 8 * bitmap.granularity;
  if (bitmap.clusters != (capacity + reach - 1) / reach)
    throw damaged(name, "its bitmap is of another size");
  const std::string table = read_table(read, bitmap.table_offset, bitmap.clusters, name);
  std::vector<vmx::Area> areas;
  for (std::uint64_t i = 0; i < bitmap.clusters; ++i) {
    const std::uint64_t entry = get64(table, i * 8), offset = entry & offset_mask;
    if (offset != 0)
      add_marked(areas, read_whole(read, offset, cluster, name), i * reach, bitmap.granularity);
    else if (entry & 1)
      areas.push_back({i * reach, reach});
  }
  return vmx::clipped(vmx::united(std::move(areas)), 0, capacity);
}

}  // namespace virga::datastore

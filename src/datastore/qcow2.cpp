#include "datastore/qcow2.h"

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
  at_refcount_order = 96,
  at_header_length = 100,
};

constexpr std::uint32_t end_of_extensions = 0;
constexpr std::uint32_t backing_format = 0xe2792aca;
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

}  // namespace virga::datastore

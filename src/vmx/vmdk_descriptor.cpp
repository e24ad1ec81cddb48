#include "vmx/vmdk_descriptor.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "base/uuid.h"
#include "vmx/machine_config.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

constexpr std::string_view signature = "# disk descriptorfile";
constexpr std::size_t max_extents = 4096;

struct AdapterWord {
  AdapterType type;
  std::string_view text;
};
constexpr AdapterWord adapter_words[] = {{AdapterType::ide, "ide"},
                                         {AdapterType::bus_logic, "buslogic"},
                                         {AdapterType::lsi_logic, "lsilogic"},
                                         {AdapterType::pvscsi, "pvscsi"}};

struct AccessWord {
  Extent::Access access;
  std::string_view text;
};
constexpr AccessWord access_words[] = {{Extent::Access::read_write, "RW"},
                                       {Extent::Access::read_only, "RDONLY"},
                                       {Extent::Access::none, "NOACCESS"}};

// The text up to the next blank, taken off `rest`.
std::string_view take_word(std::string_view& rest) {
  rest = trim(rest);
  const std::size_t end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

// A text in quotes, taken off `rest`; nullopt when there is none.
std::optional<std::string> take_quoted(std::string_view& rest) {
  rest = trim(rest);
  const std::size_t closing = rest.find('"', 1);
  if (!rest.starts_with('"') || closing == std::string_view::npos) return std::nullopt;
  const std::string quoted(rest.substr(1, closing - 1));
  rest.remove_prefix(closing + 1);
  return quoted;
}

std::optional<Extent::Access> access_from(std::string_view word) {
  for (const AccessWord& it : access_words)
    if (it.text == word) return it.access;
  return std::nullopt;
}

// RW 41943040 VMFS "web01-flat.vmdk" 0; nullopt when the line is not of that form.
std::optional<Extent> parse_extent(std::string_view line) {
  const auto access = access_from(take_word(line));
  const auto sectors = parse_unsigned(take_word(line));
  Extent extent;
  extent.type = take_word(line);
  if (!access || !sectors || *sectors > max_disk_sectors || extent.type.empty())
    return std::nullopt;
  extent.access = *access;
  extent.sectors = *sectors;
  if (extent.type != "ZERO") {
    auto file = take_quoted(line);
    if (!file || file->empty()) return std::nullopt;
    extent.file = std::move(*file);
  }
  // Extents on whole devices have more behind the offset: partition uuids and device names.
  if (const std::string_view offset = take_word(line); !offset.empty()) {
    extent.offset = parse_unsigned(offset);
    if (!extent.offset || *extent.offset > max_disk_sectors) return std::nullopt;
  }
  return extent;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  VmdkDescriptor parse();

 private:
  Error damaged(std::string_view what) const {
    return error(ErrorKind::damaged, name_, "{}, line {}: {}", name_, number_, what);
  }
  void line(std::string_view text);
  void header(std::string_view key, std::string value);
  void database(std::string_view key, std::string value);
  void check();

  std::uint64_t number(std::string_view value, int base, std::uint64_t most) const {
    const auto parsed = parse_unsigned(value, base);
    if (!parsed || *parsed > most) throw damaged("the value is no number, or out of range");
    return *parsed;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t number_ = 0;
  VmdkDescriptor descriptor_;
  bool has_version_ = false;
  std::optional<std::uint64_t> cylinders_, heads_, sectors_;
};

VmdkDescriptor Parser::parse() {
  if (text_.size() > VmdkDescriptor::max_size)
    throw error(ErrorKind::damaged, name_, "{} is larger than {} bytes", name_,
                VmdkDescriptor::max_size);
  text_ = text_.substr(0, text_.find('\0'));
  if (!is_utf8(text_)) throw error(ErrorKind::damaged, name_, "{} is not text", name_);
  descriptor_.create_type.clear();
  for (std::string_view rest = text_; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    ++number_;
    line(trim(rest.substr(0, end)));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  check();
  return std::move(descriptor_);
}

void Parser::line(std::string_view text) {
  if (text.empty() || text.front() == '#') return;
  std::string_view rest = text;
  if (access_from(take_word(rest))) {
    auto extent = parse_extent(text);
    if (!extent) throw damaged("the extent is not of the form ACCESS SECTORS TYPE \"FILE\" OFFSET");
    if (descriptor_.extents.size() == max_extents) throw damaged("too many extents");
    descriptor_.extents.push_back(std::move(*extent));
    return;
  }
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) throw damaged("neither an extent nor KEY=VALUE");
  const std::string_view key = trim(text.substr(0, equals));
  std::string_view value = trim(text.substr(equals + 1));
  if (key.empty() || key.find('"') != std::string_view::npos) throw damaged("not a key");
  if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"'))
    value = value.substr(1, value.size() - 2);
  if (value.find('"') != std::string_view::npos) throw damaged("the quotes do not match");
  if (starts_with_ignoring_case(key, "ddb."))
    database(key, std::string(value));
  else
    header(key, std::string(value));
}

void Parser::header(std::string_view key, std::string value) {
  constexpr std::uint64_t most_id = 0xffffffff;
  const auto is = [&](std::string_view known) { return equal_ignoring_case(key, known); };
  if (is("version")) {
    descriptor_.version = static_cast<int>(number(value, 10, 99));
    has_version_ = true;
  } else if (is("CID")) {
    descriptor_.cid = static_cast<std::uint32_t>(number(value, 16, most_id));
  } else if (is("parentCID")) {
    descriptor_.parent_cid = static_cast<std::uint32_t>(number(value, 16, most_id));
  } else if (is("createType")) {
    descriptor_.create_type = std::move(value);
  } else if (is("parentFileNameHint")) {
    descriptor_.parent_file = std::move(value);
  } else if (is("changeTrackPath")) {
    descriptor_.change_track_file = std::move(value);
  } else if (!is("encoding")) {
    descriptor_.other_header.push_back({std::string(key), std::move(value)});
  }
}

void Parser::database(std::string_view key, std::string value) {
  const auto is = [&](std::string_view known) { return equal_ignoring_case(key, known); };
  constexpr std::uint64_t most = 0xffffffff;
  if (is("ddb.adapterType") && adapter_type_from(value)) {
    descriptor_.adapter = adapter_type_from(value);
  } else if (is("ddb.geometry.cylinders")) {
    cylinders_ = number(value, 10, max_disk_sectors);
  } else if (is("ddb.geometry.heads")) {
    heads_ = number(value, 10, most);
  } else if (is("ddb.geometry.sectors")) {
    sectors_ = number(value, 10, most);
  } else if (is("ddb.virtualHWVersion")) {
    descriptor_.hardware_version = static_cast<int>(number(value, 10, 1000));
  } else if (is("ddb.uuid")) {
    descriptor_.uuid = std::move(value);
  } else if (is("ddb.thinProvisioned")) {
    descriptor_.thin = value == "1" || equal_ignoring_case(value, "true");
  } else if (is("ddb.longContentID")) {
    descriptor_.long_content_id = std::move(value);
  } else {
    descriptor_.other_ddb.push_back({std::string(key), std::move(value)});
  }
}

void Parser::check() {
  const auto torn = [&](std::string_view what) {
    return error(ErrorKind::damaged, name_, "{} {}", name_, what);
  };
  if (!has_version_) throw torn("has no version");
  if (descriptor_.create_type.empty()) throw torn("has no createType");
  if (descriptor_.extents.empty()) throw torn("names no extent");
  if (cylinders_ || heads_ || sectors_)
    descriptor_.geometry =
        Geometry{cylinders_.value_or(0), static_cast<unsigned>(heads_.value_or(0)),
                 static_cast<unsigned>(sectors_.value_or(0))};
}

}  // namespace

std::string_view to_string(AdapterType type) {
  for (const AdapterWord& word : adapter_words)
    if (word.type == type) return word.text;
  return {};
}

std::optional<AdapterType> adapter_type_from(std::string_view text) {
  for (const AdapterWord& word : adapter_words)
    if (equal_ignoring_case(word.text, text)) return word.type;
  return std::nullopt;
}

Geometry geometry_for(std::uint64_t capacity_sectors, AdapterType adapter) {
  constexpr std::uint64_t gib = (1ULL << 30) / sector_size;
  Geometry geometry{0, 255, 63};
  if (adapter == AdapterType::ide)
    geometry = {0, 16, 63};
  else if (capacity_sectors < gib)
    geometry = {0, 64, 32};
  else if (capacity_sectors < 2 * gib)
    geometry = {0, 128, 32};
  geometry.cylinders = capacity_sectors / (geometry.heads * geometry.sectors);
  if (adapter == AdapterType::ide)
    geometry.cylinders = std::min<std::uint64_t>(geometry.cylinders, 16383);
  return geometry;
}

std::uint64_t VmdkDescriptor::capacity_sectors() const {
  std::uint64_t sum = 0;
  for (const Extent& extent : extents) sum += extent.sectors;
  return sum;
}

VmdkDescriptor VmdkDescriptor::parse(std::string_view text, const std::string& name) {
  return Parser(text, name).parse();
}

std::string VmdkDescriptor::serialise() const {
  std::string text = "# Disk DescriptorFile\n";
  const auto header = [&](std::string_view key, std::string_view value) {
    text += fmt::format("{}=\"{}\"\n", key, value);
  };
  text += fmt::format("version={}\nencoding=\"UTF-8\"\nCID={:08x}\nparentCID={:08x}\n", version,
                      cid, parent_cid);
  for (const Entry& entry : other_header) header(entry.key, entry.value);
  header("createType", create_type);
  if (!parent_file.empty()) header("parentFileNameHint", parent_file);

  text += "\n# Extent description\n";
  for (const Extent& extent : extents) {
    const auto word =
        std::find_if(std::begin(access_words), std::end(access_words),
                     [&](const AccessWord& it) { return it.access == extent.access; });
    text += fmt::format("{} {} {}", word->text, extent.sectors, extent.type);
    if (!extent.file.empty()) text += fmt::format(" \"{}\"", extent.file);
    if (extent.offset) text += fmt::format(" {}", *extent.offset);
    text += '\n';
  }

  if (!change_track_file.empty()) {
    text += "\n# Change Tracking File\n";
    header("changeTrackPath", change_track_file);
  }

  text += "\n# The Disk Data Base\n#DDB\n\n";
  const auto database = [&](std::string_view key, std::string_view value) {
    text += fmt::format("{} = \"{}\"\n", key, value);
  };
  if (adapter) database("ddb.adapterType", to_string(*adapter));
  if (geometry) {
    database("ddb.geometry.cylinders", std::to_string(geometry->cylinders));
    database("ddb.geometry.heads", std::to_string(geometry->heads));
    database("ddb.geometry.sectors", std::to_string(geometry->sectors));
  }
  if (!long_content_id.empty()) database("ddb.longContentID", long_content_id);
  if (thin) database("ddb.thinProvisioned", "1");
  if (!uuid.empty()) database("ddb.uuid", uuid);
  if (hardware_version) database("ddb.virtualHWVersion", std::to_string(*hardware_version));
  for (const Entry& entry : other_ddb) database(entry.key, entry.value);
  return text;
}

bool looks_like_descriptor(std::string_view beginning) {
  return starts_with_ignoring_case(trim(beginning), signature);
}

std::string make_disk_uuid() {
  return vmdk_disk_uuid("6000c29" + random_hex(13).substr(1));
}

std::string vmdk_disk_uuid(std::string_view text) {
  std::string uuid = vmx_uuid(text);
  if (uuid.starts_with("60 00 c2 9")) uuid[6] = 'C';
  return uuid;
}

std::string api_disk_uuid(std::string_view text) {
  std::string uuid = canonical_uuid(text);
  if (uuid.starts_with("6000c29")) uuid[4] = 'C';
  return uuid;
}

}  // namespace virga::vmx

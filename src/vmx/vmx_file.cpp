#include "vmx/vmx_file.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

constexpr std::string_view encoding_key = ".encoding";
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_key(std::string_view key) {
  const auto forbidden = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '=' || c == '"' || c == '#';
  };
  return !key.empty() && key.size() <= VmxFile::max_key && trim(key) == key && is_utf8(key) &&
         std::none_of(key.begin(), key.end(), forbidden);
}

// What stands after the '=': quoted, or bare up to a comment. nullopt when it is neither.
std::optional<std::string> parse_value(std::string_view text) {
  if (!text.starts_with('"')) {
    const std::string_view bare = trim(text.substr(0, text.find('#')));
    if (bare.find('"') != std::string_view::npos) return std::nullopt;
    return unescape_value(bare);
  }
  const std::size_t closing = text.find('"', 1);
  if (closing == std::string_view::npos) return std::nullopt;
  const std::string_view rest = trim(text.substr(closing + 1));
  if (!rest.empty() && rest.front() != '#') return std::nullopt;
  return unescape_value(text.substr(1, closing - 1));
}

// Calls `take(raw line, number)` for every line, its end included.
template <class Take>
void for_each_line(std::string_view text, Take take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    take(text.substr(0, length), number);
    text.remove_prefix(length);
  }
}

// The encoding a text declares; empty when it declares none. Every encoding VMware's products write
// has ASCII in its place, so that the line reads the same in all of them.
std::string declared_encoding(std::string_view text) {
  std::string encoding;
  for_each_line(text, [&](std::string_view raw, std::size_t) {
    const std::size_t equals = raw.find('=');
    if (equals == std::string_view::npos) return;
    if (!equal_ignoring_case(trim(raw.substr(0, equals)), encoding_key)) return;
    encoding = parse_value(trim(raw.substr(equals + 1))).value_or("");
  });
  return encoding;
}

bool is_named_utf8(std::string_view encoding) {
  return equal_ignoring_case(encoding, "UTF-8") || equal_ignoring_case(encoding, "UTF8");
}

std::string decode(std::string_view text, const std::string& encoding, const std::string& name) {
  const bool is_western = encoding.empty() || equal_ignoring_case(encoding, "windows-1252") ||
                          equal_ignoring_case(encoding, "ISO-8859-1");
  if (is_utf8(text) && (encoding.empty() || is_named_utf8(encoding) || is_ascii(text)))
    return std::string(text);
  if (is_named_utf8(encoding) || text.starts_with(byte_order_mark))
    throw error(ErrorKind::damaged, name, "{} is not the UTF-8 it says it is", name);
  if (!is_western)
    throw error(ErrorKind::unsupported, name, "{} is written in {}, which is not supported", name,
                encoding);
  return utf8_from_windows_1252(text);
}

}  // namespace

std::string escape_value(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '#' || c == '|')
      out += fmt::format("|{:02X}", byte);
    else
      out += c;
  }
  return out;
}

std::string unescape_value(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const int high = text[at] == '|' && at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[at + 2]) : -1;
    if (low < 0) {
      out += text[at];
    } else {
      out += static_cast<char>(high << 4 | low);
      at += 2;
    }
  }
  return out;
}

VmxFile::VmxFile() {
  set(encoding_key, "UTF-8");
}

VmxFile VmxFile::parse(std::string_view text, const std::string& name) {
  if (text.size() > max_size)
    throw error(ErrorKind::damaged, name, "{} is larger than {} bytes", name, max_size);
  const std::string encoding = declared_encoding(text);
  const std::string decoded = decode(text, encoding, name);

  VmxFile file;
  file.name_ = name;
  file.lines_.clear();
  file.index_.clear();
  file.size_ = 0;
  for_each_line(decoded, [&](std::string_view raw, std::size_t number) {
    file.append(parse_line(raw, number, name));
    if (file.index_.size() > max_entries)
      throw error(ErrorKind::damaged, name, "{}, line {}: too many entries", name, number);
  });
  if (!file.lines_.empty() && file.lines_.front().raw.ends_with("\r\n")) file.line_end_ = "\r\n";
  const bool has_other_encoding = !encoding.empty() && !is_named_utf8(encoding);
  if (has_other_encoding || decoded != text) file.set(encoding_key, "UTF-8");
  return file;
}

VmxFile::Line VmxFile::parse_line(std::string_view raw, std::size_t number,
                                  const std::string& name) {
  const auto damaged = [&](std::string_view what) {
    return error(ErrorKind::damaged, name, "{}, line {}: {}", name, number, what);
  };
  if (raw.find('\0') != std::string_view::npos) throw damaged("a zero byte");
  std::string_view content = raw;
  if (number == 1 && content.starts_with(byte_order_mark))
    content.remove_prefix(byte_order_mark.size());
  content = trim(content);
  if (content.empty() || content.front() == '#') return {std::string(raw), {}, {}};
  const std::size_t equals = content.find('=');
  if (equals == std::string_view::npos) throw damaged("no '=' after the key");
  const std::string_view key = trim(content.substr(0, equals));
  if (!is_key(key)) throw damaged("what stands before the '=' is no key");
  const auto value = parse_value(trim(content.substr(equals + 1)));
  if (!value) throw damaged("the value's quotes do not match");
  if (!is_utf8(*value)) throw damaged("the value is not UTF-8");
  if (value->find('\0') != std::string::npos) throw damaged("a zero byte in the value");
  return {std::string(raw), std::string(key), *value};
}

std::string VmxFile::serialise() const {
  std::string text;
  text.reserve(size_);
  for (const Line& line : lines_) text += line.raw;
  return text;
}

void VmxFile::append(Line line) {
  if (!lines_.empty() && !lines_.back().raw.ends_with('\n')) {
    lines_.back().raw += line_end_;
    size_ += line_end_.size();
  }
  size_ += line.raw.size();
  if (!line.key.empty()) index_[to_lower(line.key)] = lines_.size();
  lines_.push_back(std::move(line));
}

void VmxFile::replace(std::size_t at, Line line) {
  size_ += line.raw.size() - lines_[at].raw.size();
  lines_[at] = std::move(line);
}

void VmxFile::prepend(Line line) {
  if (!lines_.empty() && lines_.front().raw.starts_with(byte_order_mark)) {
    lines_.front().raw.erase(0, byte_order_mark.size());
    size_ -= byte_order_mark.size();
  }
  size_ += line.raw.size();
  lines_.insert(lines_.begin(), std::move(line));
  reindex();
}

void VmxFile::reindex() {
  index_.clear();
  for (std::size_t i = 0; i < lines_.size(); ++i)
    if (!lines_[i].key.empty()) index_[to_lower(lines_[i].key)] = i;
}

bool VmxFile::contains(std::string_view key) const {
  return index_.contains(to_lower(key));
}

std::optional<std::string> VmxFile::get(std::string_view key) const {
  const auto found = index_.find(to_lower(key));
  if (found == index_.end()) return std::nullopt;
  return lines_[found->second].value;
}

std::string VmxFile::get_or(std::string_view key, std::string_view otherwise) const {
  return get(key).value_or(std::string(otherwise));
}

std::optional<bool> VmxFile::get_bool(std::string_view key) const {
  const auto value = get(key);
  if (!value || value->empty()) return std::nullopt;
  const std::string word = to_lower(trim(*value));
  for (const std::string_view yes : {"true", "yes", "on", "1"})
    if (word == yes) return true;
  for (const std::string_view no : {"false", "no", "off", "0"})
    if (word == no) return false;
  throw error(ErrorKind::damaged, name_, "{}: {} = \"{}\" is neither TRUE nor FALSE", name_, key,
              *value);
}

std::optional<std::int64_t> VmxFile::get_int(std::string_view key) const {
  const auto value = get(key);
  if (!value || value->empty()) return std::nullopt;
  if (const auto number = parse_int(trim(*value))) return number;
  throw error(ErrorKind::damaged, name_, "{}: {} = \"{}\" is not a number", name_, key, *value);
}

void VmxFile::set(std::string_view key, std::string_view value) {
  if (!is_key(key))
    throw error(ErrorKind::invalid_argument, std::string(key), "\"{}\" cannot be a key", key);
  if (!is_utf8(value) || value.find('\0') != std::string_view::npos)
    throw error(ErrorKind::invalid_argument, std::string(key), "the value of {} is not text", key);

  const auto found = index_.find(to_lower(key));
  const bool is_new = found == index_.end();
  if (!is_new && lines_[found->second].value == value) return;
  const std::string spelt = is_new ? std::string(key) : lines_[found->second].key;
  Line line{fmt::format("{} = \"{}\"{}", spelt, escape_value(value), line_end_), spelt,
            std::string(value)};
  if (size_ + line.raw.size() > max_size || (is_new && index_.size() == max_entries))
    throw error(ErrorKind::invalid_argument, std::string(key), "{} does not hold {} too", name_,
                key);

  const bool is_encoding = equal_ignoring_case(key, encoding_key);
  if (!is_new) {
    replace(found->second, std::move(line));
  } else if (is_encoding) {
    prepend(std::move(line));
  } else {
    append(std::move(line));
  }
  // VMware reads text beyond ASCII right only when the encoding is said, and said in front.
  if (!is_encoding && !is_ascii(value) && !contains(encoding_key)) set(encoding_key, "UTF-8");
}

void VmxFile::set_bool(std::string_view key, bool value) {
  set(key, value ? "TRUE" : "FALSE");
}

void VmxFile::set_int(std::string_view key, std::int64_t value) {
  set(key, std::to_string(value));
}

std::size_t VmxFile::erase_if(const std::function<bool(std::string_view key)>& doomed) {
  const std::size_t erased = std::erase_if(
      lines_, [&](const Line& line) { return !line.key.empty() && doomed(line.key); });
  if (erased == 0) return 0;
  reindex();
  size_ = 0;
  for (const Line& line : lines_) size_ += line.raw.size();
  return erased;
}

bool VmxFile::erase(std::string_view key) {
  return contains(key) &&
         erase_if([&](std::string_view other) { return equal_ignoring_case(other, key); }) > 0;
}

std::size_t VmxFile::erase_prefix(std::string_view prefix) {
  return erase_if([&](std::string_view key) { return starts_with_ignoring_case(key, prefix); });
}

std::vector<VmxFile::Entry> VmxFile::entries(std::string_view prefix) const {
  std::vector<Entry> found;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    if (line.key.empty() || !starts_with_ignoring_case(line.key, prefix)) continue;
    if (index_.at(to_lower(line.key)) == i) found.push_back({line.key, line.value});
  }
  return found;
}

}  // namespace virga::vmx

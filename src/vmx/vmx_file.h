// The dictionary text VMware's products keep a VM's configuration in (.vmx, .vmtx, .vmsd, .vmxf's
// neighbours): lines `key = "value"`, comments from '#', blank lines.
//
// Everything the caller does not touch goes out byte for byte as it came in: order, comments,
// spacing, unknown keys, line ends. Keys ignore ASCII case. Of a key that stands more than once the
// last line counts, as it does for VMware.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace virga::vmx {

class VmxFile {
 public:
  struct Entry {
    std::string key;    // as the file spells it
    std::string value;  // UTF-8, unescaped

    bool operator==(const Entry&) const = default;
  };

  static constexpr std::size_t max_size = 8 << 20;    // bytes of text
  static constexpr std::size_t max_entries = 65'536;  // ESXi's own files have some hundreds
  static constexpr std::size_t max_key = 1024;        // bytes

  // An empty dictionary whose first line will be `.encoding = "UTF-8"`.
  VmxFile();

  // `name` is what errors call the file. Throws ErrorKind::damaged naming the line, and
  // ErrorKind::unsupported for text in an encoding other than UTF-8 and windows-1252.
  static VmxFile parse(std::string_view text, const std::string& name);

  // Always UTF-8: text that came in another encoding leaves with `.encoding` set to "UTF-8".
  std::string serialise() const;

  const std::string& name() const { return name_; }

  bool contains(std::string_view key) const;
  std::optional<std::string> get(std::string_view key) const;
  std::string get_or(std::string_view key, std::string_view otherwise) const;

  // nullopt when the key is absent or empty; ErrorKind::damaged, naming file, key and value, when
  // the value is not of the type.
  std::optional<bool> get_bool(std::string_view key) const;  // TRUE/FALSE, YES/NO, ON/OFF, 1/0
  std::optional<std::int64_t> get_int(std::string_view key) const;

  // Rewrites the line that counts, or appends one. Throws ErrorKind::invalid_argument for a key no
  // .vmx can hold, a value that is not UTF-8, and what would pass the limits above.
  void set(std::string_view key, std::string_view value);
  void set_bool(std::string_view key, bool value);
  void set_int(std::string_view key, std::int64_t value);

  // Removes every line of the key; false when there was none.
  bool erase(std::string_view key);
  // Removes every line whose key starts with `prefix`, and returns how many.
  std::size_t erase_prefix(std::string_view prefix);

  // The entries that count, in the file's order; all of them for the empty prefix.
  std::vector<Entry> entries(std::string_view prefix = {}) const;

 private:
  struct Line {
    std::string raw;  // with its line end
    std::string key;  // empty for comments and blank lines
    std::string value;
  };

  static Line parse_line(std::string_view raw, std::size_t number, const std::string& name);
  void append(Line line);
  void replace(std::size_t at, Line line);
  void prepend(Line line);
  void reindex();
  std::size_t erase_if(const std::function<bool(std::string_view key)>& doomed);

  std::string name_ = "configuration";
  std::vector<Line> lines_;
  std::unordered_map<std::string, std::size_t> index_;  // lower-case key → the line that counts
  std::string line_end_ = "\n";
  std::size_t size_ = 0;
};

// VMware's escape in dictionary values: control characters, '"', '#' and '|' become |XX.
std::string escape_value(std::string_view value);
std::string unescape_value(std::string_view text);

}  // namespace virga::vmx

// "[datastore] folder/file": how the vSphere API and its users name a file.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <utility>

namespace virga::vmx {

// Always normal: `path()` is relative to the datastore's root, with single slashes, none at either
// end, no "." or ".." component, and empty for the root itself. It cannot name anything outside.
class DatastorePath {
 public:
  static constexpr std::size_t max_path = 2048;      // bytes
  static constexpr std::size_t max_component = 255;  // bytes: NAME_MAX
  static constexpr std::size_t max_datastore = 80;   // bytes: the longest inventory name

  // "[name] folder/file", "[name]folder/file", "[name]" and "[name] " (the root). Throws
  // ErrorKind::invalid_argument naming what is wrong: no brackets, "..", an absolute path, a
  // control character, text that is not UTF-8, something too long.
  static DatastorePath parse(std::string_view text);

  // From parts already taken apart; the same rules.
  DatastorePath(std::string_view datastore, std::string_view path);

  const std::string& datastore() const { return datastore_; }
  const std::string& path() const { return path_; }
  bool is_root() const { return path_.empty(); }

  std::string name() const;       // the last component; empty for the root
  std::string stem() const;       // name() without its extension: "web01" of "web01.vmx"
  std::string extension() const;  // lower case, with the dot: ".vmx"; empty when there is none
  DatastorePath parent() const;   // the root's is the root
  // The path `relative` names from this folder; it may contain slashes, never "..".
  DatastorePath operator/(std::string_view relative) const;
  // The file of that name beside this one.
  DatastorePath sibling(std::string_view name) const { return parent() / name; }
  // This is `folder` or lies below it.
  bool is_within(const DatastorePath& folder) const;

  std::string format() const;         // "[name] folder/file", "[name]" for the root
  std::string format_folder() const;  // as search results name a folder: "[name] folder/"

  auto operator<=>(const DatastorePath&) const = default;

 private:
  std::string datastore_;
  std::string path_;
};

// Puts a relative path into its normal form (see above), by the same rules.
std::string normalise_relative_path(std::string_view path);

// What a datastore may be called: 1 to 80 bytes of UTF-8 without control characters, '/', '\', '['
// and ']'. Throws ErrorKind::invalid_argument.
void check_datastore_name(std::string_view name);

}  // namespace virga::vmx

#include "vmx/datastore_path.h"

#include <algorithm>

#include "base/error.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

Error refusal(std::string_view text, std::string_view why) {
  return error(ErrorKind::invalid_argument, std::string(text), "\"{}\" {}", text, why);
}

void check_text(std::string_view text) {
  const bool has_control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  // Not quoted in full: the text may be anything.
  if (has_control || !is_utf8(text))
    throw error(ErrorKind::invalid_argument, "path",
                "a datastore path holds a control character, or is not UTF-8");
}

}  // namespace

void check_datastore_name(std::string_view name) {
  check_text(name);
  if (name.empty() || trim(name) != name) throw refusal(name, "is no name for a datastore");
  if (name.size() > DatastorePath::max_datastore)
    throw refusal(name, "is too long for a datastore's name");
  if (name.find_first_of("/\\[]") != std::string_view::npos)
    throw refusal(name, "holds a character no datastore's name may");
}

std::string normalise_relative_path(std::string_view path) {
  check_text(path);
  if (path.size() > DatastorePath::max_path)
    throw error(ErrorKind::invalid_argument, "path", "a datastore path is longer than {} bytes",
                DatastorePath::max_path);
  if (path.starts_with('/')) throw refusal(path, "is an absolute path");
  std::string normal;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    at = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..") throw refusal(path, "leads upwards");
    if (component.size() > DatastorePath::max_component)
      throw refusal(path, "has a component that is too long");
    if (!normal.empty()) normal += '/';
    normal += component;
  }
  return normal;
}

DatastorePath DatastorePath::parse(std::string_view text) {
  if (text.size() > max_path + max_datastore + 3)
    throw error(ErrorKind::invalid_argument, "path", "a datastore path is too long");
  check_text(text);
  const std::size_t closing = text.find(']');
  if (!text.starts_with('[') || closing == std::string_view::npos)
    throw refusal(text, "does not start with a datastore's name in brackets");
  std::string_view path = text.substr(closing + 1);
  path.remove_prefix(std::min(path.find_first_not_of(' '), path.size()));
  return DatastorePath(text.substr(1, closing - 1), path);
}

DatastorePath::DatastorePath(std::string_view datastore, std::string_view path)
    : datastore_(datastore), path_(normalise_relative_path(path)) {
  check_datastore_name(datastore);
  // The text form could not tell the space before the path from one at its start.
  if (path_.starts_with(' ')) throw refusal(path, "starts with a space");
}

std::string DatastorePath::name() const {
  return path_.substr(path_.rfind('/') + 1);
}

std::string DatastorePath::stem() const {
  const std::string last = name();
  const std::size_t dot = last.rfind('.');
  return dot == 0 ? last : last.substr(0, dot);
}

std::string DatastorePath::extension() const {
  return to_lower(name().substr(stem().size()));
}

DatastorePath DatastorePath::parent() const {
  const std::size_t slash = path_.rfind('/');
  return DatastorePath(datastore_, slash == std::string::npos ? "" : path_.substr(0, slash));
}

DatastorePath DatastorePath::operator/(std::string_view relative) const {
  if (relative.starts_with('/')) throw refusal(relative, "is an absolute path");
  if (is_root()) return DatastorePath(datastore_, relative);
  return DatastorePath(datastore_, fmt::format("{}/{}", path_, relative));
}

bool DatastorePath::is_within(const DatastorePath& folder) const {
  if (datastore_ != folder.datastore_) return false;
  if (folder.is_root() || path_ == folder.path_) return true;
  return path_.starts_with(folder.path_ + "/");
}

std::string DatastorePath::format() const {
  return is_root() ? fmt::format("[{}]", datastore_) : fmt::format("[{}] {}", datastore_, path_);
}

std::string DatastorePath::format_folder() const {
  return is_root() ? format() : format() + "/";
}

}  // namespace virga::vmx

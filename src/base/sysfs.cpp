#include "base/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace virga {
namespace {

bool is_pci_address(const std::string& name) {
  return name.size() == 12 && name[4] == ':' && name[7] == ':' && name[10] == '.';
}

}  // namespace

std::string read_text(const fs::path& path) {
  try {
    std::string text = read_file(path);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
    return text;
  } catch (const Error&) {
    return {};
  }
}

std::uint64_t read_number(const fs::path& path, int base) {
  try {
    return std::stoull(read_text(path), nullptr, base);
  } catch (const std::exception&) {
    return 0;
  }
}

void write_attribute(const fs::path& path, const std::string& text) {
  const Fd fd = open_file(path, O_WRONLY);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw system_error(path.string(), "cannot write to");
}

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> all;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory, code)) all.push_back(entry.path());
  std::ranges::sort(all);
  return all;
}

std::string link_target_name(const fs::path& link) {
  std::error_code code;
  return fs::read_symlink(link, code).filename();
}

std::string pci_address_of(const fs::path& device) {
  std::error_code code;
  std::string address;
  for (const fs::path& part : fs::canonical(device, code))
    if (is_pci_address(part)) address = part;
  return address;
}

}  // namespace virga

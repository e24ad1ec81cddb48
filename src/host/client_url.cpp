#include "host/client_url.h"

#include <fmt/format.h>

#include <cstdlib>

namespace virga::host {
namespace {
constexpr int usual_port = 443;
}

std::pair<std::string, int> split_authority(const std::string& authority) {
  const auto colon = authority.rfind(':');
  if (colon == std::string::npos || authority.find(']', colon) != std::string::npos)
    return {authority, usual_port};
  return {authority.substr(0, colon), std::atoi(authority.c_str() + colon + 1)};
}

std::string client_url(const std::string& authority) {
  const int port = split_authority(authority).second;
  return port == usual_port ? "https://*" : fmt::format("https://*:{}", port);
}

}  // namespace virga::host

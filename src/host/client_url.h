// Addresses of a host's own that an answer names.
#pragma once

#include <string>
#include <utility>

namespace virga::host {

// "10.0.0.1:8444" and "[::1]:8444" into host and port, 443 where none stands.
std::pair<std::string, int> split_authority(const std::string& authority);

// "https://*:8444", for a client that reached the host at `authority`: clients of the API put the
// name by which they know the host in the star's place.
std::string client_url(const std::string& authority);

}  // namespace virga::host

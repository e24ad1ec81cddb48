#include "host/serial_uri.h"

#include "base/error.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

bool is_secure(std::string_view scheme) {
  return scheme == "telnets" || scheme == "ssl" || scheme == "tcp+ssl" || scheme == "telnet+ssl";
}

}  // namespace

hypervisor::NetworkLine parse_serial_uri(const std::string& uri, bool server) {
  const auto refuse = [&](std::string_view why) {
    return error(ErrorKind::invalid_argument, uri, "'{}' is no place for a serial port: {}", uri,
                 why);
  };
  const auto colon = uri.find("://");
  if (colon == std::string::npos) throw refuse("it is not like telnet://host:port");
  const std::string scheme = vmx::to_lower(std::string_view(uri).substr(0, colon));
  if (is_secure(scheme))
    throw error(ErrorKind::unsupported, uri, "a serial port with TLS ({})", uri);
  if (scheme != "tcp" && scheme != "telnet") throw refuse("its scheme is neither tcp nor telnet");
  std::string_view place = std::string_view(uri).substr(colon + 3);
  if (place.ends_with('/')) place.remove_suffix(1);
  const auto last = place.rfind(':');
  if (last == std::string_view::npos) throw refuse("it has no port");
  const auto port = vmx::parse_unsigned(place.substr(last + 1));
  if (!port || *port < 1 || *port > 65'535) throw refuse("its port is not within 1 and 65535");
  std::string_view host = place.substr(0, last);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string_view::npos)
    throw refuse("an IPv6 address stands in brackets");
  if (host.find_first_of("/@?# ,[]") != std::string_view::npos) throw refuse("it names no host");
  if (host.empty() && !server) throw refuse("a client calls a host");
  return {.host = std::string(host),
          .port = static_cast<int>(*port),
          .server = server,
          .telnet = scheme == "telnet"};
}

}  // namespace virga::host

#include "host/serial_uri.h"

#include <algorithm>

#include "base/error.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

struct Scheme {
  std::string_view name;
  bool telnet = false, secure = false;
};
constexpr Scheme kSchemes[] = {{"tcp"},
                               {"telnet", true},
                               {"ssl", false, true},
                               {"tcp+ssl", false, true},
                               {"telnets", true, true}};
constexpr std::string_view kUnservedSchemes[] = {"tcp4", "tcp6", "tcp4+ssl", "tcp6+ssl"};

class Parser {
 public:
  Parser(const std::string& uri, bool server) : uri_(uri) { line_.server = server; }

  hypervisor::NetworkLine parse() {
    const auto colon = uri_.find("://");
    if (colon == std::string::npos) throw refusal("it is not like telnet://host:port");
    parse_scheme(vmx::to_lower(std::string_view(uri_).substr(0, colon)));
    const std::string_view rest = std::string_view(uri_).substr(colon + 3);
    const auto mark = rest.find('#');
    parse_place(rest.substr(0, mark));
    if (mark != std::string_view::npos) parse_parameters(rest.substr(mark + 1));
    return std::move(line_);
  }

 private:
  Error refusal(std::string_view why) const {
    return error(ErrorKind::invalid_argument, uri_, "'{}' is no place for a serial port: {}", uri_,
                 why);
  }
  Error unserved(std::string_view what) const {
    return error(ErrorKind::unsupported, uri_, "{} of a serial port ({})", what, uri_);
  }

  void parse_scheme(const std::string& word) {
    if (std::ranges::find(kUnservedSchemes, word) != std::end(kUnservedSchemes))
      throw unserved("the scheme " + word);
    const auto scheme = std::ranges::find(kSchemes, word, &Scheme::name);
    if (scheme == std::end(kSchemes))
      throw refusal("its scheme is none of tcp, telnet, ssl, tcp+ssl and telnets");
    line_.telnet = scheme->telnet;
    if (scheme->secure) line_.security.emplace();
  }

  void parse_place(std::string_view place) {
    if (place.ends_with('/')) place.remove_suffix(1);
    const auto last = place.rfind(':');
    if (last == std::string_view::npos) throw refusal("it has no port");
    const auto port = vmx::parse_unsigned(place.substr(last + 1));
    if (!port || *port < 1 || *port > 65'535) throw refusal("its port is not within 1 and 65535");
    std::string_view host = place.substr(0, last);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (!bracketed && host.find(':') != std::string_view::npos)
      throw refusal("an IPv6 address stands in brackets");
    if (host.find_first_of("/@?# ,[]") != std::string_view::npos) throw refusal("it names no host");
    if (host.empty() && !line_.server) throw refusal("a client calls a host");
    line_.host = host;
    line_.port = static_cast<int>(*port);
  }

  void parse_parameters(std::string_view parameters) {
    if (!line_.security) throw unserved("encryption that both ends agree on");
    while (!parameters.empty()) {
      const auto end = std::min(parameters.find('&'), parameters.size());
      parse_parameter(parameters.substr(0, end));
      parameters.remove_prefix(std::min(end + 1, parameters.size()));
    }
  }

  void parse_parameter(std::string_view parameter) {
    const auto equals = parameter.find('=');
    const std::string_view key = parameter.substr(0, equals);
    if (key == "cipherList") throw unserved("a cipherList");
    if (key == "thumbprint") return parse_thumbprint(parameter.substr(equals + 1));
    if (key == "peerName") {
      const bool is_host = equals != std::string_view::npos &&
                           parameter.substr(equals + 1) == line_.host && !line_.server;
      if (!is_host) throw unserved("a peerName other than the host's");
    } else if (parameter != "verify") {
      throw refusal(fmt::format("it has no parameter '{}'", parameter));
    }
    line_.security->verify_peer = true;
  }

  void parse_thumbprint(std::string_view text) {
    if (line_.server) throw unserved("a thumbprint of whoever calls");
    constexpr std::size_t sha1 = 20 * 3 - 1, sha256 = 32 * 3 - 1;
    const bool fits = text.size() == sha1 || text.size() == sha256;
    if (!fits || text.find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos)
      throw refusal("its thumbprint is not like AA:BB:...");
    line_.security->thumbprint = text;
  }

  const std::string& uri_;
  hypervisor::NetworkLine line_;
};

}  // namespace

hypervisor::NetworkLine parse_serial_uri(const std::string& uri, bool server) {
  return Parser(uri, server).parse();
}

}  // namespace virga::host

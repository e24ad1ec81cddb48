// Certificates of a site: an authority made at first start, and the server certificates it issues.
//
// Keys are ECDSA on P-256. Every client that speaks TLS 1.2 with elliptic curves takes them (all
// that vSphere clients of the last decade use), and a handshake costs the server a tenth of what
// RSA-2048 asks.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/file.h"

namespace virga::wire {

struct Certificate {
  std::string certificate;  // PEM; for a server's, followed by its issuer's
  std::string key;          // PEM, PKCS#8
};

struct CertificateInfo {
  std::string subject;  // the common name
  std::string issuer;
  std::vector<std::string> names;  // DNS names and IP addresses of subjectAltName
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::string sha1_thumbprint;  // "AA:BB:..." over the DER form
  std::string sha256_thumbprint;
};

// Of the first certificate in the text. Throws ErrorKind::damaged when it is none.
CertificateInfo inspect_certificate(const std::string& pem);

// A self-signed authority named `common_name`.
Certificate make_authority(const std::string& common_name, std::chrono::days validity);

// A server certificate for `names` (DNS names or IP addresses, the first is the common name).
Certificate issue_certificate(const Certificate& authority, const std::vector<std::string>& names,
                              std::chrono::days validity);

// The certificates of a site in one folder: ca.crt, ca.key, server.crt, server.key. Files are
// replaced in one step; keys are readable by their owner alone.
class CertificateStore {
 public:
  // Loads what is there, makes what is not. A damaged file is an error, never replaced.
  explicit CertificateStore(fs::path folder);

  const Certificate& authority() const { return authority_; }
  fs::path authority_file() const { return folder_ / "ca.crt"; }

  // The server certificate: the stored one as long as it bears all of `names`, comes from this
  // authority and is valid for 30 days more, else a new one, stored.
  const Certificate& server(const std::vector<std::string>& names);

 private:
  fs::path folder_;
  Certificate authority_;
  Certificate server_;
};

}  // namespace virga::wire

// OpenSSL's objects, owned.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

namespace virga::wire {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslFree<SSL_free>>;
using SslContext = std::shared_ptr<SSL_CTX>;

// Throws Error(io) with OpenSSL's own words for its last failure.
[[noreturn]] void openssl_failed(const std::string& doing);
// Throws when an OpenSSL call answered with failure.
inline void openssl_require(bool success, const char* doing) {
  if (!success) openssl_failed(doing);
}
// OpenSSL's words for the oldest error of this thread, all of which are cleared.
std::string openssl_words();

// A read-only memory BIO over `text`, which must outlive it.
BioPtr memory_bio(std::string_view text);
// What was written to a memory BIO.
std::string memory_bio_text(BIO* bio);

// Throw Error(damaged) when the text is not what it should be.
X509Ptr parse_certificate(std::string_view pem);
KeyPtr parse_key(std::string_view pem);

// "AA:BB:..." over the DER form.
std::string thumbprint(const X509* certificate, const EVP_MD* digest);

// The context of a server that proves itself by `certificate` (PEM, issuers behind it) and `key`:
// TLS 1.2 and 1.3, forward-secret authenticated ciphers, stateless session tickets.
SslContext make_server_context(const std::string& certificate, const std::string& key);
// The context of a client that trusts `authorities` (PEM), or the system's when empty.
SslContext make_client_context(const std::string& authorities);
// Whom a context trusts beside those it does already (PEM).
void add_authorities(SSL_CTX* context, const std::string& authorities);

}  // namespace virga::wire

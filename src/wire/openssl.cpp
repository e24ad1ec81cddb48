#include "wire/openssl.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"

namespace virga::wire {
namespace {

SslContext make_context(const SSL_METHOD* method) {
  SslContext context(SSL_CTX_new(method), SSL_CTX_free);
  openssl_require(context != nullptr, "making a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  openssl_require(SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") == 1,
                  "choosing ciphers");
  // A connection that waits keeps no record buffers; a write may be retried from another address;
  // several records are read by one system call.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context.get(), 1);
  // HTTP says by itself where a message ends, so a connection may end without a TLS goodbye.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

void use_issuers(SSL_CTX* context, BIO* bio) {
  while (X509Ptr issuer{PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)})
    openssl_require(SSL_CTX_add1_chain_cert(context, issuer.get()) == 1, "adding an issuer");
  ERR_clear_error();  // the end of the text is no error
}

}  // namespace

std::string openssl_words() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  char words[256];
  ERR_error_string_n(code, words, sizeof words);
  return words;
}

void openssl_failed(const std::string& doing) {
  throw error(ErrorKind::io, "OpenSSL", "{} failed: {}", doing, openssl_words());
}

BioPtr memory_bio(std::string_view text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  openssl_require(bio != nullptr, "making a buffer");
  return bio;
}

std::string memory_bio_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

X509Ptr parse_certificate(std::string_view pem) {
  X509Ptr certificate(PEM_read_bio_X509(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!certificate)
    throw error(ErrorKind::damaged, "certificate", "not a certificate in PEM form: {}",
                openssl_words());
  return certificate;
}

KeyPtr parse_key(std::string_view pem) {
  // Without a callback OpenSSL would ask the terminal for the passphrase of an encrypted key.
  const auto refuse_passphrase = [](char*, int, int, void*) { return -1; };
  KeyPtr key(PEM_read_bio_PrivateKey(memory_bio(pem).get(), nullptr, refuse_passphrase, nullptr));
  if (!key)
    throw error(ErrorKind::damaged, "key", "not a private key in PEM form: {}", openssl_words());
  return key;
}

std::string thumbprint(const X509* certificate, const EVP_MD* digest) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  openssl_require(X509_digest(certificate, digest, bytes, &size) == 1, "making a thumbprint");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{}{:02X}", i ? ":" : "", bytes[i]);
  return text;
}

SslContext make_server_context(const std::string& certificate, const std::string& key) {
  SslContext context = make_context(TLS_server_method());
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE);
  const BioPtr bio = memory_bio(certificate);
  const X509Ptr own(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!own)
    throw error(ErrorKind::damaged, "certificate", "not a certificate in PEM form: {}",
                openssl_words());
  openssl_require(SSL_CTX_use_certificate(context.get(), own.get()) == 1, "using the certificate");
  use_issuers(context.get(), bio.get());
  openssl_require(SSL_CTX_use_PrivateKey(context.get(), parse_key(key).get()) == 1,
                  "using the key of the certificate");
  // Tickets of one context are only good for the same; one is enough for a client to come back.
  static constexpr unsigned char kSessionContext[] = "virga";
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_num_tickets(context.get(), 1);
  return context;
}

void add_authorities(SSL_CTX* context, const std::string& authorities) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  const BioPtr bio = memory_bio(authorities);
  int count = 0;
  while (X509Ptr authority{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    openssl_require(X509_STORE_add_cert(store, authority.get()) == 1, "trusting an authority");
    ++count;
  }
  ERR_clear_error();
  if (count == 0) throw error(ErrorKind::damaged, "authorities", "no certificate in PEM form");
}

SslContext make_client_context(const std::string& authorities) {
  SslContext context = make_context(TLS_client_method());
  if (authorities.empty()) {
    openssl_require(SSL_CTX_set_default_verify_paths(context.get()) == 1,
                    "loading the system's authorities");
    return context;
  }
  add_authorities(context.get(), authorities);
  return context;
}

}  // namespace virga::wire

#include "wire/certificate.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "wire/openssl.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::days kAuthorityValidity{3650};
constexpr std::chrono::days kServerValidity{820};  // the most that strict clients accept is 825
constexpr std::chrono::days kRenewBefore{30};
constexpr std::chrono::hours kClockSkew{24};

using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;

KeyPtr make_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  openssl_require(key != nullptr, "making a key");
  return key;
}

std::string key_text(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  openssl_require(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "writing a key");
  return memory_bio_text(bio.get());
}

std::string certificate_text(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  openssl_require(PEM_write_bio_X509(bio.get(), certificate) == 1, "writing a certificate");
  return memory_bio_text(bio.get());
}

void set_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes;
  openssl_require(RAND_bytes(bytes.data(), bytes.size()) == 1, "making a serial number");
  bytes[0] &= 0x7F;  // positive
  BIGNUM* const number = BN_bin2bn(bytes.data(), bytes.size(), nullptr);
  const bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  openssl_require(set, "setting a serial number");
}

// A common name may hold 64 characters (ub-common-name, RFC 5280); the names that count are others.
void set_common_name(X509* certificate, const std::string& name) {
  const std::string fitting = name.substr(0, 64);
  openssl_require(X509_NAME_add_entry_by_txt(
                      X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                      reinterpret_cast<const unsigned char*>(fitting.c_str()), -1, -1, 0) == 1,
                  "setting a common name");
}

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  openssl_require(extension != nullptr, "making an extension");
  openssl_require(X509_add_ext(certificate, extension.get(), -1) == 1, "adding an extension");
}

GENERAL_NAME* make_general_name(const std::string& name) {
  GENERAL_NAME* const general = GENERAL_NAME_new();
  openssl_require(general != nullptr, "making a name");
  if (ASN1_OCTET_STRING* const address = a2i_IPADDRESS(name.c_str())) {
    GENERAL_NAME_set0_value(general, GEN_IPADD, address);
    return general;
  }
  ASN1_IA5STRING* const dns = ASN1_IA5STRING_new();
  ASN1_STRING_set(dns, name.data(), static_cast<int>(name.size()));
  GENERAL_NAME_set0_value(general, GEN_DNS, dns);
  return general;
}

void add_names(X509* certificate, const std::vector<std::string>& names) {
  const NamesPtr general(sk_GENERAL_NAME_new_null());
  for (const std::string& name : names)
    sk_GENERAL_NAME_push(general.get(), make_general_name(name));
  openssl_require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, general.get(), 0,
                                    X509V3_ADD_DEFAULT) == 1,
                  "adding names");
}

// A version 3 certificate with all but its issuer, extensions and signature.
X509Ptr draft_certificate(const std::string& common_name, EVP_PKEY* key,
                          std::chrono::days validity) {
  X509Ptr certificate(X509_new());
  openssl_require(certificate != nullptr, "making a certificate");
  X509_set_version(certificate.get(), X509_VERSION_3);
  set_serial(certificate.get());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()),
                  -std::chrono::seconds(kClockSkew).count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), std::chrono::seconds(validity).count());
  set_common_name(certificate.get(), common_name);
  openssl_require(X509_set_pubkey(certificate.get(), key) == 1, "setting a public key");
  return certificate;
}

void sign(X509* certificate, X509* issuer, EVP_PKEY* issuer_key) {
  openssl_require(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1,
                  "setting an issuer");
  openssl_require(X509_sign(certificate, issuer_key, EVP_sha256()) != 0, "signing");
}

std::string common_name_of(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (size < 0) return {};
  std::string result(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return result;
}

std::string string_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string address_of(const std::string& bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

std::vector<std::string> names_of(const X509* certificate) {
  const NamesPtr general(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  for (int i = 0; i < sk_GENERAL_NAME_num(general.get()); ++i) {
    int type = 0;
    const void* const value =
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(general.get(), i), &type);
    const std::string text = string_of(static_cast<const ASN1_STRING*>(value));
    if (type == GEN_DNS) names.push_back(text);
    if (type == GEN_IPADD && (text.size() == 4 || text.size() == 16))
      names.push_back(address_of(text));
  }
  return names;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm utc{};
  openssl_require(ASN1_TIME_to_tm(time, &utc) == 1, "reading a time");
  return std::chrono::system_clock::from_time_t(::timegm(&utc));
}

bool key_fits(const Certificate& pair) {
  return X509_check_private_key(parse_certificate(pair.certificate).get(),
                                parse_key(pair.key).get()) == 1;
}

Certificate load(const fs::path& certificate, const fs::path& key) {
  try {
    Certificate pair{read_file(certificate), read_file(key)};
    parse_certificate(pair.certificate);
    parse_key(pair.key);
    return pair;
  } catch (const Error& e) {
    throw error(e.kind(), certificate.string(), "cannot use {} with {}: {}", certificate.string(),
                key.string(), e.what());
  }
}

// The key first: a certificate that is there has its key.
void store(const Certificate& pair, const fs::path& certificate, const fs::path& key) {
  write_file_atomically(key, pair.key, 0600);
  write_file_atomically(certificate, pair.certificate, 0644);
}

Certificate load_or_make_authority(const fs::path& folder) {
  const fs::path certificate = folder / "ca.crt";
  const fs::path key = folder / "ca.key";
  if (!fs::exists(certificate)) {
    fs::create_directories(folder);
    store(make_authority("Virga Certificate Authority", kAuthorityValidity), certificate, key);
  }
  Certificate authority = load(certificate, key);
  if (!key_fits(authority))
    throw error(ErrorKind::damaged, key.string(), "{} is not the key of {}", key.string(),
                certificate.string());
  return authority;
}

bool serves(const Certificate& server, const Certificate& authority,
            const std::vector<std::string>& names) {
  const CertificateInfo info = inspect_certificate(server.certificate);
  const X509Ptr issuer = parse_certificate(authority.certificate);
  const bool ours =
      X509_verify(parse_certificate(server.certificate).get(), X509_get0_pubkey(issuer.get())) == 1;
  const bool lasts = info.not_after > std::chrono::system_clock::now() + kRenewBefore;
  const bool named = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(info.names.begin(), info.names.end(), name) != info.names.end();
  });
  return ours && lasts && named && key_fits(server);
}

}  // namespace

CertificateInfo inspect_certificate(const std::string& pem) {
  const X509Ptr certificate = parse_certificate(pem);
  CertificateInfo info;
  info.subject = common_name_of(X509_get_subject_name(certificate.get()));
  info.issuer = common_name_of(X509_get_issuer_name(certificate.get()));
  info.names = names_of(certificate.get());
  info.not_before = time_of(X509_get0_notBefore(certificate.get()));
  info.not_after = time_of(X509_get0_notAfter(certificate.get()));
  info.sha1_thumbprint = thumbprint(certificate.get(), EVP_sha1());
  info.sha256_thumbprint = thumbprint(certificate.get(), EVP_sha256());
  return info;
}

Certificate make_authority(const std::string& common_name, std::chrono::days validity) {
  const KeyPtr key = make_key();
  const X509Ptr certificate = draft_certificate(common_name, key.get(), validity);
  X509* const self = certificate.get();
  add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(self, self, NID_subject_key_identifier, "hash");
  sign(self, self, key.get());
  return {certificate_text(self), key_text(key.get())};
}

Certificate issue_certificate(const Certificate& authority, const std::vector<std::string>& names,
                              std::chrono::days validity) {
  if (names.empty())
    throw error(ErrorKind::invalid_argument, {}, "a server certificate needs a name");
  const X509Ptr issuer = parse_certificate(authority.certificate);
  const KeyPtr key = make_key();
  const X509Ptr certificate = draft_certificate(names.front(), key.get(), validity);
  X509* const self = certificate.get();
  add_extension(self, issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(self, issuer.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(self, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(self, issuer.get(), NID_subject_key_identifier, "hash");
  add_extension(self, issuer.get(), NID_authority_key_identifier, "keyid");
  add_names(self, names);
  sign(self, issuer.get(), parse_key(authority.key).get());
  return {certificate_text(self) + authority.certificate, key_text(key.get())};
}

CertificateStore::CertificateStore(fs::path folder)
    : folder_(std::move(folder)), authority_(load_or_make_authority(folder_)) {}

const Certificate& CertificateStore::server(const std::vector<std::string>& names) {
  const fs::path certificate = folder_ / "server.crt";
  const fs::path key = folder_ / "server.key";
  if (fs::exists(certificate)) server_ = load(certificate, key);
  if (server_.certificate.empty() || !serves(server_, authority_, names)) {
    server_ = issue_certificate(authority_, names, kServerValidity);
    store(server_, certificate, key);
  }
  return server_;
}

}  // namespace virga::wire

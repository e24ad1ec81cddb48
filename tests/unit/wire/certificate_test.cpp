#include "wire/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "temporary_folder.h"
#include "wire/openssl.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

unsigned mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

bool verifies(const std::string& certificate, const std::string& authority) {
  const X509Ptr issuer = parse_certificate(authority);
  return X509_verify(parse_certificate(certificate).get(), X509_get0_pubkey(issuer.get())) == 1;
}

TEST(Certificate, TheAuthorityIsOne) {
  const Certificate authority = make_authority("Test Authority", std::chrono::days(10));
  const CertificateInfo info = inspect_certificate(authority.certificate);
  EXPECT_EQ(info.subject, "Test Authority");
  EXPECT_EQ(info.issuer, "Test Authority");
  EXPECT_TRUE(verifies(authority.certificate, authority.certificate));
  EXPECT_EQ(X509_check_ca(parse_certificate(authority.certificate).get()), 1);
  const auto now = std::chrono::system_clock::now();
  EXPECT_LT(info.not_before, now);
  EXPECT_GT(info.not_after, now + std::chrono::days(9));
  EXPECT_LT(info.not_after, now + std::chrono::days(11));
}

TEST(Certificate, AServersBearsItsNames) {
  const Certificate authority = make_authority("Test Authority", std::chrono::days(10));
  const Certificate server = issue_certificate(
      authority, {"host.example", "127.0.0.1", "::1", "*.lab.example"}, std::chrono::days(5));
  const CertificateInfo info = inspect_certificate(server.certificate);
  EXPECT_EQ(info.subject, "host.example");
  EXPECT_EQ(info.issuer, "Test Authority");
  EXPECT_THAT(info.names, ElementsAre("host.example", "127.0.0.1", "::1", "*.lab.example"));
  EXPECT_TRUE(verifies(server.certificate, authority.certificate));
  const X509Ptr certificate = parse_certificate(server.certificate);
  EXPECT_EQ(X509_check_ca(certificate.get()), 0);
  EXPECT_EQ(X509_check_host(certificate.get(), "host.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_private_key(certificate.get(), parse_key(server.key).get()), 1);
  EXPECT_THAT(info.sha1_thumbprint, MatchesRegex("([0-9A-F][0-9A-F]:)+[0-9A-F][0-9A-F]"));
  EXPECT_EQ(info.sha1_thumbprint.size(), 20u * 3 - 1);
  EXPECT_EQ(info.sha256_thumbprint.size(), 32u * 3 - 1);
}

TEST(Certificate, TextThatIsNoneIsDamaged) {
  try {
    inspect_certificate("hello");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::damaged);
  }
  const Certificate authority = make_authority("Test Authority", std::chrono::days(10));
  EXPECT_THROW(issue_certificate(authority, {}, std::chrono::days(5)), Error);
}

TEST(CertificateStore, TheFirstStartMakesAndTheNextLoads) {
  const TemporaryFolder folder;
  CertificateStore first(folder / "certificates");
  const std::string server = first.server({"localhost", "127.0.0.1"}).certificate;
  CertificateStore second(folder / "certificates");
  EXPECT_EQ(second.authority().certificate, first.authority().certificate);
  EXPECT_EQ(second.server({"127.0.0.1"}).certificate, server);
  for (const char* key : {"ca.key", "server.key"})
    EXPECT_EQ(mode_of(folder / "certificates" / key), 0600u) << key;
  EXPECT_TRUE(fs::exists(first.authority_file()));
}

TEST(CertificateStore, IssuesAnewForOtherNamesAndBeforeTheEnd) {
  const TemporaryFolder folder;
  CertificateStore store(folder.path());
  const std::string server = store.server({"localhost"}).certificate;
  const std::string renamed = store.server({"localhost", "other"}).certificate;
  EXPECT_NE(renamed, server);
  EXPECT_THAT(inspect_certificate(renamed).names, ElementsAre("localhost", "other"));

  const Certificate ending = issue_certificate(store.authority(), {"other"}, std::chrono::days(29));
  write_file_atomically(folder / "server.key", ending.key, 0600);
  write_file_atomically(folder / "server.crt", ending.certificate);
  EXPECT_NE(store.server({"other"}).certificate, ending.certificate);
}

TEST(CertificateStore, AKeyThatDoesNotFitItsServerCertificateIsReplaced) {
  const TemporaryFolder folder;
  CertificateStore store(folder.path());
  const std::string before = store.server({"localhost"}).certificate;
  // What a crash between the two files leaves behind.
  write_file_atomically(folder / "server.key",
                        issue_certificate(store.authority(), {"x"}, std::chrono::days(90)).key);
  EXPECT_NE(store.server({"localhost"}).certificate, before);
}

TEST(CertificateStore, NeverReplacesADamagedAuthority) {
  const TemporaryFolder folder;
  CertificateStore store(folder.path());
  fs::rename(folder / "ca.key", folder / "elsewhere");
  EXPECT_THROW(CertificateStore{folder.path()}, Error);
  write_file_atomically(folder / "ca.key", "nonsense");
  EXPECT_THROW(CertificateStore{folder.path()}, Error);
  write_file_atomically(folder / "ca.key", make_authority("Other", std::chrono::days(9)).key);
  EXPECT_THROW(CertificateStore{folder.path()}, Error);
  EXPECT_EQ(read_file(folder / "ca.crt"), store.authority().certificate);
}

}  // namespace
}  // namespace virga::wire

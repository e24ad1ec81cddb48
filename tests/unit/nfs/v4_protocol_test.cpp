// NFS 4.1 on the wire: what is asked, and what is made of answers.
#include "nfs/v4/protocol.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/error.h"
#include "nfs/v4/rpc.h"

namespace virga::nfs::v4 {
namespace {

using namespace std::string_literals;

std::uint32_t number(Operation operation) {
  return static_cast<std::uint32_t>(operation);
}

// The answer to a compound: its status and, of each operation, what `results` holds.
std::string answer(const XdrWriter& results, Status status = Status::ok) {
  XdrWriter out;
  out.u32(static_cast<std::uint32_t>(status)).opaque("").u32(1);
  return out.bytes() + results.bytes();
}

XdrWriter went_well(Operation operation) {
  XdrWriter out;
  out.u32(number(operation)).u32(0);
  return out;
}

template <class Parse>
void expect_damaged(const std::string& bytes, Parse parse) {
  try {
    Results results(bytes);
    parse(results);
    FAIL() << "taken";
  } catch (const Error& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::damaged);
  }
}

TEST(Xdr, PadsToFourBytes) {
  XdrWriter out;
  out.u32(1).opaque("abcde").fixed("xy").u64(1ULL << 40).boolean(true);
  EXPECT_EQ(out.bytes(),
            "\0\0\0\1"s + "\0\0\0\5abcde\0\0\0"s + "xy\0\0"s + "\0\0\1\0\0\0\0\0"s + "\0\0\0\1"s);
  XdrReader in(out.bytes());
  EXPECT_EQ(in.u32(), 1U);
  EXPECT_EQ(in.opaque(), "abcde");
  EXPECT_EQ(in.fixed(2), "xy");
  EXPECT_EQ(in.u64(), 1ULL << 40);
  EXPECT_TRUE(in.boolean());
  EXPECT_EQ(in.rest(), "");
}

TEST(Xdr, DoesNotReadBeyondTheEnd) {
  EXPECT_THROW(XdrReader("abc").u32(), Error);
  EXPECT_THROW(XdrReader("\0\0\0\5abcde"s).opaque(), Error);
  EXPECT_THROW(XdrReader("\xff\xff\xff\xff"s).opaque(), Error);
}

TEST(Rpc, PutsRecordsTogetherFromFragments) {
  RecordReader reader;
  const std::string stream = "\0\0\0\3abc\x80\0\0\2de\x80\0\0\1f"s;
  std::vector<std::string> records;
  for (const char c : stream) {
    reader.feed({&c, 1});
    while (const auto record = reader.next()) records.push_back(*record);
  }
  EXPECT_EQ(records, (std::vector<std::string>{"abcde", "f"}));
  reader.feed("\x8f\xff\xff\xff"s);
  EXPECT_THROW(reader.next(), Error);
}

TEST(Rpc, TellsWhyACallWasNotCarriedOut) {
  const auto failure = [](std::initializer_list<std::uint32_t> words) {
    XdrWriter out;
    for (const std::uint32_t word : words) out.u32(word);
    const RpcReply reply = parse_rpc_reply(out.bytes());
    EXPECT_EQ(reply.xid, 7U);
    return reply.failure;
  };
  EXPECT_EQ(failure({7, 1, 0, 0, 0, 0, 99}), "");
  EXPECT_EQ(failure({7, 1, 0, 0, 0, 2, 3, 3}), "it does not speak NFS 4");
  EXPECT_EQ(failure({7, 1, 1, 1, 5}), "it does not take AUTH_SYS");
  EXPECT_THROW(parse_rpc_reply(XdrWriter().u32(7).u32(0).bytes()), Error);
}

TEST(Compound, SaysWhatIsToBeDoneInOrder) {
  const Compound compound = Compound().put("handle").look_up("web.vmx").get_handle();
  XdrWriter out;
  compound.encode(out, sequence_arguments(std::string(session_id_bytes, 's'), {3, 9, 63}, true));
  XdrReader in(out.bytes());
  EXPECT_EQ(in.opaque(), "");
  EXPECT_EQ(in.u32(), 1U);  // NFS 4.1
  EXPECT_EQ(in.u32(), 4U);
  EXPECT_EQ(in.u32(), number(Operation::sequence));
  EXPECT_EQ(in.fixed(session_id_bytes), std::string(session_id_bytes, 's'));
  for (const std::uint32_t expected : {9U, 3U, 63U, 1U}) EXPECT_EQ(in.u32(), expected);
  EXPECT_EQ(in.u32(), number(Operation::putfh));
  EXPECT_EQ(in.opaque(), "handle");
  EXPECT_EQ(in.u32(), number(Operation::lookup));
  EXPECT_EQ(in.opaque(), "web.vmx");
  EXPECT_EQ(in.u32(), number(Operation::getfh));
  EXPECT_EQ(in.rest(), "");
}

TEST(Compound, SetsOnlyWhatIsToChange) {
  Change change;
  change.size = 7ULL << 32;
  change.owner = 0;
  change.modification_time = timespec{0, UTIME_NOW};
  XdrWriter out;
  Compound().set_attributes(change).encode(out, {});
  XdrReader in(out.bytes());
  in.fixed(3 * 4);
  EXPECT_EQ(in.u32(), number(Operation::setattr));
  EXPECT_EQ(in.fixed(16), std::string(16, '\0'));  // the anonymous stateid
  EXPECT_EQ(in.u32(), 2U);
  EXPECT_EQ(in.u32(), 1U << 4);
  EXPECT_EQ(in.u32(), 1U << (36 - 32) | 1U << (54 - 32));
  XdrReader values(in.opaque());
  EXPECT_EQ(values.u64(), 7ULL << 32);
  EXPECT_EQ(values.opaque(), "0");
  EXPECT_EQ(values.u32(), 0U);  // the server's time
  EXPECT_EQ(values.rest(), "");
  EXPECT_EQ(in.rest(), "");
}

TEST(Results, TellWhatAFileIs) {
  XdrWriter values;
  values.u32(1).u64(5ULL << 32).u64(77).u32(0640).u32(2).opaque("root@example").opaque("42");
  values.u64(1024).u64(1'600'000'000).u32(1).u64(1'700'000'000).u32(2).u64(1'800'000'000).u32(3);
  XdrWriter out = went_well(Operation::getattr);
  out.u32(2).u32(1U << 1 | 1U << 4 | 1U << 20);
  out.u32(1U << 1 | 1U << 3 | 1U << 4 | 1U << 5 | 1U << 13 | 1U << 15 | 1U << 20 | 1U << 21);
  out.opaque(values.bytes());
  const std::string bytes = answer(out);
  const struct stat status = Results(bytes).attributes().status;
  EXPECT_EQ(status.st_mode, S_IFREG | 0640U);
  EXPECT_EQ(status.st_size, 5LL << 32);
  EXPECT_EQ(status.st_ino, 77U);
  EXPECT_EQ(status.st_nlink, 2U);
  EXPECT_EQ(status.st_uid, 0U);
  EXPECT_EQ(status.st_gid, 42U);
  EXPECT_EQ(status.st_blocks, 2);
  EXPECT_EQ(status.st_atim.tv_sec, 1'600'000'000);
  EXPECT_EQ(status.st_ctim.tv_nsec, 2);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'800'000'000);
}

TEST(Results, DoNotTakeAnAttributeThatWasNotAskedFor) {
  XdrWriter out = went_well(Operation::getattr);
  out.u32(1).u32(1U << 8).opaque("");
  expect_damaged(answer(out), [](Results& results) { results.attributes(); });
}

TEST(Results, TakeAFileThatWasOpenedWithoutADelegation) {
  const auto opened = [](const XdrWriter& delegation) {
    XdrWriter out = went_well(Operation::open);
    out.fixed(std::string(16 + 20, 'x')).u32(4).u32(0);
    XdrWriter handle = went_well(Operation::getfh);
    handle.opaque("made");
    return answer(XdrWriter().fixed(out.bytes() + delegation.bytes() + handle.bytes()));
  };
  const auto take = [](Results& results) {
    results.opened();
    EXPECT_EQ(results.handle(), "made");
  };
  for (const XdrWriter& none :
       {XdrWriter().u32(0), XdrWriter().u32(3).u32(0), XdrWriter().u32(3).u32(1).boolean(false)}) {
    const std::string bytes = opened(none);
    Results results(bytes);
    take(results);
  }
  expect_damaged(opened(XdrWriter().u32(2)), take);
}

TEST(Results, ListAFolder) {
  XdrWriter out = went_well(Operation::readdir);
  out.fixed("verifier");
  for (const std::uint64_t id : {11U, 12U})
    out.boolean(true)
        .u64(id + 100)
        .opaque(fmt::format("file-{}", id))
        .u32(1)
        .u32(1U << 20)
        .opaque(XdrWriter().u64(id).bytes());
  out.boolean(false).boolean(true);
  const std::string bytes = answer(out);
  const Results::Listing listing = Results(bytes).listing();
  ASSERT_EQ(listing.entries.size(), 2U);
  EXPECT_EQ(listing.entries[1].name, "file-12");
  EXPECT_EQ(listing.entries[1].number, 12U);
  EXPECT_EQ(listing.cookie, 112U);
  EXPECT_EQ(listing.verifier, "verifier");
  EXPECT_TRUE(listing.at_end);
}

TEST(Results, CountAsWrittenOnlyWhatIsStable) {
  const auto written = [](std::uint32_t committed) {
    XdrWriter out = went_well(Operation::write);
    const std::string bytes = answer(out.u32(512).u32(committed).fixed("verifier"));
    return Results(bytes).written();
  };
  EXPECT_EQ(written(2), 512U);
  EXPECT_EQ(written(0), 0U);
}

TEST(Results, AreThoseOfTheOperationsThatWereAsked) {
  expect_damaged(answer(went_well(Operation::lookup)),
                 [](Results& results) { results.skip({Operation::putfh}); });
  expect_damaged("", [](Results&) {});
}

TEST(Status, IsToldAsTheOperatingSystemDoes) {
  EXPECT_EQ(errno_of(Status::ok), 0);
  EXPECT_EQ(errno_of(Status::notempty), ENOTEMPTY);
  EXPECT_EQ(errno_of(Status::fhexpired), ESTALE);
  EXPECT_EQ(errno_of(Status::wrongsec), EACCES);
  EXPECT_EQ(errno_of(static_cast<Status>(10006)), EIO);
}

TEST(Owners, AreNumbersOrNobody) {
  EXPECT_EQ(id_of("0"), 0U);
  EXPECT_EQ(id_of("root@example.com"), 0U);
  EXPECT_EQ(id_of("1000"), 1000U);
  EXPECT_EQ(id_of("alice@example.com"), 65534U);
  EXPECT_EQ(id_of("12x"), 65534U);
  EXPECT_EQ(id_of(""), 65534U);
}

}  // namespace
}  // namespace virga::nfs::v4

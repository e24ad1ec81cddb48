// A server of NFS 4.1 decides what it answers: nothing of that is read beyond its end.
#include <vector>

#include "base/error.h"
#include "nfs/v4/rpc.h"

#include "nfs/v4/protocol.h"

namespace {

using namespace virga::nfs::v4;

// By the first byte: as what the results of a compound are taken.
void take(unsigned as, Results& results) {
  if (as % 2 == 1 && results.sequence() != Status::ok) return;
  switch (as / 2 % 10) {
    case 0:
      results.skip({Operation::putfh, Operation::lookup});
      results.handle();
      results.attributes();
      return;
    case 1:
      results.skip({Operation::putfh});
      results.opened();
      results.handle();
      return;
    case 2:
      results.data();
      return;
    case 3:
      results.written();
      return;
    case 4:
      results.listing();
      return;
    case 5:
      results.client();
      return;
    case 6:
      results.session();
      return;
    case 7:
      results.skip({Operation::create, Operation::setattr, Operation::close});
      return;
    default:
      results.attributes();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  RecordReader reader;
  reader.feed(stream);
  try {
    while (const auto record = reader.next()) {
      const RpcReply reply = parse_rpc_reply(*record);
      Results results(reply.results);
      take(data[0], results);
    }
  } catch (const virga::Error&) {
    // It says so.
  }
  return 0;
}

// Internal to the module: ONC RPC version 2 (RFC 5531) over a stream, for NFS 4. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nfs/v4/xdr.h"

namespace virga::nfs::v4 {

// A call of NFS 4's COMPOUND procedure, as root by AUTH_SYS, up to its arguments.
XdrWriter rpc_call(std::uint32_t xid, std::string_view machine);

// A record of that much as one fragment: what precedes it on the stream.
std::string record_mark(std::size_t size);

struct RpcReply {
  std::uint32_t xid = 0;
  std::string failure;       // why the server did not carry out the call, or ""
  std::string_view results;  // of the procedure
};

// Throws damaged for what is no reply. The results refer to the record.
RpcReply parse_rpc_reply(std::string_view record);

// Puts records together from what comes on a stream.
class RecordReader {
 public:
  void feed(std::string_view bytes) { stream_ += bytes; }
  // The next whole record. Throws damaged for one larger than NFS needs.
  std::optional<std::string> next();

 private:
  std::string stream_;  // not yet taken apart
  std::string record_;  // the fragments that came
};

}  // namespace virga::nfs::v4

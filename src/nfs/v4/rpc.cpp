#include "nfs/v4/rpc.h"

#include "base/error.h"

namespace virga::nfs::v4 {
namespace {

constexpr std::size_t kLargestRecord = 4 << 20;
constexpr std::uint32_t kLastFragment = 0x8000'0000;

enum MessageType : std::uint32_t { kCall = 0, kReply = 1 };
enum AuthFlavor : std::uint32_t { kAuthNone = 0, kAuthSys = 1 };
enum ReplyStatus : std::uint32_t { kAccepted = 0, kDenied = 1 };
enum AcceptStatus : std::uint32_t { kSuccess = 0, kProgramMismatch = 2 };

constexpr std::uint32_t kRpcVersion = 2;
constexpr std::uint32_t kNfsProgram = 100003;
constexpr std::uint32_t kNfsVersion = 4;
constexpr std::uint32_t kCompound = 1;

}  // namespace

XdrWriter rpc_call(std::uint32_t xid, std::string_view machine) {
  XdrWriter credentials;
  credentials.u32(0 /* stamp */)
      .opaque(machine)
      .u32(0 /* uid */)
      .u32(0 /* gid */)
      .u32(0 /* gids */);
  XdrWriter call;
  call.u32(xid).u32(kCall).u32(kRpcVersion);
  call.u32(kNfsProgram).u32(kNfsVersion).u32(kCompound);
  call.u32(kAuthSys).opaque(credentials.bytes());
  call.u32(kAuthNone).opaque("");
  return call;
}

std::string record_mark(std::size_t size) {
  return XdrWriter().u32(kLastFragment | static_cast<std::uint32_t>(size)).bytes();
}

RpcReply parse_rpc_reply(std::string_view record) {
  XdrReader in(record);
  RpcReply reply;
  reply.xid = in.u32();
  if (in.u32() != kReply) throw error(ErrorKind::damaged, "RPC", "the server sent no reply");
  if (in.u32() == kDenied) {
    reply.failure = in.u32() == kDenied ? "it does not take AUTH_SYS" : "it speaks another RPC";
    return reply;
  }
  in.u32();     // the verifier's flavor
  in.opaque();  // AUTH_SYS has none
  const std::uint32_t status = in.u32();
  if (status == kProgramMismatch)
    reply.failure = "it does not speak NFS 4";
  else if (status != kSuccess)
    reply.failure = fmt::format("it does not take calls of NFS 4: {}", status);
  reply.results = in.rest();
  return reply;
}

std::optional<std::string> RecordReader::next() {
  while (stream_.size() >= 4) {
    const std::uint32_t mark = XdrReader(stream_).u32();
    const std::size_t size = mark & ~kLastFragment;
    if (record_.size() + size > kLargestRecord)
      throw error(ErrorKind::damaged, "RPC", "the server sent a record of {} bytes", size);
    if (stream_.size() < 4 + size) return std::nullopt;
    record_.append(stream_, 4, size);
    stream_.erase(0, 4 + size);
    if ((mark & kLastFragment) != 0) return std::exchange(record_, {});
  }
  return std::nullopt;
}

}  // namespace virga::nfs::v4

// Responses ready made: texts, files, WebSocket upgrades.
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "wire/http_server.h"

namespace virga::wire {
namespace {

class FileSource : public ByteSource {
 public:
  FileSource(std::shared_ptr<Fd> file, ByteRange range, asio::thread_pool& pool)
      : file_(std::move(file)), range_(range), pool_(pool) {}

  Async<std::size_t> read(std::span<char> buffer) override {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), range_.length);
    if (wanted == 0) co_return 0;
    // What the page cache has needs no other thread.
    ssize_t got = read_at(buffer.data(), wanted, RWF_NOWAIT);
    if (got < 0) {
      const auto wait_for_disk = [this, data = buffer.data(), wanted] {
        const ssize_t n = read_at(data, wanted, 0);
        if (n < 0) throw system_error("file", "cannot read");
        return n;
      };
      got = co_await offload(pool_, wait_for_disk);
    }
    if (got == 0) throw error(ErrorKind::io, "file", "the file became shorter while it was read");
    range_.offset += static_cast<std::uint64_t>(got);
    range_.length -= static_cast<std::uint64_t>(got);
    co_return static_cast<std::size_t>(got);
  }

 private:
  ssize_t read_at(char* data, std::size_t size, int flags) const {
    const iovec target{data, size};
    return ::preadv2(file_->get(), &target, 1, static_cast<off_t>(range_.offset), flags);
  }

  std::shared_ptr<Fd> file_;
  ByteRange range_;
  asio::thread_pool& pool_;
};

std::string entity_tag(const struct stat& status) {
  return fmt::format("\"{:x}-{:x}-{:x}\"", status.st_ino, status.st_size,
                     status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
}

// If-Range: the part is only wanted of the file the client knows already.
bool wants_part(const Request& request, const std::string& tag, const std::string& modified) {
  const std::string* condition = request.headers.find("If-Range");
  return !condition || *condition == tag || *condition == modified;
}

}  // namespace

Response respond(int status, std::string content_type, std::string body) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", std::move(content_type));
  response.body = std::move(body);
  return response;
}

Response respond_error(int status, const std::string& message) {
  return respond(status, "text/plain; charset=utf-8", message + "\n");
}

Response respond_file(const Request& request, std::shared_ptr<Fd> file, std::string content_type,
                      asio::thread_pool& pool) {
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) throw system_error(request.path, "cannot examine");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::string tag = entity_tag(status);
  const std::string modified = http_date(status.st_mtim.tv_sec);

  RangeRequest wanted;
  if (wants_part(request, tag, modified)) wanted = parse_range(request.headers.get("Range"), size);
  if (wanted.kind == RangeRequest::Kind::unsatisfiable) {
    Response response = respond_error(416, fmt::format("the file has {} bytes", size));
    response.headers.add("Content-Range", fmt::format("bytes */{}", size));
    return response;
  }

  Response response = respond(200, std::move(content_type), {});
  response.headers.add("Accept-Ranges", "bytes");
  response.headers.add("ETag", tag);
  response.headers.add("Last-Modified", modified);
  ByteRange range{0, size};
  if (wanted.kind == RangeRequest::Kind::part) {
    range = wanted.range;
    response.status = 206;
    response.headers.add("Content-Range", fmt::format("bytes {}-{}/{}", range.offset,
                                                      range.offset + range.length - 1, size));
  }
  response.stream = std::make_shared<FileSource>(std::move(file), range, pool);
  response.stream_length = range.length;
  return response;
}

Response accept_websocket(const Request& request, WebSocketOptions options,
                          WebSocketSession session) {
  if (!request.headers.lists("Upgrade", "websocket") ||
      !request.headers.lists("Connection", "Upgrade")) {
    Response response = respond_error(426, "this address speaks WebSocket");
    response.headers.add("Upgrade", "websocket");
    return response;
  }
  if (request.headers.get("Sec-WebSocket-Version") != "13") {
    Response response = respond_error(426, "WebSocket version 13 is spoken here");
    response.headers.add("Sec-WebSocket-Version", "13");
    return response;
  }
  constexpr std::size_t kKeyLength = 24;  // 16 bytes in base64
  if (request.method != "GET" || request.headers.get("Sec-WebSocket-Key").size() != kKeyLength)
    return respond_error(400, "the WebSocket handshake is malformed");

  Response response;
  response.status = 101;
  response.websocket = std::move(session);
  response.websocket_options = std::move(options);
  return response;
}

}  // namespace virga::wire

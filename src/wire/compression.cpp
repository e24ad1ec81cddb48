#include "wire/compression.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>

namespace virga::wire {
namespace {

constexpr int kGzipWindow = 15 + 16;    // zlib: the largest window, gzip's frame
constexpr int kDetectWindow = 15 + 32;  // either frame, told by the first bytes
constexpr std::size_t kPiece = 16 << 10;
constexpr std::uint64_t kLargestGuess = 1 << 20;  // a length that is only announced costs no more

Bytef* bytes(const char* data) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(data));
}

}  // namespace

std::string gzip(std::string_view data, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, data.size()), '\0');
  stream.next_in = bytes(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = bytes(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);  // cannot fail: the output has room for the worst case
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  if (type.starts_with("text/")) return true;
  for (const std::string_view part : {"json", "xml", "javascript", "wasm"})
    if (type.find(part) != type.npos) return true;
  return false;
}

bool is_gzip(std::string_view coding) {
  return equal_without_case(coding, "gzip") || equal_without_case(coding, "x-gzip");
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool accepted = false;
  while (!accept_encoding.empty()) {
    std::string_view member = cut(accept_encoding, ',');
    const std::string_view coding = trim(cut(member, ';'));
    const std::string_view weight = trim(member);
    // "q=0", with as many zeros behind the point as there are, forbids a coding.
    const bool forbidden =
        weight.starts_with("q=0") && weight.find_first_not_of("0.", 2) == weight.npos;
    if (is_gzip(coding)) return !forbidden;
    if (coding == "*") accepted = !forbidden;
  }
  return accepted;
}

struct InflatingSource::State {
  explicit State(ByteSource& from) : source(from) {
    if (inflateInit2(&stream, kDetectWindow) != Z_OK) throw std::bad_alloc();
  }
  ~State() { inflateEnd(&stream); }

  ByteSource& source;
  z_stream stream{};
  std::array<char, kPiece> input;
  bool ended = false;
};

InflatingSource::InflatingSource(ByteSource& source) : state_(std::make_unique<State>(source)) {}
InflatingSource::~InflatingSource() = default;

Async<std::size_t> InflatingSource::read(std::span<char> buffer) {
  z_stream& stream = state_->stream;
  stream.next_out = bytes(buffer.data());
  stream.avail_out = static_cast<uInt>(buffer.size());
  while (!state_->ended && stream.avail_out == buffer.size()) {
    if (stream.avail_in == 0) {
      const std::size_t got = co_await state_->source.read(state_->input);
      if (got == 0) throw HttpError(400, "the compressed body is cut off");
      stream.next_in = bytes(state_->input.data());
      stream.avail_in = static_cast<uInt>(got);
    }
    const int result = inflate(&stream, Z_NO_FLUSH);
    state_->ended = result == Z_STREAM_END;
    if (result != Z_OK && result != Z_STREAM_END)
      throw HttpError(400, "the body is not in gzip or zlib format");
  }
  const std::size_t produced = buffer.size() - stream.avail_out;
  if (produced == 0) {  // the end: nothing may follow it
    const std::size_t more = co_await state_->source.read(state_->input);
    if (stream.avail_in + more > 0) throw HttpError(400, "bytes follow the compressed body");
  }
  co_return produced;
}

Async<std::string> read_all(ByteSource& source, std::uint64_t limit, std::uint64_t expected) {
  // One byte more than expected, so that the end is seen without growing.
  std::string body(std::min({expected, limit, kLargestGuess}) + 1, '\0');
  std::size_t size = 0;
  while (const std::size_t got = co_await source.read(std::span(body).subspan(size))) {
    size += got;
    if (size > limit) throw HttpError(413, fmt::format("the body is larger than {} bytes", limit));
    if (size == body.size()) body.resize(size + std::max(kPiece, size / 2));
  }
  body.resize(size);
  if (body.capacity() > 2 * size) body.shrink_to_fit();
  co_return body;
}

}  // namespace virga::wire

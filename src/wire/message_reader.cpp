#include "wire/message_reader.h"

#include <array>

namespace virga::wire {

std::chrono::milliseconds Patience::begin() {
  using std::chrono::milliseconds;
  began_ = std::chrono::steady_clock::now();
  if (min_bytes_per_second_ == 0) return stall_;
  const auto earned = milliseconds(bytes_ * 1000 / min_bytes_per_second_);
  const auto spent = std::chrono::duration_cast<milliseconds>(waited_);
  return std::clamp(stall_ + earned - spent, milliseconds(0), stall_);
}

void Patience::end(std::uint64_t bytes) {
  bytes_ += bytes;
  waited_ += std::chrono::steady_clock::now() - began_;
}

template <bool is_request>
MessageReader<is_request>::MessageReader(TlsStream& stream, HeadLimits limits,
                                         std::chrono::milliseconds stall,
                                         std::uint64_t min_bytes_per_second)
    : stream_(stream),
      limits_(limits),
      stall_(stall),
      min_bytes_per_second_(min_bytes_per_second) {}

template <bool is_request>
std::optional<std::uint64_t> MessageReader<is_request>::content_length() const {
  const auto length = parser_->content_length();
  return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
}

template <bool is_request>
TlsStep MessageReader<is_request>::read_ahead() {
  // OpenSSL hands out a record of 16 KiB at most; the input keeps just what came.
  static thread_local std::array<char, 16 << 10> scratch;
  const TlsStep step = stream_.try_read(scratch);
  if (step.state == TlsStep::State::done) {
    input_.erase(0, std::exchange(consumed_, 0));
    input_.append(scratch.data(), step.bytes);
  }
  return step;
}

template <bool is_request>
void MessageReader<is_request>::consume(std::size_t bytes) {
  consumed_ += bytes;
  if (consumed_ < input_.size()) return;
  input_ = std::string();  // a connection that waits holds no memory
  consumed_ = 0;
}

// Some clients end a body with a line break that its length does not count (RFC 9112, section 2.2).
template <bool is_request>
void MessageReader<is_request>::skip_empty_lines() {
  if (parser_->got_some()) return;
  consume(std::min(input().find_first_not_of("\r\n"), input().size()));
}

// Waits until more input has come; false when the peer closed instead.
template <bool is_request>
Async<bool> MessageReader<is_request>::fill() {
  for (;;) {
    const TlsStep step = read_ahead();
    if (step.state == TlsStep::State::done) co_return true;
    if (step.state == TlsStep::State::closed) co_return false;
    co_await stream_.wait(step.state);
  }
}

template <bool is_request>
Async<bool> MessageReader<is_request>::wait_for_message() {
  parser_.reset();
  if (buffered() > 0) co_return true;
  co_return co_await fill();
}

template <bool is_request>
Async<MessageHead> MessageReader<is_request>::read_head(bool body_follows) {
  parser_.emplace(limits_);
  parser_->skip(!body_follows);
  patience_.emplace(stall_, min_bytes_per_second_);
  before_body_ = {};
  for (;;) {
    skip_empty_lines();
    if (buffered() > 0) consume(parser_->parse_head(input()));
    if (parser_->is_header_done()) break;
    const bool more = co_await fill();
    if (!more) throw error(ErrorKind::gone, {}, "the peer closed in the middle of a header");
  }
  co_return std::move(parser_->head());
}

template <bool is_request>
Async<void> MessageReader<is_request>::more_body() {
  const std::size_t before = buffered();
  if (before >= limits_.bytes) throw HttpError(400, "a chunk's header is too long");
  stream_.expire_after(patience_->begin());
  if (!before_body_.empty()) co_await stream_.write(std::exchange(before_body_, std::string_view()));
  const bool more = co_await fill();
  stream_.expire_never();
  patience_->end(buffered() - before);
  if (more) co_return;
  boost::beast::error_code failure;
  parser_->put_eof(failure);
  if (failure) throw error(ErrorKind::gone, {}, "the peer closed in the middle of a body");
}

template <bool is_request>
Async<std::size_t> MessageReader<is_request>::read(std::span<char> buffer) {
  std::span<char> rest = buffer;
  while (!parser_->is_done()) {
    if (buffered() > 0) consume(parser_->parse_body(input(), rest));
    if (rest.size() < buffer.size()) break;
    if (parser_->is_done()) break;
    try {
      co_await more_body();
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::timed_out) throw HttpError(408, "the body came too slowly");
      throw;
    }
  }
  co_return buffer.size() - rest.size();
}

template class MessageReader<true>;
template class MessageReader<false>;

}  // namespace virga::wire

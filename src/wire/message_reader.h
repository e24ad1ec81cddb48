// Takes HTTP messages off a TLS stream, one after another: a server's requests or a client's
// responses. It is itself the body of the message that is being read.
#pragma once

#include <optional>
#include <string>

#include "wire/message_parser.h"
#include "wire/tls_stream.h"

namespace virga::wire {

// How long a peer may keep us waiting while a message is on its way: never longer than `stall`
// without progress, and `stall` plus what the bytes so far take at the slowest rate altogether.
// Time that is not spent waiting for the peer does not count.
class Patience {
 public:
  Patience(std::chrono::milliseconds stall, std::uint64_t min_bytes_per_second)
      : stall_(stall), min_bytes_per_second_(min_bytes_per_second) {}

  // How long the wait that begins now may last.
  std::chrono::milliseconds begin();
  // That wait has ended, and brought `bytes`.
  void end(std::uint64_t bytes);

 private:
  std::chrono::milliseconds stall_;
  std::uint64_t min_bytes_per_second_;
  std::uint64_t bytes_ = 0;
  std::chrono::steady_clock::duration waited_{};
  std::chrono::steady_clock::time_point began_;
};

template <bool is_request>
class MessageReader : public ByteSource {
 public:
  MessageReader(TlsStream& stream, HeadLimits limits, std::chrono::milliseconds stall,
                std::uint64_t min_bytes_per_second);

  // Waits for the first byte of a message; false when the peer closed instead.
  Async<bool> wait_for_message();
  // Reads up to the body. A response to HEAD has none, whatever its head says. Throws HttpError,
  // Error(gone).
  Async<MessageHead> read_head(bool body_follows = true);
  // Body bytes. Throws HttpError, 408 when the peer is too slow, and Error(gone).
  Async<std::size_t> read(std::span<char> buffer) override;

  // Sent before the first wait for the body: a server's "100 Continue".
  void before_body(std::string_view words) { before_body_ = words; }
  bool body_done() const { return parser_->is_done(); }
  bool keep_alive() const { return parser_->keep_alive(); }
  bool chunked() const { return parser_->chunked(); }
  std::optional<std::uint64_t> content_length() const;

  // One attempt to read ahead, for who watches the connection while nobody reads.
  TlsStep read_ahead();
  std::size_t buffered() const { return input_.size() - consumed_; }

 private:
  std::string_view input() const { return std::string_view(input_).substr(consumed_); }
  void consume(std::size_t bytes);
  void skip_empty_lines();
  Async<bool> fill();
  Async<void> more_body();

  TlsStream& stream_;
  HeadLimits limits_;
  std::chrono::milliseconds stall_;
  std::uint64_t min_bytes_per_second_;
  std::string input_;  // bytes that came, the first consumed_ of them used up
  std::size_t consumed_ = 0;
  std::optional<MessageParser<is_request>> parser_;
  std::optional<Patience> patience_;
  std::string_view before_body_;
};

extern template class MessageReader<true>;
extern template class MessageReader<false>;

}  // namespace virga::wire

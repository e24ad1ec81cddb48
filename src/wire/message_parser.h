// Beast's HTTP/1 parser, made to fill our own types and to hand out the body into a caller's
// buffer.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "wire/http_message.h"

namespace virga::wire {

struct HeadLimits {
  std::size_t bytes = 32 << 10;
  std::size_t fields = 100;
  std::size_t target = 8 << 10;
};

// What stands before a message's body.
struct MessageHead {
  std::string method;  // of a request
  std::string target;
  int status = 0;    // of a response
  int version = 11;  // 10 or 11: HTTP/1.0 or HTTP/1.1
  Headers headers;
};

// One message; made anew for the next. Feed it with put(): what it does not consume must be given
// again, with more behind it.
template <bool is_request>
class MessageParser : public boost::beast::http::basic_parser<is_request> {
  using Base = boost::beast::http::basic_parser<is_request>;
  using ErrorCode = boost::beast::error_code;
  using Text = boost::beast::string_view;
  using BeastError = boost::beast::http::error;

 public:
  explicit MessageParser(const HeadLimits& limits) : limits_(limits) {
    this->header_limit(static_cast<std::uint32_t>(limits.bytes));
    this->body_limit(boost::none);
  }

  MessageHead& head() { return head_; }

  // Consumes head bytes from the front of `input`; throws HttpError.
  std::size_t parse_head(std::string_view input) {
    ErrorCode failure;
    const std::size_t consumed = this->put({input.data(), input.size()}, failure);
    if (failure && failure != BeastError::need_more) refuse(failure);
    return consumed;
  }

  // Consumes body bytes from the front of `input`, those of the body into `out`, of which `out` is
  // then the rest; throws HttpError.
  std::size_t parse_body(std::string_view input, std::span<char>& out) {
    if (is_cut_ && input.size() < least_last_chunk) return 0;
    out_ = out;
    std::size_t consumed = 0;
    ErrorCode failure;
    do {  // a step a chunk header, a chunk, or the end
      const std::string_view rest = input.substr(consumed);
      consumed += this->put({rest.data(), rest.size()}, failure);
    } while (!failure && !this->is_done() && consumed < input.size());
    if (failure && failure != BeastError::need_more && failure != BeastError::need_buffer)
      refuse(failure);
    is_cut_ = this->chunked() && failure == BeastError::need_more;
    out = out_;
    return consumed;
  }

 private:
  // "0\r\n\r\n": Beast asserts that it gets no less when it is asked again.
  static constexpr std::size_t least_last_chunk = 5;

  [[noreturn]] void refuse(const ErrorCode& failure) {
    if (refusal_) throw *refusal_;
    if (failure == BeastError::header_limit && head_.target.empty())
      throw HttpError(414, "the request line is too long");
    if (failure == BeastError::header_limit) throw HttpError(431, "the header is too long");
    throw HttpError(400, fmt::format("malformed message: {}", failure.message()));
  }

  void set_refusal(int status, const char* message, ErrorCode& failure) {
    refusal_.emplace(status, message);
    failure = BeastError::bad_value;
  }

  void on_request_impl(boost::beast::http::verb, Text method, Text target, int version,
                       ErrorCode& failure) override {
    head_.version = version;
    if (target.size() > limits_.target)
      return set_refusal(414, "the request target is too long", failure);
    head_.method.assign(method.data(), method.size());
    head_.target.assign(target.data(), target.size());
  }

  void on_response_impl(int code, Text, int version, ErrorCode&) override {
    head_.version = version;
    head_.status = code;
  }

  void on_field_impl(boost::beast::http::field, Text name, Text value,
                     ErrorCode& failure) override {
    if (head_complete_) return;  // trailers say nothing we act upon
    constexpr std::size_t kPunctuation = 4;
    bytes_ += name.size() + value.size() + kPunctuation;
    if (bytes_ > limits_.bytes) return set_refusal(431, "the header is too long", failure);
    if (head_.headers.size() >= limits_.fields)
      return set_refusal(431, "there are too many header fields", failure);
    head_.headers.add(std::string(name), std::string(value));
  }

  void on_header_impl(ErrorCode&) override { head_complete_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
  void on_chunk_header_impl(std::uint64_t, Text, ErrorCode&) override {}
  void on_finish_impl(ErrorCode&) override {}

  std::size_t on_body_impl(Text body, ErrorCode& failure) override {
    const std::size_t taken = std::min(body.size(), out_.size());
    std::memcpy(out_.data(), body.data(), taken);
    out_ = out_.subspan(taken);
    if (taken < body.size()) failure = BeastError::need_buffer;
    return taken;
  }

  std::size_t on_chunk_body_impl(std::uint64_t, Text body, ErrorCode& failure) override {
    return on_body_impl(body, failure);
  }

  const HeadLimits limits_;
  MessageHead head_;
  bool head_complete_ = false;
  std::size_t bytes_ = 0;
  std::optional<HttpError> refusal_;
  std::span<char> out_;
  bool is_cut_ = false;  // the header of a chunk has not come whole
};

}  // namespace virga::wire

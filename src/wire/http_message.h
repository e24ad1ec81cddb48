// What HTTP says, as plain values: headers, targets, ranges, and bytes that come piece by piece.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/async.h"
#include "base/error.h"

namespace virga::wire {

// Header fields in the order they came; names compare without case (RFC 9110, section 5.1).
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  // The first field of that name, or null.
  const std::string* find(std::string_view name) const;
  // Its value, or an empty view.
  std::string_view get(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  // Whether a comma-separated field (Connection, Accept-Encoding, ...) lists `token`, without case
  // and without its parameters.
  bool lists(std::string_view name, std::string_view token) const;

  void add(std::string name, std::string value);
  // Replaces every field of that name.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);

  std::size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

// The parameters of a query in the order they came; names compare exactly.
class Query {
 public:
  const std::string* find(std::string_view name) const;
  std::string_view get(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;

  void add(std::string name, std::string value);
  std::size_t size() const { return parameters_.size(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// A request target in origin form (RFC 9112, section 3.2.1), decoded.
struct Target {
  std::string path;  // begins with '/'; has no empty, "." or ".." segment but for a final '/'
  Query query;       // '+' is a space, as HTML forms write it
};
// nullopt: not origin or absolute form, a broken percent sign, a NUL, or a dot segment. Empty
// segments ("//") are folded into one slash.
std::optional<Target> parse_target(std::string_view target);

std::string percent_encode(std::string_view text);  // everything but RFC 3986's unreserved
std::optional<std::string> percent_decode(std::string_view text);

// One range of bytes, both ends within the content.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const ByteRange&) const = default;
};
struct RangeRequest {
  enum class Kind { whole, part, unsatisfiable } kind = Kind::whole;
  ByteRange range;
};
// The Range header's value against content of `size` bytes (RFC 9110, section 14.2). Malformed
// values, other units and sets of ranges mean the whole content, as the RFC allows.
RangeRequest parse_range(std::string_view header, std::uint64_t size);

std::string_view status_text(int status);
std::string http_date(std::int64_t unix_seconds);  // IMF-fixdate, RFC 9110, section 5.6.7

// The status that tells a client of an Error of this kind.
int status_of(ErrorKind kind);

// An Error that is answered with a status of its own choice.
class HttpError : public Error {
 public:
  HttpError(int status, const std::string& message)
      : Error(ErrorKind::invalid_argument, {}, message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

bool equal_without_case(std::string_view a, std::string_view b);
// Without spaces and tabs at either end.
std::string_view trim(std::string_view text);
// Cuts the part before the first `separator` off the front of `rest`, and returns it; the separator
// goes too.
std::string_view cut(std::string_view& rest, char separator);

// Bytes that come piece by piece: an upload, a download, a file.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Puts at least one byte at the front of `buffer` and returns how many; 0: that was all. Throws
  // Error when the rest cannot be had.
  virtual Async<std::size_t> read(std::span<char> buffer) = 0;
};

}  // namespace virga::wire

#include "wire/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace virga::wire {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t value = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, failure] = std::from_chars(digits.data(), last, value);
  if (failure != std::errc() || end != last) return std::nullopt;
  return value;
}

// The decoded path with empty segments folded away; nullopt when a segment is "." or "..".
std::optional<std::string> clean_path(std::string_view decoded) {
  std::string path;
  std::string_view rest = decoded.substr(1);
  while (!rest.empty()) {
    const std::string_view segment = cut(rest, '/');
    if (segment == "." || segment == "..") return std::nullopt;
    if (segment.empty()) continue;
    path += '/';
    path += segment;
  }
  if (decoded.ends_with('/')) path += '/';
  return path;
}

// "https://host/path" as "/path": the absolute form, which servers must accept.
std::string_view origin_form(std::string_view target) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!target.starts_with(scheme)) continue;
    const std::size_t path = target.find('/', scheme.size());
    return path == target.npos ? "/" : target.substr(path);
  }
  return target;
}

std::optional<Query> parse_query(std::string_view text) {
  Query query;
  while (!text.empty()) {
    std::string parameter(cut(text, '&'));
    if (parameter.empty()) continue;
    std::replace(parameter.begin(), parameter.end(), '+', ' ');
    std::string_view value = parameter;
    const std::string_view name = cut(value, '=');
    auto decoded_name = percent_decode(name);
    auto decoded_value = percent_decode(value);
    if (!decoded_name || !decoded_value) return std::nullopt;
    query.add(std::move(*decoded_name), std::move(*decoded_value));
  }
  return query;
}

}  // namespace

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view cut(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* Headers::find(std::string_view name) const {
  for (const Field& field : fields_)
    if (equal_without_case(field.first, name)) return &field.second;
  return nullptr;
}

std::string_view Headers::get(std::string_view name) const {
  const std::string* value = find(name);
  return value ? std::string_view(*value) : std::string_view();
}

bool Headers::lists(std::string_view name, std::string_view token) const {
  for (const Field& field : fields_) {
    if (!equal_without_case(field.first, name)) continue;
    std::string_view rest = field.second;
    while (!rest.empty()) {
      std::string_view member = cut(rest, ',');
      if (equal_without_case(trim(cut(member, ';')), token)) return true;
    }
  }
  return false;
}

void Headers::add(std::string name, std::string value) {
  fields_.emplace_back(std::move(name), std::move(value));
}

void Headers::set(std::string_view name, std::string value) {
  remove(name);
  add(std::string(name), std::move(value));
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Field& field) { return equal_without_case(field.first, name); });
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [key, value] : parameters_)
    if (key == name) return &value;
  return nullptr;
}

std::string_view Query::get(std::string_view name) const {
  const std::string* value = find(name);
  return value ? std::string_view(*value) : std::string_view();
}

std::vector<std::string_view> Query::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : parameters_)
    if (key == name) values.push_back(value);
  return values;
}

void Query::add(std::string name, std::string value) {
  parameters_.emplace_back(std::move(name), std::move(value));
}

std::optional<Target> parse_target(std::string_view target) {
  std::string_view rest = origin_form(target);
  if (!rest.starts_with('/')) return std::nullopt;
  if (rest.find('#') != rest.npos) return std::nullopt;
  const auto decoded = percent_decode(cut(rest, '?'));
  if (!decoded) return std::nullopt;
  auto path = clean_path(*decoded);
  auto query = parse_query(rest);
  if (!path || !query) return std::nullopt;
  return Target{std::move(*path), std::move(*query)};
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kUnreservedMarks = "-._~";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool alphanumeric = (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
    if (alphanumeric || kUnreservedMarks.find(c) != kUnreservedMarks.npos) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 15];
  }
  return encoded;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  return decoded;
}

RangeRequest parse_range(std::string_view header, std::uint64_t size) {
  using Kind = RangeRequest::Kind;
  constexpr std::string_view kUnit = "bytes=";
  if (header.size() < kUnit.size() || !equal_without_case(header.substr(0, kUnit.size()), kUnit))
    return {};
  std::string_view last = trim(header.substr(kUnit.size()));
  const bool has_dash = last.find('-') != last.npos;
  const std::string_view first = trim(cut(last, '-'));
  last = trim(last);
  if (!has_dash || (first.empty() && last.empty())) return {};

  const auto from = parse_number(first);
  const auto to = parse_number(last);
  if ((!first.empty() && !from) || (!last.empty() && !to)) return {};

  if (!from) {  // the last N bytes
    if (*to == 0 || size == 0) return {Kind::unsatisfiable, {}};
    const std::uint64_t length = std::min(*to, size);
    return {Kind::part, {size - length, length}};
  }
  if (to && *to < *from) return {};
  if (*from >= size) return {Kind::unsatisfiable, {}};
  const std::uint64_t end = to ? std::min(*to, size - 1) : size - 1;
  return {Kind::part, {*from, end - *from + 1}};
}

std::string_view status_text(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
  }
  return "Status";
}

std::string http_date(std::int64_t unix_seconds) {
  static constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                            "Thu", "Fri", "Sat"};
  static constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_argument:
      return 400;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::already_exists:
      return 409;
    case ErrorKind::access_denied:
      return 403;
    case ErrorKind::busy:
      return 409;
    case ErrorKind::invalid_state:
      return 409;
    case ErrorKind::no_space:
      return 507;
    case ErrorKind::unsupported:
      return 501;
    case ErrorKind::io:
      return 500;
    case ErrorKind::gone:
      return 502;
    case ErrorKind::timed_out:
      return 504;
    case ErrorKind::cancelled:
      return 503;
    case ErrorKind::damaged:
      return 500;
  }
  return 500;
}

}  // namespace virga::wire

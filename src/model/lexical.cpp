#include "model/lexical.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>

namespace virga::model {
namespace {

using namespace std::chrono;

// Takes a text apart from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `count` digits; -1 when they are not there.
  int digits(std::size_t count) {
    if (rest_.size() < count) return -1;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_digit(rest_[i])) return -1;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }
  // The decimals of a second as microseconds; what is finer is cut off.
  std::optional<microseconds> fraction() {
    int value = 0;
    int places = 0;
    for (; !rest_.empty() && is_digit(rest_.front()); rest_.remove_prefix(1), ++places) {
      if (places < 6) value = value * 10 + (rest_.front() - '0');
    }
    if (places == 0) return std::nullopt;
    for (; places < 6; ++places) value *= 10;
    return microseconds(value);
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  std::string_view rest_;
};

std::optional<sys_days> scan_date(Scanner& text) {
  const int y = text.digits(4);
  if (!text.take('-')) return std::nullopt;
  const int m = text.digits(2);
  if (!text.take('-')) return std::nullopt;
  const int d = text.digits(2);
  if (y < 1 || m < 1 || d < 1) return std::nullopt;
  const year_month_day date{year(y), month(static_cast<unsigned>(m)),
                            day(static_cast<unsigned>(d))};
  return date.ok() ? std::optional<sys_days>(date) : std::nullopt;
}

// A leap second (:60) reads as the first of the next minute, and 24:00:00 as the next midnight.
std::optional<microseconds> scan_time_of_day(Scanner& text) {
  const int h = text.digits(2);
  if (!text.take(':')) return std::nullopt;
  const int m = text.digits(2);
  if (!text.take(':')) return std::nullopt;
  const int s = text.digits(2);
  const bool in_day = h >= 0 && h < 24 && m >= 0 && m < 60 && s >= 0 && s <= 60;
  if (!in_day && !(h == 24 && m == 0 && s == 0)) return std::nullopt;
  microseconds time = hours(h) + minutes(m) + seconds(s);
  if (text.take('.')) {
    const auto fraction = text.fraction();
    if (!fraction) return std::nullopt;
    time += *fraction;
  }
  return time;
}

// What the zone is ahead of UTC by.
std::optional<minutes> scan_zone(Scanner& text) {
  if (text.at_end() || text.take('Z')) return minutes(0);
  const bool ahead = text.take('+');
  if (!ahead && !text.take('-')) return std::nullopt;
  const int h = text.digits(2);
  if (!text.take(':')) return std::nullopt;
  const int m = text.digits(2);
  if (h < 0 || h > 14 || m < 0 || m > 59) return std::nullopt;
  const minutes offset = hours(h) + minutes(m);
  return ahead ? offset : -offset;
}

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_digit_values() {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr std::array<std::int8_t, 256> kDigitValues = make_digit_values();

}  // namespace

std::string format_time(Time time) {
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (clock.subseconds().count() != 0) text += fmt::format(".{:06}", clock.subseconds().count());
  text += 'Z';
  return text;
}

std::optional<Time> parse_time(std::string_view text) {
  Scanner scanner(text);
  const auto day = scan_date(scanner);
  if (!day || !scanner.take('T')) return std::nullopt;
  const auto time = scan_time_of_day(scanner);
  if (!time) return std::nullopt;
  const auto zone = scan_zone(scanner);
  if (!zone || !scanner.at_end()) return std::nullopt;
  return *day + *time - *zone;
}

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < group.size() ? static_cast<unsigned char>(group[j]) : 0);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= group.size() ? kDigits[bits >> (18 - 6 * j) & 0x3F] : '=';
    }
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  std::size_t digits = 0;
  std::size_t padding = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int value = kDigitValues[static_cast<unsigned char>(c)];
    if (value < 0 || padding != 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    // The second to fourth digit of a group each complete a byte.
    if (++digits % 4 == 2) bytes += static_cast<char>(bits >> 4);
    if (digits % 4 == 3) bytes += static_cast<char>(bits >> 2);
    if (digits % 4 == 0) bytes += static_cast<char>(bits);
  }
  const bool complete = digits % 4 == 0 ? padding == 0 : digits % 4 + padding == 4;
  if (!complete || padding > 2) return std::nullopt;
  return bytes;
}

}  // namespace virga::model

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

}  // namespace virga::model

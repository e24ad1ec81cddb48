// The position of a history collector: pure, over any sequence of items with rising keys that may
// grow at its new end and lose items at its old one between two calls.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace virga::kernel {

class HistoryCursor {
 public:
  // `keys` rise. Before the oldest item.
  void rewind() { next_ = 0; }
  // Just before the newest `page` items.
  void reset(const std::vector<std::int64_t>& keys, std::size_t page) {
    next_ = keys.size() <= page ? 0 : keys[keys.size() - page];
  }
  // Indexes of the next `count` newer items, oldest first; moves behind them.
  std::vector<std::size_t> forward(const std::vector<std::int64_t>& keys, std::size_t count) {
    std::vector<std::size_t> read;
    auto at = static_cast<std::size_t>(
        std::lower_bound(keys.begin(), keys.end(), next_) - keys.begin());
    for (; at < keys.size() && read.size() < count; ++at) read.push_back(at);
    if (!read.empty()) next_ = keys[read.back()] + 1;
    return read;
  }
  // Indexes of the next `count` older items, newest first; moves before them.
  std::vector<std::size_t> backward(const std::vector<std::int64_t>& keys, std::size_t count) {
    std::vector<std::size_t> read;
    auto at = static_cast<std::size_t>(
        std::lower_bound(keys.begin(), keys.end(), next_) - keys.begin());
    while (at > 0 && read.size() < count) read.push_back(--at);
    if (!read.empty()) next_ = keys[read.back()];
    return read;
  }

 private:
  std::int64_t next_ = 0;    // the key at which reading forward begins
};

}  // namespace virga::kernel

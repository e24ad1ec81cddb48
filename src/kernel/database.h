// A daemon's own records: documents by table and key, and the event log. Embedded in SQLite through
// SOCI. What put() and erase() return from is on stable storage; a crash at any moment leaves the
// records of before or after, never between.
//
// One thread at a time. Errors of the database are virga::Error (io, damaged) naming the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace virga::kernel {

class Database {
 public:
  // Opens the file, making and migrating it as needed. An empty path keeps everything in memory,
  // for simulators and tests.
  explicit Database(const std::filesystem::path& file);
  ~Database();

  std::optional<std::string> get(const std::string& table, const std::string& key) const;
  std::map<std::string, std::string> all(const std::string& table) const;
  void put(const std::string& table, const std::string& key, const std::string& document);
  void erase(const std::string& table, const std::string& key);

  struct EventRecord {
    std::int32_t key = 0;
    std::string document;          // the event as JSON
  };
  // Events are many and small: they wait for the next put(), erase() or flush() to reach the disk
  // with it. Where those keep failing, the newest 10,000 wait.
  void append_event(const EventRecord& event);
  void flush();
  // Oldest first, the newest `most` of them.
  std::vector<EventRecord> events(std::size_t most) const;
  // Keeps the newest `keep`.
  void trim_events(std::size_t keep);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace virga::kernel

#include "kernel/database.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/stat.h>

#include <deque>

#include "base/error.h"
#include "base/file.h"

namespace virga::kernel {
namespace {

// Each step brings a database of version N to N+1; the version is SQLite's user_version.
constexpr const char* kMigrations[] = {
    "create table record (tab text not null, key text not null, document text not null,"
    " primary key (tab, key)) without rowid;"
    "create table event (key integer primary key, document text not null)",
};
constexpr int kVersion = static_cast<int>(std::size(kMigrations));
constexpr std::size_t kMostPending = 10'000;

// Runs `work`, turning the library's exceptions into ours.
template <class Work>
auto guarded(const std::string& file, Work work) {
  try {
    return work();
  } catch (const soci::soci_error& failure) {
    throw error(ErrorKind::io, file, "database {}: {}", file, failure.what());
  }
}

void migrate(soci::session& sql, const std::string& file) {
  int version = 0;
  sql << "pragma user_version", soci::into(version);
  if (version > kVersion)
    throw error(ErrorKind::damaged, file, "database {} is of version {}, newer than this program's {}",
                file, version, kVersion);
  for (; version < kVersion; ++version) {
    soci::transaction step(sql);
    std::string script = kMigrations[version];
    for (std::size_t start = 0; start < script.size();) {
      const auto end = std::min(script.find(';', start), script.size());
      sql << script.substr(start, end - start);
      start = end + 1;
    }
    sql << "pragma user_version = " + std::to_string(version + 1);
    step.commit();
  }
}

}  // namespace

struct Database::State {
  std::string file;
  mutable soci::session sql;
  std::deque<EventRecord> pending;

  void write_events() {
    for (const EventRecord& event : pending) {
      sql << "insert or replace into event (key, document) values (:k, :d)", soci::use(event.key),
          soci::use(event.document);
    }
  }
  // A change together with the events that wait.
  template <class Change>
  void commit(Change change) {
    guarded(file, [&] {
      soci::transaction transaction(sql);
      write_events();
      change();
      transaction.commit();
    });
    pending.clear();
  }
};

Database::Database(const std::filesystem::path& file) : state_(std::make_unique<State>()) {
  state_->file = file.empty() ? ":memory:" : file.string();
  // Secrets lie in it. SQLite gives the files it makes beside this one the same permissions.
  if (!file.empty()) {
    const Fd created = open_file(file, O_RDWR | O_CREAT, 0600);
    if (::fchmod(created.get(), 0600) != 0) throw system_error(state_->file, "cannot protect");
  }
  guarded(state_->file, [&] {
    state_->sql.open(soci::sqlite3, "dbname=" + state_->file);
    if (!file.empty()) {
      // Write-ahead logging with a sync at each commit: durable, and readers do not wait.
      std::string mode;
      state_->sql << "pragma journal_mode = wal", soci::into(mode);
      state_->sql << "pragma synchronous = full";
    }
    migrate(state_->sql, state_->file);
  });
}

Database::~Database() {
  try {
    if (!state_->pending.empty()) state_->commit([] {});
  } catch (const Error&) {
    // Nothing is left to tell it to; what is lost are the events since the last flush.
  }
}

std::optional<std::string> Database::get(const std::string& table, const std::string& key) const {
  return guarded(state_->file, [&]() -> std::optional<std::string> {
    std::string document;
    state_->sql << "select document from record where tab = :t and key = :k", soci::use(table),
        soci::use(key), soci::into(document);
    return state_->sql.got_data() ? std::optional(document) : std::nullopt;
  });
}

std::map<std::string, std::string> Database::all(const std::string& table) const {
  return guarded(state_->file, [&] {
    std::map<std::string, std::string> records;
    const soci::rowset<soci::row> rows =
        (state_->sql.prepare << "select key, document from record where tab = :t", soci::use(table));
    for (const soci::row& row : rows)
      records[row.get<std::string>(0)] = row.get<std::string>(1);
    return records;
  });
}

void Database::put(const std::string& table, const std::string& key, const std::string& document) {
  state_->commit([&] {
    state_->sql << "insert or replace into record (tab, key, document) values (:t, :k, :d)",
        soci::use(table), soci::use(key), soci::use(document);
  });
}

void Database::erase(const std::string& table, const std::string& key) {
  state_->commit([&] {
    state_->sql << "delete from record where tab = :t and key = :k", soci::use(table),
        soci::use(key);
  });
}

void Database::append_event(const EventRecord& event) {
  state_->pending.push_back(event);
  if (state_->pending.size() > kMostPending) state_->pending.pop_front();
}

void Database::flush() {
  if (!state_->pending.empty()) state_->commit([] {});
}

std::vector<Database::EventRecord> Database::events(std::size_t most) const {
  state_->commit([] {});
  return guarded(state_->file, [&] {
    std::vector<EventRecord> records;
    const long long limit = static_cast<long long>(most);
    const soci::rowset<soci::row> rows =
        (state_->sql.prepare << "select key, document from (select key, document from event"
                                " order by key desc limit :n) order by key",
         soci::use(limit));
    for (const soci::row& row : rows)
      records.push_back({row.get<int>(0), row.get<std::string>(1)});
    return records;
  });
}

void Database::trim_events(std::size_t keep) {
  const long long kept = static_cast<long long>(keep);
  state_->commit([&] {
    state_->sql << "delete from event where key <= (select max(key) from event) - :n",
        soci::use(kept);
  });
}

}  // namespace virga::kernel

#include "kernel/accounts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"
#include "base/uuid.h"

namespace virga::kernel {
namespace {

constexpr const char* kTable = "account";
constexpr const char* kFirst = "root";
constexpr int kFailuresAllowed = 5;
constexpr auto kLockTime = std::chrono::minutes(15);

// scrypt (RFC 7914) with N=2^14, r=8, p=1: 16 MiB and some 50 ms a guess.
std::string derive(const std::string& password, const std::string& salt) {
  unsigned char key[32];
  if (EVP_PBE_scrypt(password.data(), password.size(),
                     reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), 1 << 14, 8,
                     1, 64 << 20, key, sizeof key) != 1)
    throw error(ErrorKind::io, "scrypt", "the password could not be hashed");
  std::string text;
  for (const unsigned char byte : key) text += fmt::format("{:02x}", byte);
  return text;
}

struct Record {
  Account account;
  std::string salt;
  std::string hash;
};

std::string to_text(const Record& record) {
  json::array groups;
  for (const auto& group : record.account.groups) groups.emplace_back(group);
  return json::serialize(json::object{{"description", record.account.description},
                                      {"groups", groups},
                                      {"salt", record.salt},
                                      {"hash", record.hash}});
}

Record from_text(const std::string& name, const std::string& text) {
  try {
    const json::value value = json::parse(text);
    Record record{{name, json::value_to<std::string>(value.at("description")), {}},
                  json::value_to<std::string>(value.at("salt")),
                  json::value_to<std::string>(value.at("hash"))};
    for (const auto& group : value.at("groups").as_array())
      record.account.groups.push_back(json::value_to<std::string>(group));
    return record;
  } catch (const std::exception& failure) {
    throw error(ErrorKind::damaged, name, "the record of account {} is damaged: {}", name,
                failure.what());
  }
}

// ESXi's default rule: at least 7 characters of at least three of four classes.
void check_password(const std::string& name, const std::string& password) {
  bool lower = false, upper = false, digit = false, other = false;
  for (const char c : password) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::islower(byte)) lower = true;
    else if (std::isupper(byte)) upper = true;
    else if (std::isdigit(byte)) digit = true;
    else other = true;
  }
  if (password.size() < 7 || lower + upper + digit + other < 3)
    throw error(ErrorKind::invalid_argument, "password",
                "the password of {} is too weak: it needs 7 characters of three of the classes "
                "lower case, upper case, digits and others", name);
}

void check_name(const std::string& name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  };
  if (name.empty() || name.size() > 32 || !std::all_of(name.begin(), name.end(), allowed))
    throw error(ErrorKind::invalid_argument, "id",
                "'{}' is no account name: 1 to 32 letters, digits, '_', '-' and '.'", name);
}

}  // namespace

struct Accounts::State {
  std::shared_ptr<Database> database;
  asio::thread_pool& workers;
  struct Failures {
    int count = 0;
    std::chrono::steady_clock::time_point last;
  };
  std::map<std::string, Failures> failures;

  std::optional<Record> load(const std::string& name) const {
    const auto text = database->get(kTable, name);
    return text ? std::optional(from_text(name, *text)) : std::nullopt;
  }
  void store(const Record& record) {
    database->put(kTable, record.account.name, to_text(record));
  }
  bool locked(const std::string& name) const {
    const auto found = failures.find(name);
    return name != kFirst && found != failures.end() && found->second.count >= kFailuresAllowed &&
           std::chrono::steady_clock::now() - found->second.last < kLockTime;
  }
  void note(const std::string& name, bool right) {
    if (right) {
      failures.erase(name);
      return;
    }
    if (failures.size() > 10'000) failures.clear();    // names that never existed may be many
    ++failures[name].count;
    failures[name].last = std::chrono::steady_clock::now();
  }
  Async<Record> with_password(Record record, std::string password) {
    record.salt = random_hex(16);
    const std::string salt = record.salt;
    const auto work = [password, salt] { return derive(password, salt); };
    record.hash = co_await offload(workers, work);
    co_return record;
  }
};

Accounts::Accounts(std::shared_ptr<Database> database, asio::thread_pool& workers)
    : state_(std::make_shared<State>(State{std::move(database), workers, {}})) {}

std::vector<Account> Accounts::all() const {
  std::vector<Account> accounts;
  for (const auto& [name, text] : state_->database->all(kTable))
    accounts.push_back(from_text(name, text).account);
  return accounts;
}

std::optional<Account> Accounts::find(const std::string& name) const {
  const auto record = state_->load(name);
  return record ? std::optional(record->account) : std::nullopt;
}

Async<bool> Accounts::verify(std::string name, std::string password) {
  const auto state = state_;
  const auto record = state->load(name);
  // An unknown name is hashed like a known one, so that the time tells nothing.
  const std::string salt = record ? record->salt : std::string(32, '0');
  const auto work = [password, salt] { return derive(password, salt); };
  const std::string derived =
      co_await offload(state->workers, work);
  const bool right = record && derived.size() == record->hash.size() &&
                     CRYPTO_memcmp(derived.data(), record->hash.data(), derived.size()) == 0;
  if (state->locked(name)) co_return false;
  state->note(name, right);
  co_return right;
}

Async<void> Accounts::create(Account account, std::string password) {
  check_name(account.name);
  check_password(account.name, password);
  if (state_->load(account.name))
    throw error(ErrorKind::already_exists, account.name, "account {} exists already", account.name);
  const auto state = state_;
  Record record{std::move(account), {}, {}};
  record = co_await state->with_password(std::move(record), std::move(password));
  state->store(record);
}

Async<void> Accounts::update(std::string name, std::optional<std::string> description,
                             std::optional<std::string> password) {
  const auto state = state_;
  auto record = state->load(name);
  if (!record) throw error(ErrorKind::not_found, name, "there is no account {}", name);
  if (password) {
    check_password(name, *password);
    record = co_await state->with_password(*record, *password);
  }
  if (description) record->account.description = *description;
  state->store(*record);
}

void Accounts::remove(const std::string& name) {
  if (!state_->load(name)) throw error(ErrorKind::not_found, name, "there is no account {}", name);
  if (name == kFirst)
    throw error(ErrorKind::invalid_state, name, "account {} cannot be removed", name);
  state_->database->erase(kTable, name);
}

Async<void> Accounts::set_password(std::string name, std::string password) {
  const auto state = state_;
  Record record = state->load(name).value_or(Record{{name, "", {}}, {}, {}});
  record = co_await state->with_password(std::move(record), std::move(password));
  state->store(record);
}

}  // namespace virga::kernel

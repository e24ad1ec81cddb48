// Local accounts: names, descriptions and salted password hashes (scrypt), kept in the database.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "kernel/database.h"

namespace virga::kernel {

struct Account {
  std::string name;
  std::string description;
  std::vector<std::string> groups;
};

class Accounts {
 public:
  Accounts(std::shared_ptr<Database> database, asio::thread_pool& workers);

  std::vector<Account> all() const;
  std::optional<Account> find(const std::string& name) const;

  // Hashes on the worker threads. A wrong name takes as long as a wrong password; after 5 failures
  // in a row an account is locked for 15 minutes (but never the first one, root).
  Async<bool> verify(std::string name, std::string password);

  // Throw virga::Error: already_exists, not_found, invalid_argument (a name or password that the
  // rules refuse: at least 7 characters of three classes, as ESXi has it).
  Async<void> create(Account account, std::string password);
  // Any part may be left out.
  Async<void> update(std::string name, std::optional<std::string> description,
                     std::optional<std::string> password);
  void remove(const std::string& name);

  // Sets a password without the rules: the first start's own making, or --password-file.
  Async<void> set_password(std::string name, std::string password);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace virga::kernel

#include "kernel/user_directory.h"

#include <strings.h>

#include <algorithm>

#include "kernel/accounts.h"
#include "kernel/faults.h"

namespace virga::kernel {
namespace {

bool matches(const std::string& text, const std::string& search, bool exact) {
  if (search.empty()) return true;
  if (exact) return strcasecmp(text.c_str(), search.c_str()) == 0;
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), search.begin(), search.end(), same) != text.end();
}

}  // namespace

UserDirectory::UserDirectory(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self)), kernel_(kernel) {}

Async<model::List<vim::UserSearchResult>> UserDirectory::RetrieveUserGroups(
    model::Call&, const vim::RetrieveUserGroupsRequestType& r) {
  if (r.domain && !r.domain->empty()) throw not_found("The domain " + *r.domain);
  model::List<vim::UserSearchResult> found;
  if (!r.findUsers || r.belongsToGroup) co_return found;    // there are no groups yet
  for (const Account& account : kernel_.accounts->all()) {
    if (!matches(account.name, r.searchStr, r.exactMatch)) continue;
    auto& result = found.emplace_back();
    result.principal = account.name;
    result.fullName = account.description;
    result.group = false;
  }
  co_return found;
}

}  // namespace virga::kernel

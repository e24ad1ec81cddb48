// UserDirectory: the accounts, as something to search in.
#pragma once

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class UserDirectory final : public Implements<vim::UserDirectory> {
 public:
  UserDirectory(Kernel& kernel, MoRef self);

  Async<model::List<vim::UserSearchResult>> RetrieveUserGroups(
      model::Call&, const vim::RetrieveUserGroupsRequestType&) override;

 private:
  Kernel& kernel_;
};

}  // namespace virga::kernel

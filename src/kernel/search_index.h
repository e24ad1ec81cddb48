// SearchIndex: finds entities by UUID, inventory path, DNS name, address or datastore path. What the
// caller may not see (System.View) is not found.
#pragma once

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class SearchIndex final : public Implements<vim::SearchIndex> {
 public:
  SearchIndex(Kernel& kernel, MoRef self);

 private:
  Kernel& kernel_;
};

}  // namespace virga::kernel

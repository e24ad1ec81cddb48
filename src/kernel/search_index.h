// SearchIndex: finds entities by UUID, inventory path, DNS name, address or datastore path. What
// the caller may not see (System.View) is not found.
#pragma once

#include <functional>
#include <string_view>

#include "kernel/retrieval.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class SearchIndex final : public Implements<vim::SearchIndex> {
 public:
  SearchIndex(Kernel& kernel, MoRef self);

  Async<std::optional<MoRef>> FindByUuid(model::Call& call,
                                         const vim::FindByUuidRequestType& r) override;
  Async<std::optional<MoRef>> FindByDatastorePath(
      model::Call& call, const vim::FindByDatastorePathRequestType& r) override;
  Async<std::optional<MoRef>> FindByDnsName(model::Call& call,
                                            const vim::FindByDnsNameRequestType& r) override;
  Async<std::optional<MoRef>> FindByIp(model::Call& call,
                                       const vim::FindByIpRequestType& r) override;
  Async<std::optional<MoRef>> FindByInventoryPath(
      model::Call& call, const vim::FindByInventoryPathRequestType& r) override;
  Async<std::optional<MoRef>> FindChild(model::Call& call,
                                        const vim::FindChildRequestType& r) override;
  Async<model::Array<MoRef>> FindAllByUuid(model::Call& call,
                                           const vim::FindAllByUuidRequestType& r) override;
  Async<model::Array<MoRef>> FindAllByDnsName(model::Call& call,
                                              const vim::FindAllByDnsNameRequestType& r) override;
  Async<model::Array<MoRef>> FindAllByIp(model::Call& call,
                                         const vim::FindAllByIpRequestType& r) override;

 private:
  Kernel& kernel_;
};

}  // namespace virga::kernel

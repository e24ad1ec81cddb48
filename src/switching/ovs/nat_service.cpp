#include "switching/ovs/nat_service.h"

#include <algorithm>

#include "base/process.h"
#include "switching/ovs/netdev.h"

namespace virga::switching::ovs {

NatService::NatService(asio::any_io_executor executor, asio::thread_pool& pool, std::string table,
                       Files files, Started started)
    : executor_(std::move(executor)),
      pool_(pool),
      table_(std::move(table)),
      files_(std::move(files)),
      started_(std::move(started)) {}

void NatService::adopt() {
  for (const auto& device : files_.dhcp_devices()) {
    auto daemon = std::make_shared<Daemon>(executor_, pool_, dhcp_program(files_, device));
    if (!daemon->adopt()) continue;
    dhcp_[device] = daemon;
    started_(daemon);
  }
}

Async<void> NatService::apply(std::vector<NatNetwork> wanted, bool devices_are_new) {
  if (!devices_are_new && serves(wanted)) co_return;
  served_.reset();
  co_await end_unwanted(wanted);
  for (const auto& network : wanted) {
    disable_ipv6(network.device);
    set_ipv4_address(network.device, network.subnet.gateway(), network.subnet.netmask());
    set_up(network.device);
  }
  std::string rules = wanted.empty() ? nft_removal(table_) : nft_ruleset(table_, wanted);
  co_await load_rules(std::move(rules));
  if (!wanted.empty()) enable_ipv4_forwarding();
  for (const auto& network : wanted) co_await serve_dhcp(network, devices_are_new);
  served_ = std::move(wanted);
}

bool NatService::serves(const std::vector<NatNetwork>& wanted) const {
  return served_ == wanted && std::all_of(dhcp_.begin(), dhcp_.end(), [](const auto& entry) {
           return entry.second->running();
         });
}

Async<void> NatService::stop() {
  for (auto& [device, daemon] : dhcp_) co_await daemon->stop();
  dhcp_.clear();
  co_await load_rules(nft_removal(table_));
}

void NatService::abandon() {
  for (auto& [device, daemon] : dhcp_) daemon->abandon();
}

Async<void> NatService::load_rules(std::string rules) {
  const auto load = [rules = std::move(rules)] { run_checked({"nft", "-f", "-"}, rules); };
  co_await offload(pool_, load);
}

Async<void> NatService::end_unwanted(const std::vector<NatNetwork>& wanted) {
  for (auto at = dhcp_.begin(); at != dhcp_.end();) {
    const std::string device = at->first;
    const bool stays = std::any_of(wanted.begin(), wanted.end(), [&](const NatNetwork& network) {
      return network.device == device;
    });
    if (stays) {
      ++at;
      continue;
    }
    co_await at->second->stop();
    at = dhcp_.erase(at);
    files_.remove_dhcp(device);
  }
}

Async<void> NatService::serve_dhcp(NatNetwork wanted, bool device_is_new) {
  const fs::path path = files_.dhcp_configuration(wanted.device);
  const std::string text = dnsmasq_configuration(wanted, files_.dhcp(wanted.device), dhcp_user());
  const bool same = fs::exists(path) && read_file(path) == text;
  auto& daemon = dhcp_[wanted.device];
  if (!daemon)
    daemon = std::make_shared<Daemon>(executor_, pool_, dhcp_program(files_, wanted.device));
  if (daemon->running() && same && !device_is_new) co_return;
  co_await daemon->stop();
  if (!same) write_file_atomically(path, text);
  co_await daemon->start();
  started_(daemon);
}

}  // namespace virga::switching::ovs

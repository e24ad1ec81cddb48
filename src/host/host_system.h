// HostSystem: the machine itself.
#pragma once

#include "host/entity.h"

namespace virga::host {

class HostSystem final : public Entity<vim::HostSystem> {
 public:
  explicit HostSystem(Host& host);

  // Tells the switches and port groups in `config.network`.
  void set_network(const vim::HostNetworkInfo& network);
  void set_usage(std::int32_t cpu_mhz, std::int32_t memory_mib);
  // False in maintenance mode and while it is awaited.
  bool starts_guests() const {
    return !entering_maintenance_ && !properties().runtime->inMaintenanceMode;
  }

  Async<model::Ptr<vim::HostConnectInfo>> QueryHostConnectionInfo(
      model::Call&, const vim::QueryHostConnectionInfoRequestType&) override;
  Async<MoRef> EnterMaintenanceMode_Task(model::Call&,
                                         const vim::EnterMaintenanceModeRequestType&) override;
  Async<MoRef> ExitMaintenanceMode_Task(model::Call&,
                                        const vim::ExitMaintenanceModeRequestType&) override;
  Async<std::int64_t> QueryMemoryOverhead(model::Call&,
                                          const vim::QueryMemoryOverheadRequestType&) override;
  Async<std::int64_t> QueryMemoryOverheadEx(model::Call&,
                                            const vim::QueryMemoryOverheadExRequestType&) override;
  Async<std::int64_t> RetrieveHardwareUptime(
      model::Call&, const vim::RetrieveHardwareUptimeRequestType&) override;

 private:
  void set_maintenance_mode(bool on);
  Async<void> wait_until_no_guest_runs(std::chrono::seconds timeout, std::stop_token stop);

  bool entering_maintenance_ = false;
};

}  // namespace virga::host

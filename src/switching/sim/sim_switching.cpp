#include "switching/sim/sim_switching.h"

#include "switching/books.h"
#include "switching/names.h"

namespace virga::switching {
namespace {

class SimSwitching : public Switching {
 public:
  Async<void> start() override { co_return; }
  Async<void> stop() override { co_return; }
  Async<void> release() override { co_return; }

  std::vector<VirtualSwitch> switches() const override { return books_.switches(); }
  std::vector<PortGroup> port_groups() const override { return books_.port_groups(); }

  std::vector<Port> ports() const override {
    std::vector<Port> ports;
    for (const auto& [id, port] : books_.ports()) {
      ports.push_back(port);
      ports.back().connected = true;
    }
    return ports;
  }

  // No frame ever passes.
  std::map<std::string, PortStatistics> statistics() const override {
    std::map<std::string, PortStatistics> all;
    for (const auto& [id, port] : books_.ports()) all[id];
    return all;
  }

  Async<void> add_switch(VirtualSwitch wanted) override {
    books_.add_switch(std::move(wanted));
    co_return;
  }
  Async<void> update_switch(VirtualSwitch wanted) override {
    books_.update_switch(std::move(wanted));
    co_return;
  }
  Async<void> remove_switch(std::string name) override {
    books_.remove_switch(name);
    co_return;
  }

  Async<PortGroup> add_port_group(PortGroup wanted) override {
    co_return books_.add_port_group(std::move(wanted), {});
  }
  Async<PortGroup> update_port_group(std::string name, PortGroup wanted) override {
    co_return books_.update_port_group(name, std::move(wanted), {});
  }
  Async<void> remove_port_group(std::string name) override {
    books_.remove_port_group(name);
    co_return;
  }

  Async<Tap> attach(PortRequest request) override {
    const std::string id = tap_name("sim", request.vm, request.nic_key);
    books_.plug(id, request);
    co_return Tap{id, Fd()};
  }
  Async<void> move(std::string port, std::string port_group) override {
    books_.move(port, port_group);
    co_return;
  }
  Async<void> detach(std::string port) override {
    books_.unplug(port);
    co_return;
  }

  void on_service_change(std::function<void(const ServiceChange&)>) override {}  // nothing runs

 private:
  Books books_;
};

}  // namespace

std::shared_ptr<Switching> make_sim_switching() {
  return std::make_shared<SimSwitching>();
}

}  // namespace virga::switching

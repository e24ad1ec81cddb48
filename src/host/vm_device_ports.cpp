// Serial and parallel ports.
#include "base/error.h"
#include "host/device_option_list.h"
#include "host/serial_uri.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"

namespace virga::host {
namespace {

const FieldPaths kPortFields = {"backing.fileName", "backing.datastore", "backing.useAutoDetect",
                                "connectable.allowGuestControl"};

void set_start(const DeviceChange& change, bool& start_connected) {
  if (const auto& connectable = change.device().connectable)
    start_connected = connectable->startConnected;
}

const vim::VirtualDeviceBackingInfo& backing_of(const DeviceChange& change) {
  const auto& backing = change.device().backing;
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "the port has no backing");
  return *backing;
}

// --- Serial ports ------------------------------------------------------------------------------

class SerialPorts final : public NumberedKind<vmx::SerialPort> {
 public:
  SerialPorts()
      : NumberedKind({.devices = &vmx::MachineConfig::serial_ports,
                      .plural = "serial ports",
                      .most = most_serial_ports,
                      .controller_key = keys::sio,
                      .first_unit = 0,
                      .served = kPortFields}) {}

  bool covers(std::string_view api_type) const override { return api_type == "VirtualSerialPort"; }
  void offer(DeviceOptionList& options) const override;
  void build(MachineBuild& machine) const override;

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list,
                                 const vmx::SerialPort& port) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::SerialPort& port) const override;
};

void SerialPorts::offer(DeviceOptionList& options) const {
  vim::VirtualSerialPortOption port;
  port.type = "VirtualSerialPort";
  port.controllerType = "VirtualSIOController";
  port.yieldOnPoll = bool_option(true, true);
  vim::VirtualSerialPortPipeBackingOption pipe;
  pipe.endpoint = choice({"server", "client"});
  pipe.noRxLoss = bool_option(true, false);
  add_backing(port, "VirtualSerialPortPipeBackingInfo", std::move(pipe));
  add_backing<vim::VirtualSerialPortFileBackingOption>(port, "VirtualSerialPortFileBackingInfo");
  add_backing<vim::VirtualSerialPortDeviceBackingOption>(port,
                                                         "VirtualSerialPortDeviceBackingInfo");
  vim::VirtualSerialPortURIBackingOption uri;
  uri.directions = choice({"server", "client"});
  add_backing(port, "VirtualSerialPortURIBackingInfo", std::move(uri));
  options.add(std::move(port));
}

Ptr<vim::VirtualDeviceBackingInfo> backing(const DeviceList& list, const vmx::SerialPort& port) {
  switch (port.backing) {
    case vmx::SerialBacking::file: {
      vim::VirtualSerialPortFileBackingInfo backing;
      list.set_file(backing, port.target);
      return model::share(std::move(backing));
    }
    case vmx::SerialBacking::pipe: {
      vim::VirtualSerialPortPipeBackingInfo backing;
      backing.pipeName = port.target;
      backing.endpoint = port.is_server ? "server" : "client";
      backing.noRxLoss = port.no_rx_loss;
      return model::share(std::move(backing));
    }
    case vmx::SerialBacking::network: {
      vim::VirtualSerialPortURIBackingInfo backing;
      backing.serviceURI = port.target;
      backing.direction = port.is_server ? "server" : "client";
      if (!port.proxy.empty()) backing.proxyURI = port.proxy;
      return model::share(std::move(backing));
    }
    case vmx::SerialBacking::device:
      return device_backing<vim::VirtualSerialPortDeviceBackingInfo>(port.target);
    case vmx::SerialBacking::print:
      break;
  }
  return model::share(vim::VirtualSerialPortThinPrintBackingInfo{});
}

Ptr<vim::VirtualDevice> SerialPorts::to_api(const DeviceList& list,
                                            const vmx::SerialPort& port) const {
  vim::VirtualSerialPort device;
  device.backing = backing(list, port);
  device.deviceInfo = description(label(port), port.target);
  device.connectable = list.connectable(device_key(port), port.start_connected, true,
                                        port.backing != vmx::SerialBacking::print);
  device.yieldOnPoll = port.yield_on_poll;
  return model::share(std::move(device));
}

// "server" or "client"
bool is_server(const DeviceChange& change, const std::string& field, const std::string& word) {
  if (word == "server") return true;
  if (word == "client") return false;
  throw change.invalid<vim::InvalidDeviceBacking>(
      "device.backing." + field, fmt::format("'{}' is neither server nor client", word));
}

void set_uri(const DeviceChange& change, const vim::VirtualSerialPortURIBackingInfo& uri,
             vmx::SerialPort& port) {
  const bool server = is_server(change, "direction", uri.direction);
  if (uri.proxyURI && !uri.proxyURI->empty())
    throw change.not_supported("a serial port by way of the concentrator " + *uri.proxyURI);
  try {
    parse_serial_uri(uri.serviceURI, server);
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::unsupported) throw change.not_supported(failure.what());
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing.serviceURI", failure.what());
  }
  port.backing = vmx::SerialBacking::network;
  port.target = uri.serviceURI;
  port.is_server = server;
}

void set_backing(DevicePlanner& planner, const DeviceChange& change, vmx::SerialPort& port) {
  const auto& backing = backing_of(change);
  const std::string_view type = backing.type_info().name;
  port = {.number = port.number,
          .yield_on_poll = port.yield_on_poll,
          .start_connected = port.start_connected};
  if (type == "VirtualSerialPortFileBackingInfo") {
    const auto& file = static_cast<const vim::VirtualSerialPortFileBackingInfo&>(backing);
    port.target = file_reference(planner.context(), planner.file_of(change, file.fileName));
  } else if (type == "VirtualSerialPortPipeBackingInfo") {
    const auto& pipe = static_cast<const vim::VirtualSerialPortPipeBackingInfo&>(backing);
    port.backing = vmx::SerialBacking::pipe;
    port.target = pipe.pipeName;
    port.is_server = is_server(change, "endpoint", pipe.endpoint);
    port.no_rx_loss = pipe.noRxLoss.value_or(false);
  } else if (type == "VirtualSerialPortDeviceBackingInfo") {
    port.backing = vmx::SerialBacking::device;
    port.target = static_cast<const vim::VirtualSerialPortDeviceBackingInfo&>(backing).deviceName;
  } else if (type == "VirtualSerialPortURIBackingInfo") {
    set_uri(change, static_cast<const vim::VirtualSerialPortURIBackingInfo&>(backing), port);
  } else {
    throw change.not_supported(fmt::format("a serial port with a {}", type));
  }
}

void SerialPorts::from_api(DevicePlanner& planner, const DeviceChange& change,
                           vmx::SerialPort& port) const {
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  if (is_new || change.device().backing) set_backing(planner, change, port);
  port.yield_on_poll = change.device_as<vim::VirtualSerialPort>().yieldOnPoll;
  set_start(change, port.start_connected);
}

// The far end of a client's pipe is another VM's: whoever starts the machine connects the two.
void connect(const MachineBuild& machine, const vmx::SerialPort& port,
             hypervisor::SerialPort& line) {
  using hypervisor::LineBackend;
  switch (port.backing) {
    case vmx::SerialBacking::pipe:
      line.backend = port.is_server ? LineBackend::socket : LineBackend::stream;
      if (port.is_server)
        line.log_path = machine.context.absolute(
            machine.context.config_file.sibling(fmt::format("serial{}.log", port.number)));
      return;
    case vmx::SerialBacking::file:
      line.backend = LineBackend::file;
      line.path = machine.path_of(port.target);
      return;
    case vmx::SerialBacking::device:
      if (const auto device = machine.host_device(machine.context.host_devices().serial_ports,
                                                  port.target, label(port))) {
        line.backend = LineBackend::device;
        line.path = *device;
      }
      return;
    case vmx::SerialBacking::network:
      if (port.proxy.empty()) {
        line.backend = LineBackend::network;
        line.network = parse_serial_uri(port.target, port.is_server);
        return;
      }
      [[fallthrough]];
    case vmx::SerialBacking::print:
      throw kernel::not_supported(
          fmt::format("{} on {}", label(port), port.proxy.empty() ? port.target : port.proxy));
  }
}

void SerialPorts::build(MachineBuild& machine) const {
  for (const vmx::SerialPort& port : machine.config.serial_ports) {
    hypervisor::SerialPort line;
    line.key = device_key(port);
    if (machine.connected(line.key, port.start_connected)) connect(machine, port, line);
    machine.spec.serial_ports.push_back(std::move(line));
  }
}

// --- Parallel ports ----------------------------------------------------------------------------

class ParallelPorts final : public NumberedKind<vmx::ParallelPort> {
 public:
  ParallelPorts()
      : NumberedKind({.devices = &vmx::MachineConfig::parallel_ports,
                      .plural = "parallel ports",
                      .most = vmx::max_parallel_ports,
                      .controller_key = keys::sio,
                      .first_unit = 0,
                      .served = kPortFields}) {}

  bool covers(std::string_view api_type) const override {
    return api_type == "VirtualParallelPort";
  }
  void offer(DeviceOptionList& options) const override;
  void build(MachineBuild& machine) const override;

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list,
                                 const vmx::ParallelPort& port) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::ParallelPort& port) const override;
};

void ParallelPorts::offer(DeviceOptionList& options) const {
  vim::VirtualParallelPortOption port;
  port.type = "VirtualParallelPort";
  port.controllerType = "VirtualSIOController";
  add_backing<vim::VirtualParallelPortFileBackingOption>(port,
                                                         "VirtualParallelPortFileBackingInfo");
  add_backing<vim::VirtualParallelPortDeviceBackingOption>(port,
                                                           "VirtualParallelPortDeviceBackingInfo");
  options.add(std::move(port));
}

Ptr<vim::VirtualDevice> ParallelPorts::to_api(const DeviceList& list,
                                              const vmx::ParallelPort& port) const {
  vim::VirtualParallelPort device;
  if (port.backing == vmx::ParallelBacking::file) {
    vim::VirtualParallelPortFileBackingInfo backing;
    list.set_file(backing, port.target);
    device.backing = model::share(std::move(backing));
  } else {
    device.backing = device_backing<vim::VirtualParallelPortDeviceBackingInfo>(port.target);
  }
  device.deviceInfo = description(label(port), port.target);
  device.connectable = list.connectable(device_key(port), port.start_connected, true, true);
  return model::share(std::move(device));
}

void ParallelPorts::from_api(DevicePlanner& planner, const DeviceChange& change,
                             vmx::ParallelPort& port) const {
  set_start(change, port.start_connected);
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  if (!is_new && !change.device().backing) return;
  const auto& backing = backing_of(change);
  const std::string_view type = backing.type_info().name;
  if (type == "VirtualParallelPortFileBackingInfo") {
    const auto& file = static_cast<const vim::VirtualParallelPortFileBackingInfo&>(backing);
    port.backing = vmx::ParallelBacking::file;
    port.target = file_reference(planner.context(), planner.file_of(change, file.fileName));
  } else if (type == "VirtualParallelPortDeviceBackingInfo") {
    port.backing = vmx::ParallelBacking::device;
    port.target = static_cast<const vim::VirtualParallelPortDeviceBackingInfo&>(backing).deviceName;
  } else {
    throw change.not_supported(fmt::format("a parallel port with a {}", type));
  }
}

void ParallelPorts::build(MachineBuild& machine) const {
  for (const vmx::ParallelPort& port : machine.config.parallel_ports) {
    hypervisor::ParallelPort line{.key = device_key(port)};
    if (!machine.connected(line.key, port.start_connected)) {
      // Nobody reads what the guest prints.
    } else if (port.backing == vmx::ParallelBacking::file) {
      line.backend = hypervisor::LineBackend::file;
      line.path = machine.path_of(port.target);
    } else if (const auto device = machine.host_device(
                   machine.context.host_devices().parallel_ports, port.target, label(port))) {
      line.backend = hypervisor::LineBackend::device;
      line.path = *device;
    }
    machine.spec.parallel_ports.push_back(std::move(line));
  }
}

}  // namespace

const DeviceKind& serial_ports() {
  static const SerialPorts kind;
  return kind;
}

const DeviceKind& parallel_ports() {
  static const ParallelPorts kind;
  return kind;
}

}  // namespace virga::host

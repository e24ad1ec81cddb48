#include <fcntl.h>
#include <unistd.h>

#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/connection.h"

namespace virga::cli {
namespace {

using model::MoRef;

constexpr const char* kName = "welcome";
constexpr const char* kDatastore = "datastore1";
// What its notes say until its disk is complete.
constexpr const char* kUnfinished = "Virga is still writing the disk.";

class FileSource final : public wire::ByteSource {
 public:
  explicit FileSource(const fs::path& path) : fd_(open_file(path, O_RDONLY)) {}
  Async<std::size_t> read(std::span<char> buffer) override {
    const ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
    if (n < 0) throw system_error("image", "cannot read");
    co_return static_cast<std::size_t>(n);
  }

 private:
  Fd fd_;
};

template <class Device>
void add(vim::VirtualMachineConfigSpec& spec, Device device, bool create_file = false) {
  auto& change = spec.deviceChange.emplace_back();
  change.operation = vim::VirtualDeviceConfigSpecOperation::add;
  if (create_file) change.fileOperation = vim::VirtualDeviceConfigSpecFileOperation::create;
  change.device = model::share(std::move(device));
}

vim::VirtualMachineConfigSpec describe(std::uint64_t disk_bytes) {
  vim::VirtualMachineConfigSpec spec;
  spec.name = kName;
  spec.annotation = kUnfinished;
  spec.guestId = "debian11_64Guest";
  spec.numCPUs = 1;
  spec.memoryMB = 192;
  vim::VirtualMachineFileInfo files;
  files.vmPathName = fmt::format("[{}]", kDatastore);
  spec.files = model::share(std::move(files));

  vim::ParaVirtualSCSIController controller;
  controller.key = -1;
  controller.busNumber = 0;
  controller.sharedBus = vim::VirtualSCSISharing::noSharing;
  add(spec, std::move(controller));

  vim::VirtualDisk disk;
  disk.key = -2;
  disk.controllerKey = -1;
  disk.unitNumber = 0;
  disk.capacityInKB = static_cast<std::int64_t>(disk_bytes >> 10);
  vim::VirtualDiskFlatVer2BackingInfo backing;
  backing.fileName = "";
  backing.diskMode = "persistent";
  backing.thinProvisioned = true;
  disk.backing = model::share(std::move(backing));
  add(spec, std::move(disk), true);

  vim::VirtualVmxnet3 nic;
  nic.key = -3;
  vim::VirtualEthernetCardNetworkBackingInfo network;
  network.deviceName = "VM Network";
  nic.backing = model::share(std::move(network));
  add(spec, std::move(nic));

  vim::VirtualSerialPort serial;
  serial.key = -4;
  serial.yieldOnPoll = true;
  vim::VirtualSerialPortPipeBackingInfo pipe;
  pipe.pipeName = "console";
  pipe.endpoint = "server";
  serial.backing = model::share(std::move(pipe));
  add(spec, std::move(serial));
  return spec;
}

// Puts the image's bytes into the new VM's disk.
Async<void> upload(Connection& connection, fs::path image) {
  wire::ClientRequest request;
  request.method = "PUT";
  request.target =
      fmt::format("/folder/{0}/{0}-flat.vmdk?dcPath=ha-datacenter&dsName={1}", kName, kDatastore);
  request.headers = connection.channel().headers();
  request.headers.add("Content-Type", "application/octet-stream");
  request.stream_length = fs::file_size(image);
  request.stream = std::make_shared<FileSource>(image);
  const auto response = co_await connection.channel().http().send(std::move(request));
  if (response.status / 100 != 2)
    throw error(ErrorKind::io, image.string(), "uploading {}: HTTP {}: {}", image.string(),
                response.status, response.body);
}

Async<MoRef> create(Connection& connection, std::uint64_t disk_bytes) {
  const std::vector<std::string> names = {"name"}, vm_folders = {"vmFolder"};
  const MoRef root = connection.content().rootFolder;
  const auto folders = co_await connection.retrieve(root, "Datacenter", vm_folders);
  const auto pools = co_await connection.retrieve(root, "ResourcePool", names);
  if (folders.empty() || pools.empty())
    throw error(ErrorKind::not_found, "inventory", "the host has no datacenter or resource pool");
  vim::CreateVMRequestType request;
  request.config = describe(disk_bytes);
  request.pool = pools.front()->obj;
  vim::client::Folder folder(connection.channel(), *property<MoRef>(*folders.front(), "vmFolder"));
  const MoRef task = co_await folder.CreateVM_Task(std::move(request));
  const model::Any created = co_await connection.wait(task);
  co_return *created.get<MoRef>();
}

Async<void> note_finished(Connection& connection, vim::client::VirtualMachine& machine) {
  vim::ReconfigVMRequestType request;
  request.spec.annotation = "";
  const MoRef task = co_await machine.ReconfigVM_Task(std::move(request));
  co_await connection.wait(task);
}

Async<void> power_on(Connection& connection, vim::client::VirtualMachine& machine) {
  std::cerr << "virga: powering " << kName << " on\n";
  vim::PowerOnVMRequestType anywhere;
  const MoRef task = co_await machine.PowerOnVM_Task(anywhere);
  co_await connection.wait(task);
}

struct Welcome {
  MoRef ref;
  bool finished = false;
  bool running = false;
};

Async<std::optional<Welcome>> find(Connection& connection) {
  const std::vector<std::string> paths = {"name", "config.annotation", "runtime.powerState"};
  const auto machines =
      co_await connection.retrieve(connection.content().rootFolder, "VirtualMachine", paths);
  for (const auto& machine : machines) {
    const auto* name = property<std::string>(*machine, "name");
    if (!name || *name != kName) continue;
    const auto* annotation = property<std::string>(*machine, "config.annotation");
    const auto* power = property<vim::VirtualMachinePowerState>(*machine, "runtime.powerState");
    co_return Welcome{machine->obj, !annotation || *annotation != kUnfinished,
                      power && *power == vim::VirtualMachinePowerState::poweredOn};
  }
  co_return std::nullopt;
}

}  // namespace

Async<int> make_welcome(Connection& connection, fs::path image) {
  std::optional<Welcome> welcome = co_await find(connection);
  if (welcome && !welcome->finished) {  // an earlier start was killed
    vim::client::VirtualMachine remains(connection.channel(), welcome->ref);
    const MoRef task = co_await remains.Destroy_Task();
    co_await connection.wait(task);
    welcome.reset();
  }
  if (!welcome) {
    std::cerr << "virga: creating the virtual machine " << kName << "\n";
    const MoRef made = co_await create(connection, fs::file_size(image));
    co_await upload(connection, image);
    vim::client::VirtualMachine machine(connection.channel(), made);
    co_await note_finished(connection, machine);
    welcome = Welcome{made, true, false};
  }
  vim::client::VirtualMachine machine(connection.channel(), welcome->ref);
  if (!welcome->running) co_await power_on(connection, machine);
  co_return 0;
}

}  // namespace virga::cli

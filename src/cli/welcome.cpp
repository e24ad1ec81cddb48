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
  request.target = fmt::format("/folder/{0}/{0}-flat.vmdk?dcPath=ha-datacenter&dsName={1}", kName, kDatastore);
  request.headers = connection.channel().headers();
  request.headers.add("Content-Type", "application/octet-stream");
  request.stream_length = fs::file_size(image);
  request.stream = std::make_shared<FileSource>(image);
  const auto response = co_await connection.channel().http().send(std::move(request));
  if (response.status / 100 != 2)
    throw error(ErrorKind::io, image.string(), "uploading {}: HTTP {}: {}", image.string(),
                response.status, response.body);
}

}  // namespace

Async<void> make_welcome(fs::path state, fs::path image) {
  const auto connection = co_await Connection::open(state);
  const std::vector<std::string> names = {"name"}, vm_folders = {"vmFolder"};
  const MoRef root = connection->content().rootFolder;
  const auto machines = co_await connection->retrieve(root, "VirtualMachine", names);
  for (const auto& machine : machines) {
    const auto* name = property<std::string>(*machine, "name");
    if (name && *name == kName) co_return;
  }
  std::cerr << "virga: creating the virtual machine " << kName << "\n";
  const auto folders = co_await connection->retrieve(root, "Datacenter", vm_folders);
  const auto pools = co_await connection->retrieve(root, "ResourcePool", names);
  if (folders.empty() || pools.empty())
    throw error(ErrorKind::not_found, "inventory", "the host has no datacenter or resource pool");
  vim::CreateVMRequestType create;
  create.config = describe(fs::file_size(image));
  create.pool = pools.front()->obj;
  vim::client::Folder folder(connection->channel(), *property<MoRef>(*folders.front(), "vmFolder"));
  const MoRef creating = co_await folder.CreateVM_Task(std::move(create));
  const model::Any created = co_await connection->wait(creating);
  co_await upload(*connection, image);
  std::cerr << "virga: powering " << kName << " on\n";
  vim::client::VirtualMachine machine(connection->channel(), *created.get<MoRef>());
  vim::PowerOnVMRequestType anywhere;
  const MoRef starting = co_await machine.PowerOnVM_Task(anywhere);
  co_await connection->wait(starting);
}

}  // namespace virga::cli

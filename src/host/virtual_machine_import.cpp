#include "host/virtual_machine_import.h"

#include "host/http_nfc_lease.h"
#include "host/new_machine.h"
#include "host/nfc_service.h"
#include "host/virtual_machine.h"

namespace virga::host {
namespace {

struct Import {
  Import(Host& host, const vim::VirtualMachineConfigSpec& spec, MoRef pool, std::string user)
      : host(host), machine(host, spec, std::move(pool)), user(std::move(user)) {}

  Host& host;
  NewMachine machine;
  std::shared_ptr<HttpNfcLease> lease;
  std::string user;
};

// Its disks, which are there and empty.
std::vector<NfcFile> files_to_receive(const Import& import) {
  const vmx::MachineConfig& config = import.machine.config();
  std::vector<NfcFile> files;
  for (const DiskToCreate& disk : import.machine.disks()) {
    const ConfigContext context = config_context(import.host, import.machine.config_file());
    const auto owner = std::find_if(config.disks.begin(), config.disks.end(), [&](const auto& it) {
      return resolve_file(context, it.file) == disk.path;
    });
    if (disk.spec.mapping || owner == config.disks.end()) continue;
    NfcFile file;
    file.device = device_of_slot(config, owner->slot);
    file.name = fmt::format("disk-{}.vmdk", files.size());
    file.place = import.host.locate(disk.path.format());
    file.is_disk = true;
    file.capacity = disk.spec.capacity;
    file.spec = disk.spec;
    files.push_back(std::move(file));
  }
  return files;
}

// Reports how far the making of the disks is, from whatever thread.
std::function<void(int)> report_to(const Import& import) {
  return [lease = import.lease, last = std::make_shared<std::atomic<int>>(-1)](int percent) {
    if (last->exchange(percent) == percent) return;
    asio::post(lease->inventory().executor(), [lease, percent] {
      if (percent < 100) lease->show_initializing(percent);
    });
  };
}

Async<Any> receive(std::shared_ptr<Import> import, kernel::TaskHandle& handle) {
  std::shared_ptr<VirtualMachine> vm;
  std::exception_ptr failure;
  try {
    const auto report = report_to(*import);
    const auto stop = import->lease->stop_token();
    co_await import->machine.make_disks(report, stop);
    import->lease->open(import->machine.reference(), import->machine.name(),
                        files_to_receive(*import));
    co_await import->lease->wait_for_end(handle);
    vm = co_await import->machine.complete(import->user);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await import->machine.undo();
    std::rethrow_exception(failure);
  }
  co_return model::any(vm->self());
}

}  // namespace

MoRef import_virtual_machine(Host& host, model::Call& call,
                             const vim::VirtualMachineConfigSpec& spec, const MoRef& pool) {
  const auto import = std::make_shared<Import>(host, spec, pool, kernel::context(call).user());
  import->lease = host.nfc->open(call, HttpNfcLease::Direction::receiving);
  kernel::TaskSpec task{"ImportVApp", "ResourcePool.ImportVAppLRO", pool, "Resources", true};
  host.kernel.tasks.run(call, std::move(task), [import](kernel::TaskHandle& handle) -> Async<Any> {
    return settle_after(import->lease, receive(import, handle));
  });
  return import->lease->self();
}

}  // namespace virga::host

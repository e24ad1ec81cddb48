#include "host/new_machine.h"

#include "base/json.h"
#include "base/uuid.h"
#include "datastore/files.h"
#include "host/datastore.h"
#include "host/mac_conflicts.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "kernel/database.h"
#include "vmx/vmxf_file.h"

namespace virga::host {
namespace {

constexpr const char* kCounters = "counter";

void check_name_is_free(const Host& host, const std::string& name) {
  for (const auto& [ref, vm] : host.virtual_machines) {
    if (vm->properties().name == name) throw kernel::duplicate_name(name, vm->self());
  }
}

void check_name(const std::string& name) {
  if (name.empty()) throw kernel::invalid_name(name, "it is empty");
  if (name.size() > 80) throw kernel::invalid_name(name, "it is longer than 80 bytes");
}

// A VM's name as the name of its folder and files.
std::string file_name(const std::string& name) {
  std::string safe;
  for (const char c : name) safe += c == '/' || c == '\\' || c == ':' || c == '*' ? '_' : c;
  return safe == "." || safe == ".." ? "vm" : safe;
}

void write_file(const datastore::Location& place, const std::string& text) {
  datastore::Upload upload(place, datastore::IfExists::fail);
  upload.write(text);
  upload.commit();
}

}  // namespace

vmx::DatastorePath free_folder(const Host& host, const std::string& datastore,
                               const std::string& vm_name) {
  const std::string base = file_name(vm_name);
  const auto files = host.datastore(datastore)->files();
  std::string folder = base;
  for (int n = 1; files->exists(folder); ++n) folder = fmt::format("{}_{}", base, n);
  return {datastore, folder};
}

vmx::DatastorePath place_for(const Host& host, const std::string& name, const std::string& wanted) {
  const auto asked = vmx::DatastorePath::parse(host.locate(wanted).display());
  if (asked.extension() == ".vmx") return asked;
  const auto folder = asked.is_root() ? free_folder(host, asked.datastore(), name) : asked;
  return folder / (file_name(name) + ".vmx");
}

MoRef next_reference(Host& host) {
  auto& database = *host.kernel.database;
  const int last = std::atoi(database.get(kCounters, "vm").value_or("0").c_str());
  database.put(kCounters, "vm", std::to_string(last + 1));
  return {"VirtualMachine", std::to_string(last + 1)};
}

std::shared_ptr<VirtualMachine> vm_with_instance_uuid(const Host& host, const std::string& uuid) {
  for (const auto& [ref, vm] : host.virtual_machines)
    if (!uuid.empty() && vm->config().instance_uuid == uuid) return vm;
  return nullptr;
}

void check_new_name(const Host& host, const std::string& name) {
  check_name(name);
  check_name_is_free(host, name);
}

NewMachine::NewMachine(Host& host, const vim::VirtualMachineConfigSpec& spec, MoRef pool)
    : host_(host), pool_(std::move(pool)) {
  const std::string name = spec.name.value_or("");
  check_new_name(host, name);
  if (!spec.files || !spec.files->vmPathName || spec.files->vmPathName->empty())
    throw kernel::invalid_argument("config.files.vmPathName", "a new VM needs a datastore");
  const auto path = place_for(host, name, *spec.files->vmPathName);
  config_file_ = host.locate(path.format());
  check_place();
  const ConfigContext context = config_context(host, path);
  ConfigPlan plan = plan_creation(spec, context);
  config_ = std::move(plan.config);
  disks_ = std::move(plan.create);
  if (config_.bios_uuid.empty()) config_.bios_uuid = make_uuid();
  if (config_.instance_uuid.empty()) config_.instance_uuid = make_uuid();
  check_still_possible();
  config_.extended_config = path.stem() + ".vmxf";
  vmx::generate_missing_macs(config_, context.mac_in_use);
  file_ = vmx::make_vmx(config_);
  for (const DiskToCreate& disk : disks_) parts_.push_back(new_disk(host, disk));
  reference_ = next_reference(host);
}

NewMachine::NewMachine(Host& host, const vmx::DatastorePath& config_file, vmx::VmxFile file,
                       std::vector<NewPart> parts, MoRef pool)
    : host_(host),
      pool_(std::move(pool)),
      config_file_(host.locate(config_file.format())),
      config_(vmx::read(file)),
      file_(std::move(file)),
      parts_(std::move(parts)) {
  check_new_name(host, name());
  check_place();
  check_still_possible();
  reference_ = next_reference(host);
}

void NewMachine::check_place() const {
  if (!config_file_.datastore->exists(config_file_.path)) return;
  vim::FileAlreadyExists detail;
  detail.file = config_file_.display();
  throw kernel::Fault(std::move(detail), config_file_.display() + " exists already");
}

void NewMachine::check_still_possible() const {
  check_name_is_free(host_, name());
  if (const auto other = vm_with_instance_uuid(host_, config_.instance_uuid))
    throw kernel::invalid_argument("config.instanceUuid",
                                   other->properties().name + " has it already");
}

void NewMachine::make_folder_of(const datastore::Location& file) {
  const datastore::Location folder = file.parent();
  if (folder.path.empty() || folder.datastore->exists(folder.path)) return;
  datastore::make_folder(folder, true);
  made_folders_.push_back(folder);
}

Async<void> NewMachine::make_disks(std::function<void(int)> report, std::stop_token stop) {
  json::array planned;
  std::uint64_t total = 0;
  for (const NewPart& part : parts_) {
    planned.emplace_back(part.place.lasting_name());
    total += part.weight;
  }
  const std::string entry = "create " + config_file_.lasting_name();
  host_.kernel.database->put(unfinished_table, entry, json::serialize(planned));
  journal_ = entry;
  const auto work = [this, total, report, stop] {
    make_folder_of(config_file_);
    std::uint64_t before = 0;
    for (const NewPart& part : parts_) {
      make_folder_of(part.place);
      const auto progress = [&](std::uint64_t done, std::uint64_t all) {
        if (all == 0 || total == 0) return;
        const double share = static_cast<double>(done) / static_cast<double>(all);
        const double sum = static_cast<double>(before) + share * static_cast<double>(part.weight);
        report(static_cast<int>(100 * sum / static_cast<double>(total)));
      };
      part.make(progress, stop);
      made_.push_back(part.place);
      before += part.weight;
    }
  };
  co_await offload(host_.kernel.workers, work);
}

void NewMachine::write_files(const datastore::Location& config_file) {
  const auto path = vmx::DatastorePath::parse(config_file.display());
  const auto write = [&](const std::string& name, const std::string& text) {
    made_.push_back(config_file.sibling(name));
    write_file(made_.back(), text);
  };
  write(path.stem() + ".vmsd", "");
  write(config_.extended_config, vmx::make_vmxf(config_.instance_uuid, path.name()));
  write(path.name(), file_.serialise());
}

Async<std::shared_ptr<VirtualMachine>> NewMachine::complete() {
  check_still_possible();
  // Its datastore may have another name by now.
  const auto config_file = host_.locate(config_file_.lasting_name());
  const auto work = [this, config_file] { write_files(config_file); };
  co_await offload(host_.kernel.workers, work);
  auto vm = std::make_shared<VirtualMachine>(host_, reference_, config_file, file_);
  co_await vm->load();
  host_.resource_pools->assign(reference_, pool_);
  record_virtual_machine(host_, reference_, config_file);
  host_.kernel.database->erase(unfinished_table, std::exchange(journal_, {}));
  host_.add_virtual_machine(vm);
  co_await vm->load();  // now that its datastores and networks can refer to it
  vm->settle_without_guest();
  co_return vm;
}

Async<std::shared_ptr<VirtualMachine>> NewMachine::complete(std::string user) {
  const auto vm = co_await complete();
  vm->log("Created by " + user);
  vim::VmCreatedEvent event;
  event.vm = model::share(vm->event_argument());
  host_.post(
      std::move(event),
      fmt::format("Created virtual machine {} on {} in ha-datacenter", name(), host_.identity.name),
      user);
  report_mac_conflicts(host_, *vm, {});
  co_return vm;
}

NewPart new_disk(const Host& host, const DiskToCreate& disk) {
  const auto place = host.locate(disk.path.format());
  return {place, disk.spec.capacity,
          [place, spec = disk.spec](const datastore::Progress& progress, std::stop_token stop) {
            datastore::create_disk(place, spec, progress, std::move(stop));
          }};
}

Async<void> NewMachine::undo() {
  if (journal_.empty()) co_return;
  const auto work = [this] {
    for (; !made_.empty(); made_.pop_back()) {
      const datastore::Location& part = made_.back();
      if (part.datastore->exists(part.path))
        part.path.ends_with(".vmdk") ? datastore::delete_disk(part) : datastore::remove(part);
    }
    for (; !made_folders_.empty(); made_folders_.pop_back())
      datastore::remove_if_present(made_folders_.back());
  };
  co_await offload(host_.kernel.workers, work);
  host_.kernel.database->erase(unfinished_table, std::exchange(journal_, {}));
}

Async<Any> create_virtual_machine(Host& host, kernel::TaskHandle& handle, std::string user,
                                  model::Ptr<vim::VirtualMachineConfigSpec> spec, MoRef pool) {
  NewMachine machine(host, *spec, pool);
  std::shared_ptr<VirtualMachine> vm;
  std::exception_ptr failure;
  const std::function<void(int)> report = [&handle](int percent) {
    handle.report(percent * 9 / 10);
  };
  try {
    const auto stop = handle.stop_token();
    co_await machine.make_disks(report, stop);
    vm = co_await machine.complete(user);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await machine.undo();
    std::rethrow_exception(failure);
  }
  co_return model::any(vm->self());
}

}  // namespace virga::host

#include "host/vm_memory.h"

#include "datastore/files.h"
#include "hypervisor/saved_state.h"
#include "kernel/database.h"
#include "vmx/datastore_path.h"

namespace virga::host {
namespace {

// Both: moId → the file.
constexpr const char* kSaving = "saving_memory";
constexpr const char* kSpent = "spent_memory";

}  // namespace

VmMemory::VmMemory(Host& host, std::string vm, datastore::Location config_file)
    : host_(host), vm_(std::move(vm)), config_file_(std::move(config_file)) {}

std::string VmMemory::file() const {
  return vmx::DatastorePath::parse(config_file_.display()).stem() + ".vmss";
}

Async<void> VmMemory::begin_saving() {
  const auto old = place();
  const auto remove_old = [old] { datastore::remove_if_present(old); };
  co_await offload(host_.kernel.workers, remove_old);
  host_.kernel.database->put(kSaving, vm_, file());
}

void VmMemory::end_saving() {
  const auto file = host_.kernel.database->get(kSaving, vm_);
  if (!file) return;
  datastore::remove_if_present(config_file_.sibling(hypervisor::unfinished_state(*file)));
  host_.kernel.database->erase(kSaving, vm_);
}

std::optional<std::string> VmMemory::saved_unnoticed() const {
  const auto file = host_.kernel.database->get(kSaving, vm_);
  const bool complete = file && config_file_.datastore->exists(config_file_.sibling(*file).path);
  return complete ? file : std::nullopt;
}

void VmMemory::spend(const std::string& file) {
  host_.kernel.database->put(kSpent, vm_, file);
}

Async<void> VmMemory::remove_spent(std::string named) {
  const auto file = host_.kernel.database->get(kSpent, vm_);
  if (!file) co_return;
  if (*file != named) {
    const auto spent = config_file_.sibling(*file);
    const auto remove_spent = [spent] { datastore::remove_if_present(spent); };
    co_await offload(host_.kernel.workers, remove_spent);
  }
  host_.kernel.database->erase(kSpent, vm_);
}

}  // namespace virga::host

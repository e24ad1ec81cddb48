// Processors and memory that come while the guest runs. None goes again: QEMU 7.2 under TCG crashes
// when it takes a processor away.
#include "base/error.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {
namespace {

// Of query-hotpluggable-cpus, which lists the last one first; nullptr: all are there.
const json::object* first_absent(const json::array& processors) {
  const json::object* absent = nullptr;
  for (const json::value& processor : processors)
    if (!processor.as_object().contains("qom-path")) absent = &processor.as_object();
  return absent;
}

}  // namespace

Async<void> QemuMachine::add_vcpu() {
  const json::value processors = co_await qmp_->execute("query-hotpluggable-cpus");
  const json::object* place = first_absent(processors.as_array());
  if (!place)
    throw error(ErrorKind::unsupported, id(), "{} has all the processors that it can have",
                record_.spec.name);
  json::object device = place->at("props").as_object();
  device["driver"] = place->at("type");
  device["id"] = fmt::format("vcpu-{}", record_.spec.vcpus);
  co_await add_device(std::move(device));
}

Async<void> QemuMachine::add_vcpus(int count) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  changed.vcpus += count;
  validate(changed);
  for (int added = 0; added < count; ++added) {
    co_await add_vcpu();
    MachineSpec grown = record_.spec;
    ++grown.vcpus;
    co_await keep_spec(std::move(grown));
  }
  co_await refresh_facts();
}

Async<void> QemuMachine::add_memory(std::uint64_t mib) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  const std::size_t slot = changed.dimms.size();
  changed.memory_mib += mib;
  changed.dimms.push_back(mib);
  validate(changed);
  json::object backend = dimm_backend(slot, mib);
  const std::string held_by(backend.at("id").as_string());
  co_await qmp_->execute("object-add", std::move(backend));
  std::exception_ptr failure;
  try {
    co_await add_device(dimm_device(slot));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await attempt("object-del", fields("id", held_by));
    std::rethrow_exception(failure);
  }
  co_await keep_spec(std::move(changed));
}

// What came, and the former daemon did not get to write down.
Async<void> QemuMachine::settle_growth() {
  MachineSpec grown = record_.spec;
  grown.vcpus = static_cast<int>(vcpu_threads_.size());
  const json::value devices = co_await qmp_->execute("query-memory-devices");
  const std::uint64_t at_start = memory_at_start(grown);
  grown.dimms.assign(devices.as_array().size(), 0);
  grown.memory_mib = at_start;
  for (const json::value& device : devices.as_array()) {
    const json::value& dimm = device.at("data");
    const auto mib = dimm.at("size").to_number<std::uint64_t>() >> 20;
    grown.dimms.at(dimm.at("slot").to_number<std::size_t>()) = mib;
    grown.memory_mib += mib;
  }
  // Memory without a device is one the former daemon was about to add.
  co_await attempt("object-del", fields("id", dimm_backend(grown.dimms.size(), 0).at("id")));
  if (grown != record_.spec) co_await keep_spec(std::move(grown));
}

}  // namespace virga::hypervisor

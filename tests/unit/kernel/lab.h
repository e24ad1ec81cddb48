// A kernel with a small inventory of plain objects, and calls to its services.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "kernel/kernel.h"
#include "kernel/property_services.h"
#include "model/fault.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// An object that has properties and no methods, whatever its type.
template <class Interface>
class Exhibit final : public model::ManagedObject, public Object {
 public:
  using Properties = typename Interface::Properties;

  Exhibit(Inventory& inventory, MoRef self, Properties properties = {})
      : Object(inventory, std::move(self), model::share(std::move(properties)).data()) {}

  const model::ManagedInfo& info() const override { return Interface::static_info(); }
  const MoRef& ref() const override { return self(); }
  model::ManagedObject& interface() override { return *this; }

  const Properties& properties() const { return static_cast<const Properties&>(*snapshot()); }
  template <class Change>
  void update(Change&& change) {
    model::Ptr<Properties> next(snapshot());
    change(next.edit());
    publish(next.data());
  }
};

using FolderExhibit = Exhibit<vim::Folder>;
using MachineExhibit = Exhibit<vim::VirtualMachine>;

// root ── datacenter ── vm (folder) ── machines
//                    ── host (folder) ── cr ── pool, host1
//                    ── datastore (folder) ── store1
//                    ── network (folder)
class Lab {
 public:
  Lab();

  std::shared_ptr<MachineExhibit> add_machine(const std::string& id, const std::string& name);
  // A folder below another.
  std::shared_ptr<FolderExhibit> add_folder(const std::string& id, const std::string& name,
                                            const std::shared_ptr<FolderExhibit>& parent);
  void remove_machine(const std::shared_ptr<MachineExhibit>& machine);

  SessionPtr log_in(const std::string& user);
  // Permissions beside those of "root" (everything) and "viewer" (System.View) on the root folder.
  void permit(const MoRef& entity, const std::string& user, std::int32_t role);

  // Runs the kernel executor until the operation has ended; rethrows what it threw.
  template <class T>
  T run(Async<T> operation);
  void run(Async<void> operation);
  // Runs what is ready.
  void settle() {
    io.restart();
    io.poll();
  }

  template <class Interface>
  std::shared_ptr<Interface> service(const MoRef& ref) {
    return std::dynamic_pointer_cast<Interface>(kernel.inventory.get(ref));
  }

  asio::io_context io;
  Kernel kernel{io.get_executor()};
  std::shared_ptr<FolderExhibit> root, vm_folder, host_folder;
  std::shared_ptr<Exhibit<vim::Datacenter>> datacenter;
  std::shared_ptr<Exhibit<vim::ComputeResource>> compute;
  std::shared_ptr<Exhibit<vim::ResourcePool>> pool;
  std::shared_ptr<Exhibit<vim::HostSystem>> host;
  std::shared_ptr<Exhibit<vim::Datastore>> store;
  Call call;  // root's, in the newest version

 private:
  std::vector<PermissionEntry> permissions_;
};

// The wire name of the fault that `operation` throws; "" when it throws none.
template <class Operation>
std::string fault_of(Operation&& operation) {
  try {
    operation();
  } catch (const model::Fault& fault) {
    return std::string(fault.detail()->type_info().name);
  }
  return "";
}

template <class T>
T Lab::run(Async<T> operation) {
  std::exception_ptr failure;
  std::optional<T> result;
  bool done = false;
  asio::co_spawn(io, std::move(operation), [&](std::exception_ptr thrown, T value) {
    failure = thrown;
    result = std::move(value);
    done = true;
  });
  // Offloaded work comes back from another thread.
  const auto work = asio::make_work_guard(io);
  io.restart();
  while (!done) io.run_one();
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

inline void Lab::run(Async<void> operation) {
  std::exception_ptr failure;
  bool done = false;
  asio::co_spawn(io, std::move(operation), [&](std::exception_ptr thrown) {
    failure = thrown;
    done = true;
  });
  const auto work = asio::make_work_guard(io);
  io.restart();
  while (!done) io.run_one();
  if (failure) std::rethrow_exception(failure);
}

// PropertyFilterSpecs.
vim::PropertyFilterSpec spec_of(const std::vector<MoRef>& objects, const std::string& type,
                                const std::vector<std::string>& paths);
// For all properties.
vim::PropertyFilterSpec everything_of(const std::vector<MoRef>& objects, const std::string& type);
model::Ptr<vim::SelectionSpec> traversal(const std::string& name, const std::string& type,
                                         const std::string& path,
                                         std::vector<model::Ptr<vim::SelectionSpec>> next = {});
model::Ptr<vim::SelectionSpec> named(const std::string& name);
// Starts at `root`, which is not selected itself.
vim::PropertyFilterSpec walk_from(const MoRef& root,
                                  std::vector<model::Ptr<vim::SelectionSpec>> selectors,
                                  const std::string& type, const std::vector<std::string>& paths);

}  // namespace virga::kernel

// Changing a machine while it runs. Every step that fails undoes the ones before it.
#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/disk_image.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {
namespace {

Fd open_image(const std::string& path, bool read_only) {
  return open_file(path, read_only ? O_RDONLY : O_RDWR);
}

template <class Device>
void erase_key(std::vector<Device>& devices, int key) {
  std::erase_if(devices, [key](const Device& device) { return device.key == key; });
}

template <class Device>
Device& at_key(std::vector<Device>& devices, int key) {
  return *std::ranges::find(devices, key, &Device::key);
}

void require_hot_plug(const Controller& controller, const std::string& device) {
  if (!is_hot_pluggable(controller.model))
    throw error(ErrorKind::unsupported, device, "{} cannot change on {} while the machine runs",
                device, device_id(controller));
}

}  // namespace

// ---- Steps

Async<void> QemuMachine::attempt(std::string command, json::object arguments) {
  try {
    co_await qmp_->execute(command, std::move(arguments));
  } catch (const Error& e) {
    logger("hypervisor")->debug("vm={}: {}", record_.spec.name, e.what());
  }
}

Async<void> QemuMachine::keep_spec(MachineSpec spec) {
  record_.spec = std::move(spec);
  co_await record_operation(record_.operation);
}

Async<void> QemuMachine::add_nodes(Disk disk, int image, DiskImage of, ImageNodes nodes) {
  const auto open = [disk, image, of] {
    std::vector<HandedOver> files;
    for (const ImageFile& file : image_files(disk, image, of))
      files.push_back({file.set, open_image_file(file)});
    return files;
  };
  std::vector<HandedOver> files = co_await offload(context_->pool, open);
  co_await add_nodes(disk.key, image, std::move(files), std::move(nodes));
}

Async<void> QemuMachine::add_nodes(int key, int image, std::vector<HandedOver> files,
                                   ImageNodes nodes) {
  std::exception_ptr failure;
  try {
    for (const HandedOver& file : files)
      co_await qmp_->execute("add-fd", fields("fdset-id", file.set), file.file.get());
    for (json::object& node : nodes) co_await qmp_->execute("blockdev-add", std::move(node));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await remove_nodes(key, image);
  std::rethrow_exception(failure);
}

Async<void> QemuMachine::remove_nodes(int key, int image) {
  co_await attempt("blockdev-del", fields("node-name", format_node(key, image)));
  co_await attempt("blockdev-del", fields("node-name", file_node(key, image)));
  const std::vector<std::int64_t> sets = co_await sets_of(key, image);
  for (const std::int64_t set : sets) co_await attempt("remove-fd", fields("fdset-id", set));
}

// The descriptor sets of an image: its own, and those of its extents.
Async<std::vector<std::int64_t>> QemuMachine::sets_of(int key, int image) {
  const json::value reply = co_await qmp_->execute("query-fdsets");
  std::vector<std::int64_t> sets;
  for (const json::value& each : reply.as_array()) {
    const auto set = each.at("fdset-id").to_number<std::int64_t>();
    if (image_of_fdset(set) == std::pair(key, image)) sets.push_back(set);
  }
  co_return sets;
}

// All images of a disk that is new to the machine, and what it takes to reach them.
Async<void> QemuMachine::add_images(Disk disk) {
  std::vector<int> added;
  std::exception_ptr failure;
  try {
    co_await add_secret(disk);
    for (ImageNodes& nodes : disk_nodes(disk)) {
      const int image = static_cast<int>(added.size());
      co_await add_nodes(disk, image, disk.chain[added.size()], std::move(nodes));
      added.push_back(image);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await remove_images(disk.key, std::move(added));
  co_await remove_secret(disk);
  std::rethrow_exception(failure);
}

// QEMU reads it from a descriptor it is handed, and tells by what number it has that.
Async<void> QemuMachine::add_secret(Disk disk) {
  const std::string secret = login_secret(disk);
  if (secret.empty()) co_return;
  const Fd file = make_secret(secret);
  const std::int64_t set = fdset_of(disk.key);
  const json::value added = co_await qmp_->execute("add-fd", fields("fdset-id", set), file.get());
  const std::string path = fmt::format("/dev/fd/{}", added.at("fd").to_number<int>());
  json::object object = secret_object(disk, path);
  co_await qmp_->execute("object-add", std::move(object));
  co_await qmp_->execute("remove-fd", fields("fdset-id", set));
}

// Whether it has one is not in the record of a former daemon.
Async<void> QemuMachine::remove_secret(Disk disk) {
  const bool logs_in = disk.chain.front().iscsi.has_value();
  if (logs_in) co_await attempt("object-del", fields("id", secret_id(disk)));
}

// From the last to the base: each holds on to the one below it.
Async<void> QemuMachine::remove_images(int key, std::vector<int> images) {
  for (auto image = images.rbegin(); image != images.rend(); ++image)
    co_await remove_nodes(key, *image);
}

Async<void> QemuMachine::add_device(json::object device) {
  // Where it stands in the boot order is decided at the next start.
  device.erase("bootindex");
  const std::string id(device.at("id").as_string());
  co_await qmp_->execute("device_add", std::move(device));
  released_.erase(id);
}

Async<void> QemuMachine::remove_device(std::string device) {
  refused_.erase(device);
  const auto deadline = std::chrono::steady_clock::now() + context_->options.removal_timeout;
  if (!released_.contains(device)) {
    try {
      co_await qmp_->execute("device_del", fields("id", device));
    } catch (const Error& e) {
      // It was asked before and has not let go yet.
      if (std::string_view(e.what()).find("unplug") == std::string_view::npos) throw;
    }
  }
  while (!released_.contains(device)) {
    require_alive("change");
    const auto left = deadline - std::chrono::steady_clock::now();
    if (refused_.contains(device) || left <= left.zero())
      throw error(ErrorKind::timed_out, device, "the guest of {} did not let go of {}",
                  record_.spec.name, device);
    co_await devices_changed_.wait(left);
  }
  released_.erase(device);
}

Async<void> QemuMachine::set_cable(std::string nic_id, bool up) {
  co_await qmp_->execute("set_link", fields("name", std::move(nic_id), "up", up));
}

// ---- Controllers

Async<void> QemuMachine::add_controller(Controller controller) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  changed.controllers.push_back(controller);
  validate(changed);
  std::optional<json::object> device = controller_device(controller);
  if (!device)
    throw error(ErrorKind::unsupported, device_id(controller),
                "{} cannot be added while the machine runs", device_id(controller));
  co_await add_device(std::move(*device));
  co_await keep_spec(std::move(changed));
}

Async<void> QemuMachine::remove_controller(int key) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  const Controller controller = find_controller(record_.spec, key);
  MachineSpec changed = record_.spec;
  erase_key(changed.controllers, key);
  validate(changed);  // refuses while something hangs on it
  require_hot_plug(controller, device_id(controller));
  co_await remove_device(device_id(controller));
  co_await keep_spec(std::move(changed));
}

// ---- Disks

Async<void> QemuMachine::add_disk(Disk disk) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  changed.disks.push_back(disk);
  validate(changed);
  require_hot_plug(find_controller(changed, disk.controller_key), device_id(disk));
  co_await add_images(disk);
  std::exception_ptr failure;
  try {
    const std::string track = disk.chain.back().change_track;
    if (!track.empty()) co_await begin_track(disk.key, first_images(disk).back(), track);
    co_await add_device(disk_device(changed, disk));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await remove_images(disk.key, first_images(disk));
    co_await remove_secret(disk);
    std::rethrow_exception(failure);
  }
  record_.images[disk.key] = first_images(disk);
  co_await keep_spec(std::move(changed));
  if (disk.iops_limit != 0) co_await throttle(disk.key);
}

Async<void> QemuMachine::remove_disk(int key) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  const Disk disk = find_disk(record_.spec, key);
  require_hot_plug(find_controller(record_.spec, disk.controller_key), device_id(disk));
  co_await remove_device(device_id(disk));
  co_await end_tracks_of(disk);
  co_await remove_images(key, record_.images.at(key));
  co_await remove_secret(disk);
  record_.images.erase(key);
  budgets_.erase(key);
  MachineSpec changed = record_.spec;
  erase_key(changed.disks, key);
  std::erase(changed.boot_order, device_id(disk));
  co_await keep_spec(std::move(changed));
}

Async<void> QemuMachine::resize_disk(int key, std::uint64_t bytes) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  const Disk& disk = find_disk(record_.spec, key);
  const std::string device = device_id(disk);
  if (disk.chain.size() > 1)
    throw error(ErrorKind::unsupported, device, "{} cannot grow: it has snapshots", device);
  if (disk.chain.front().format != DiskFormat::raw)
    throw error(ErrorKind::unsupported, device, "{} cannot grow: {} is not flat", device,
                disk.chain.front().path);
  const std::string written = format_node(key, record_.images.at(key).back());
  const json::value nodes = co_await qmp_->execute("query-named-block-nodes", fields("flat", true));
  for (const json::value& node : nodes.as_array()) {
    if (node.at("node-name").as_string() != written) continue;
    const auto present = node.at("image").at("virtual-size").to_number<std::uint64_t>();
    if (bytes < present)
      throw error(ErrorKind::invalid_argument, device, "{} has {} bytes and cannot shrink to {}",
                  device, present, bytes);
  }
  co_await qmp_->execute("block_resize", fields("node-name", written, "size", bytes));
}

// By the limit and the budget that the disk has. A limit counts as ESXi does (Disk.SchedCostUnit).
Async<void> QemuMachine::throttle(int key) {
  const Disk& disk = find_disk(record_.spec, key);
  const auto budget = budgets_.find(key);
  std::uint64_t iops = disk.iops_limit;
  if (budget != budgets_.end() && (iops == 0 || budget->second < iops)) iops = budget->second;
  json::object limits = fields("id", device_id(disk), "iops", iops, "iops_rd", 0, "iops_wr", 0,
                               "bps", 0, "bps_rd", 0, "bps_wr", 0);
  if (disk.iops_limit != 0) limits["iops_size"] = io_cost_unit;
  co_await qmp_->execute("block_set_io_throttle", std::move(limits));
}

Async<void> QemuMachine::limit_disk(int key, std::uint64_t iops) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  find_disk(changed, key);
  at_key(changed.disks, key).iops_limit = iops;
  co_await keep_spec(std::move(changed));
  co_await throttle(key);
}

// Beside operations_: who shares out a datastore does not wait for a merge, and QEMU takes one
// command at a time.
Async<void> QemuMachine::budget_disk(int key, std::uint64_t iops) {
  const auto self = shared_from_this();
  require_alive("change");
  if (iops == 0)
    budgets_.erase(key);
  else
    budgets_[key] = iops;
  co_await throttle(key);
}

// What a former daemon allowed holds until then.
Async<void> QemuMachine::lift_budgets() {
  for (const Disk& disk : record_.spec.disks) co_await throttle(disk.key);
}

// ---- NICs

Async<void> QemuMachine::add_nic(Nic nic, Fd tap) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  changed.nics.push_back(nic);
  validate(changed);
  if (nic.tap.empty() == bool(tap))
    throw error(ErrorKind::invalid_argument, device_id(nic),
                "{}: a tap's name and its descriptor come together or not at all", device_id(nic));
  json::object network = {{"id", netdev_id(nic)}};
  if (tap) {
    co_await qmp_->execute("getfd", fields("fdname", netdev_id(nic)), tap.get());
    network["type"] = "tap";
    network["fd"] = netdev_id(nic);
  } else {
    network["type"] = "hubport";
    network["hubid"] = nic.key;
  }
  co_await qmp_->execute("netdev_add", std::move(network));
  std::exception_ptr failure;
  try {
    co_await add_device(nic_device(changed, nic, netdev_id(nic)));
    if (!nic.link_up) co_await set_cable(device_id(nic), false);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await attempt("netdev_del", fields("id", netdev_id(nic)));
    std::rethrow_exception(failure);
  }
  co_await keep_spec(std::move(changed));
}

Async<void> QemuMachine::remove_nic(int key) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  const Nic nic = find_nic(record_.spec, key);
  co_await remove_device(device_id(nic));
  co_await attempt("netdev_del", fields("id", netdev_id(nic)));
  MachineSpec changed = record_.spec;
  erase_key(changed.nics, key);
  std::erase(changed.boot_order, device_id(nic));
  co_await keep_spec(std::move(changed));
}

Async<void> QemuMachine::set_link(int key, bool up) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  co_await set_cable(device_id(find_nic(record_.spec, key)), up);
  MachineSpec changed = record_.spec;
  at_key(changed.nics, key).link_up = up;
  co_await keep_spec(std::move(changed));
}

// ---- Media

Async<void> QemuMachine::change_medium(int drive_key, std::optional<std::string> path) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  medium_of(changed, drive_key) = path;
  const bool floppy =
      std::ranges::find(changed.floppies, drive_key, &Floppy::key) != changed.floppies.end();
  const std::string drive = floppy ? device_id(find_floppy(changed, drive_key))
                                   : device_id(find_cdrom(changed, drive_key));
  Fd image;
  ImageNodes nodes;
  if (path) {
    const auto open = [path = *path, floppy] { return open_image(path, !floppy); };
    image = co_await offload(context_->pool, open);
    nodes = floppy ? floppy_nodes(drive_key, *path) : cdrom_nodes(drive_key, *path);
  }
  moving_medium_ = true;
  std::exception_ptr failure;
  try {
    co_await replace_medium(drive, drive_key, std::move(image), std::move(nodes));
  } catch (...) {
    failure = std::current_exception();
    medium_of(changed, drive_key).reset();
  }
  moving_medium_ = false;
  co_await keep_spec(std::move(changed));
  if (failure) std::rethrow_exception(failure);
}

// The guest may close the tray between two commands of ours, and a reset of its drive does so
// without an event: the firmware resets it on its way up.
Async<void> QemuMachine::with_open_tray(std::string drive, std::string command,
                                        json::object arguments) {
  constexpr int patience = 10;
  for (int attempts = 1;; ++attempts) {
    co_await qmp_->execute("blockdev-open-tray", fields("id", drive, "force", true));
    try {
      co_await qmp_->execute(command, arguments);
      co_return;
    } catch (const Error& e) {
      const bool closed = std::string_view(e.what()).find("is not open") != std::string_view::npos;
      if (!closed || attempts == patience) throw;
    }
  }
}

Async<void> QemuMachine::replace_medium(std::string drive, int key, Fd file, ImageNodes nodes) {
  json::object drive_only = fields("id", drive);
  co_await with_open_tray(drive, "blockdev-remove-medium", drive_only);
  if (medium_of(record_.spec, key)) co_await remove_nodes(key, 0);
  if (file) {
    std::vector<HandedOver> files;
    files.push_back({fdset_of(key), std::move(file)});
    co_await add_nodes(key, 0, std::move(files), std::move(nodes));
    json::object medium = fields("id", drive, "node-name", format_node(key, 0));
    co_await with_open_tray(drive, "blockdev-insert-medium", std::move(medium));
  }
  co_await qmp_->execute("blockdev-close-tray", std::move(drive_only));
}

// ---- USB

Async<void> QemuMachine::add_usb_device(UsbDevice device) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  MachineSpec changed = record_.spec;
  changed.usb_devices.push_back(device);
  validate(changed);
  const int set = fdset_of(device.key);
  if (!device.path.empty()) {
    const auto open = [path = device.path] { return open_image(path, false); };
    const Fd node = co_await offload(context_->pool, open);
    co_await qmp_->execute("add-fd", fields("fdset-id", set), node.get());
  }
  std::exception_ptr failure;
  try {
    co_await add_device(usb_device(device));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (!device.path.empty()) co_await attempt("remove-fd", fields("fdset-id", set));
    std::rethrow_exception(failure);
  }
  co_await keep_spec(std::move(changed));
}

Async<void> QemuMachine::remove_usb_device(int key) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("change");
  const UsbDevice device = find_usb_device(record_.spec, key);
  co_await remove_device(device_id(device));
  if (!device.path.empty()) co_await attempt("remove-fd", fields("fdset-id", fdset_of(key)));
  MachineSpec changed = record_.spec;
  erase_key(changed.usb_devices, key);
  co_await keep_spec(std::move(changed));
}

}  // namespace virga::hypervisor

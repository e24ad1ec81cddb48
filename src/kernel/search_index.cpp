#include "kernel/search_index.h"

#include <algorithm>
#include <charconv>

#include "kernel/containment.h"
#include "kernel/faults.h"
#include "kernel/retrieval.h"

namespace virga::kernel {
namespace {

using References = model::Array<MoRef>;

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// The properties as a T; nullptr when they are another type's.
template <class T>
const T* properties_as(const DataPtr& snapshot) {
  return model::is_a(snapshot->type_info(), T::static_type())
             ? static_cast<const T*>(snapshot.get())
             : nullptr;
}

// What a machine or host is looked for by. The text is what the caller asks for.
using MachineTest = bool (*)(const vim::VirtualMachineProperties&, const std::string& text);
using HostTest = bool (*)(const vim::HostSystemProperties&, const std::string& text);

bool machine_has_bios_uuid(const vim::VirtualMachineProperties& vm, const std::string& uuid) {
  return vm.config && same_text(vm.config->uuid, uuid);
}

bool machine_has_instance_uuid(const vim::VirtualMachineProperties& vm, const std::string& uuid) {
  return vm.config && same_text(vm.config->instanceUuid.value_or(""), uuid);
}

bool host_has_uuid(const vim::HostSystemProperties& host, const std::string& uuid) {
  return host.hardware && same_text(host.hardware->systemInfo.uuid, uuid);
}

bool machine_has_dns_name(const vim::VirtualMachineProperties& vm, const std::string& name) {
  return vm.guest && same_text(vm.guest->hostName.value_or(""), name);
}

bool host_has_dns_name(const vim::HostSystemProperties& host, const std::string& name) {
  if (!host.config || !host.config->network || !host.config->network->dnsConfig)
    return same_text(host.name, name);
  const vim::HostDnsConfig& dns = *host.config->network->dnsConfig;
  return same_text(dns.hostName, name) || same_text(dns.hostName + "." + dns.domainName, name);
}

bool machine_has_address(const vim::VirtualMachineProperties& vm, const std::string& address) {
  if (!vm.guest) return false;
  if (same_text(vm.guest->ipAddress.value_or(""), address)) return true;
  for (const auto& nic : vm.guest->net) {
    if (std::ranges::find(nic->ipAddress, address) != nic->ipAddress.end()) return true;
  }
  return false;
}

bool nic_has_address(const vim::HostVirtualNic& nic, const std::string& address) {
  if (!nic.spec.ip) return false;
  if (same_text(nic.spec.ip->ipAddress.value_or(""), address)) return true;
  if (!nic.spec.ip->ipV6Config) return false;
  for (const auto& v6 : nic.spec.ip->ipV6Config->ipV6Address) {
    if (same_text(v6->ipAddress, address)) return true;
  }
  return false;
}

bool host_has_address(const vim::HostSystemProperties& host, const std::string& address) {
  if (!host.config || !host.config->network) return false;
  for (const auto& nic : host.config->network->vnic) {
    if (nic_has_address(*nic, address)) return true;
  }
  return false;
}

// "[store] folder/vm.vmx" with one way to write it: clients differ in the blanks.
std::string normal_path(std::string_view path) {
  const auto bracket = path.find(']');
  if (!path.starts_with('[') || bracket == path.npos) {
    vim::InvalidDatastorePath detail;
    detail.datastorePath = std::string(path);
    throw Fault(std::move(detail), fmt::format("'{}' is no datastore path", path));
  }
  std::string_view rest = path.substr(bracket + 1);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return fmt::format("{} {}", path.substr(0, bracket + 1), rest);
}

bool machine_is_at(const vim::VirtualMachineProperties& vm, const std::string& path) {
  return vm.config && vm.config->files.vmPathName &&
         vm.config->files.vmPathName->starts_with('[') &&
         normal_path(*vm.config->files.vmPathName) == path;
}

// An entity's name without the escapes (%2f, %5c, %25) that keep it from breaking a path.
std::string plain_name(std::string_view name) {
  std::string plain;
  for (std::size_t i = 0; i < name.size(); ++i) {
    unsigned char code = 0;
    const bool escape =
        name[i] == '%' && i + 2 < name.size() &&
        std::from_chars(&name[i + 1], &name[i + 1] + 2, code, 16).ptr == &name[i + 1] + 2;
    const bool known = escape && (code == '/' || code == '\\' || code == '%');
    plain += known ? static_cast<char>(code) : name[i];
    if (known) i += 2;
  }
  return plain;
}

// One caller's search. Any thread.
class Search {
 public:
  Search(const Kernel& kernel, Reader reader)
      : kernel_(kernel), access_(kernel, std::move(reader)) {}

  template <class Properties>
  References all(const std::optional<MoRef>& datacenter,
                 bool (*test)(const Properties&, const std::string&), const std::string& text) {
    if (text.empty()) return {};  // what has no name of this kind is not to be found by it
    if (datacenter && !access_.find(*datacenter)) throw managed_object_not_found(*datacenter);
    References found;
    for (const auto& object : kernel_.inventory.all()) {
      const DataPtr snapshot = object->snapshot();
      const auto* properties = properties_as<Properties>(snapshot);
      if (properties && test(*properties, text) && sees(*object) &&
          (!datacenter || is_below(*properties, *datacenter)))
        found.push_back(object->self());
    }
    std::ranges::sort(found);
    return found;
  }

  std::optional<MoRef> child(const MoRef& parent, std::string_view name) {
    const std::string wanted = plain_name(name);
    for (const auto& object : select(containment({parent}, false), access_)) {
      const DataPtr snapshot = object->snapshot();
      const auto* entity = properties_as<vim::ManagedEntityProperties>(snapshot);
      if (entity && plain_name(entity->name) == wanted && sees(*object)) return object->self();
    }
    return std::nullopt;
  }

  std::optional<MoRef> at_path(std::string_view path) {
    std::optional<MoRef> at = kernel_.root_folder;
    while (at && !path.empty()) {
      const auto slash = std::min(path.find('/'), path.size());
      if (slash > 0) at = child(*at, path.substr(0, slash));
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return at;
  }

  void require_datastore(const MoRef& datacenter, const std::string& path) {
    const std::string name = path.substr(1, path.find(']') - 1);
    const auto named = [](const vim::DatastoreProperties& store, const std::string& text) {
      return store.name == text;
    };
    if (!all<vim::DatastoreProperties>(datacenter, named, name).empty()) return;
    vim::InvalidDatastore detail;
    detail.name = name;
    throw Fault(std::move(detail), fmt::format("There is no datastore '{}'", name));
  }

 private:
  bool sees(const Object& object) { return access_.allows(object, "System.View"); }

  bool is_below(const vim::ManagedEntityProperties& entity, const MoRef& ancestor) const {
    std::optional<MoRef> at = entity.parent;
    while (at && at->value != ancestor.value) {
      const auto object = kernel_.inventory.find(*at);
      if (!object) return false;
      const DataPtr snapshot = object->snapshot();
      const auto* above = properties_as<vim::ManagedEntityProperties>(snapshot);
      at = above ? above->parent : std::nullopt;
    }
    return at.has_value();
  }

  const Kernel& kernel_;
  Access access_;
};

Async<References> find_all(Kernel& kernel, Reader reader, std::optional<MoRef> datacenter,
                           bool machines, MachineTest machine_test, HostTest host_test,
                           std::string text) {
  const auto work = [&kernel, reader, datacenter, machines, machine_test, host_test, text] {
    Search search(kernel, reader);
    return machines ? search.all(datacenter, machine_test, text)
                    : search.all(datacenter, host_test, text);
  };
  References found = co_await offload(kernel.readers, work);
  co_return found;
}

Async<std::optional<MoRef>> first(Async<References> search) {
  const References found = co_await std::move(search);
  co_return found.empty() ? std::nullopt : std::optional(found.front());
}

}  // namespace

SearchIndex::SearchIndex(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self)), kernel_(kernel) {}

Async<model::Array<MoRef>> SearchIndex::FindAllByUuid(model::Call& call,
                                                      const vim::FindAllByUuidRequestType& r) {
  const bool instance = r.instanceUuid.value_or(false);
  return find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch,
                  instance ? machine_has_instance_uuid : machine_has_bios_uuid, host_has_uuid,
                  r.uuid);
}

Async<model::Array<MoRef>> SearchIndex::FindAllByDnsName(
    model::Call& call, const vim::FindAllByDnsNameRequestType& r) {
  return find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch,
                  machine_has_dns_name, host_has_dns_name, r.dnsName);
}

Async<model::Array<MoRef>> SearchIndex::FindAllByIp(model::Call& call,
                                                    const vim::FindAllByIpRequestType& r) {
  return find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch, machine_has_address,
                  host_has_address, r.ip);
}

Async<std::optional<MoRef>> SearchIndex::FindByUuid(model::Call& call,
                                                    const vim::FindByUuidRequestType& r) {
  const bool instance = r.instanceUuid.value_or(false);
  return first(find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch,
                        instance ? machine_has_instance_uuid : machine_has_bios_uuid, host_has_uuid,
                        r.uuid));
}

Async<std::optional<MoRef>> SearchIndex::FindByDnsName(model::Call& call,
                                                       const vim::FindByDnsNameRequestType& r) {
  return first(find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch,
                        machine_has_dns_name, host_has_dns_name, r.dnsName));
}

Async<std::optional<MoRef>> SearchIndex::FindByIp(model::Call& call,
                                                  const vim::FindByIpRequestType& r) {
  return first(find_all(kernel_, Reader::of(context(call)), r.datacenter, r.vmSearch,
                        machine_has_address, host_has_address, r.ip));
}

Async<std::optional<MoRef>> SearchIndex::FindByDatastorePath(
    model::Call& call, const vim::FindByDatastorePathRequestType& r) {
  const auto work = [&kernel = kernel_, reader = Reader::of(context(call)),
                     datacenter = r.datacenter, path = normal_path(r.path)] {
    Search search(kernel, reader);
    search.require_datastore(datacenter, path);
    const References machines = search.all(datacenter, machine_is_at, path);
    return machines.empty() ? std::nullopt : std::optional(machines.front());
  };
  std::optional<MoRef> found = co_await offload(kernel_.readers, work);
  co_return found;
}

Async<std::optional<MoRef>> SearchIndex::FindByInventoryPath(
    model::Call& call, const vim::FindByInventoryPathRequestType& r) {
  const auto work = [&kernel = kernel_, reader = Reader::of(context(call)),
                     path = r.inventoryPath] { return Search(kernel, reader).at_path(path); };
  std::optional<MoRef> found = co_await offload(kernel_.readers, work);
  co_return found;
}

Async<std::optional<MoRef>> SearchIndex::FindChild(model::Call& call,
                                                   const vim::FindChildRequestType& r) {
  const auto work = [&kernel = kernel_, reader = Reader::of(context(call)), entity = r.entity,
                     name = r.name] {
    if (!Access(kernel, reader).find(entity)) throw managed_object_not_found(entity);
    return Search(kernel, reader).child(entity, name);
  };
  std::optional<MoRef> found = co_await offload(kernel_.readers, work);
  co_return found;
}

}  // namespace virga::kernel

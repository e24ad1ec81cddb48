#include "host/ovf_manager.h"

#include <algorithm>

#include "host/datastore.h"
#include "host/names.h"
#include "host/network.h"
#include "host/ovf_export.h"
#include "host/ovf_import.h"
#include "host/virtual_machine.h"
#include "ovf/reader.h"
#include "ovf/writer.h"

namespace virga::host {
namespace {

ovf::Reading read_descriptor(const std::string& descriptor,
                             const vim::OvfManagerCommonParams& params) {
  std::map<std::string, std::string> messages;
  for (const auto& message : params.msgBundle) messages[message->key] = message->value;
  return ovf::read(descriptor, messages);
}

// What the files and disks of a descriptor come to, in bytes.
struct Sizes {
  std::int64_t download = 0;
  std::int64_t flat = 0;
  std::int64_t sparse = 0;
};

Sizes sizes_of(const ovf::Envelope& envelope) {
  Sizes sizes;
  for (const ovf::File& file : envelope.files)
    sizes.download += static_cast<std::int64_t>(file.size.value_or(0));
  for (const ovf::Disk& disk : envelope.disks) {
    sizes.flat += static_cast<std::int64_t>(disk.capacity);
    sizes.sparse += static_cast<std::int64_t>(disk.populated.value_or(0));
  }
  return sizes;
}

model::List<vim::VAppPropertyInfo> properties_of(const ovf::VirtualSystem& system,
                                                 const std::string& option) {
  model::List<vim::VAppPropertyInfo> found;
  for (const ovf::Product& product : system.products)
    for (const ovf::Property& property : product.properties) {
      vim::VAppPropertyInfo& info = found.emplace_back();
      info.key = static_cast<std::int32_t>(found.size() - 1);
      info.classId = product.class_id;
      info.instanceId = product.instance_id;
      info.id = property.key;
      info.category = property.category;
      info.label = property.label;
      info.type = property.is_secret ? "password" : property.type;
      info.userConfigurable = property.user_configurable;
      const auto of_option = property.value_of_option.find(option);
      info.defaultValue =
          of_option == property.value_of_option.end() ? property.value : of_option->second;
      info.value = "";
      info.description = property.description;
    }
  return found;
}

vim::VAppProductInfo product_info(const ovf::Product& product) {
  vim::VAppProductInfo info;
  info.classId = product.class_id;
  info.instanceId = product.instance_id;
  info.name = product.name;
  info.vendor = product.vendor;
  info.version = product.version;
  info.fullVersion = product.full_version;
  info.vendorUrl = product.vendor_url;
  info.productUrl = product.product_url;
  info.appUrl = product.app_url;
  return info;
}

void describe_system(const ovf::VirtualSystem& system, const std::string& option,
                     vim::OvfParseDescriptorResult& result) {
  result.eula.assign(system.eulas.begin(), system.eulas.end());
  result.annotation = system.annotation;
  result.defaultEntityName = system.name;
  vim::KeyValue& name = result.entityName.emplace_back();
  name.key = system.id;
  name.value = system.name;
  result.property = properties_of(system, option);
  if (!system.products.empty())
    result.productInfo = model::share(product_info(system.products.front()));
}

}  // namespace

OvfManager::OvfManager(Host& host)
    : Implements(host.kernel.inventory, names::ovf_manager, Properties{}), host_(host) {}

std::vector<std::string> OvfManager::port_groups() const {
  std::vector<std::string> names;
  for (const auto& [name, network] : host_.networks) names.push_back(name);
  return names;
}

Async<model::Ptr<vim::OvfParseDescriptorResult>> OvfManager::ParseDescriptor(
    model::Call&, const vim::ParseDescriptorRequestType& r) {
  const ovf::Reading reading = read_descriptor(r.ovfDescriptor, r.pdp);
  const ovf::Envelope& envelope = reading.envelope;
  vim::OvfParseDescriptorResult result;
  const std::string option =
      r.pdp.deploymentOption.empty() ? envelope.default_option : r.pdp.deploymentOption;
  if (!envelope.systems.empty()) describe_system(envelope.systems.front(), option, result);
  for (const ovf::Network& network : envelope.networks) {
    vim::OvfNetworkInfo& info = result.network.emplace_back();
    info.name = network.name;
    info.description = network.description;
  }
  for (const ovf::DeploymentOption& offered : envelope.options) {
    vim::OvfDeploymentOption& info = result.deploymentOption.emplace_back();
    info.key = offered.id;
    info.label = offered.label;
    info.description = offered.description;
  }
  result.defaultDeploymentOption = envelope.default_option;
  result.virtualApp = envelope.is_collection;
  const Sizes sizes = sizes_of(envelope);
  result.approximateDownloadSize = sizes.download;
  result.approximateFlatDeploymentSize = sizes.flat;
  result.approximateSparseDeploymentSize = sizes.sparse;
  OvfFindings findings = findings_of(reading);
  result.error = std::move(findings.errors);
  result.warning = std::move(findings.warnings);
  co_return model::share(std::move(result));
}

Async<model::Ptr<vim::OvfValidateHostResult>> OvfManager::ValidateHost(
    model::Call&, const vim::ValidateHostRequestType& r) {
  if (r.host != names::host_system) throw kernel::managed_object_not_found(r.host);
  const ovf::Reading reading = read_descriptor(r.ovfDescriptor, r.vhp);
  OvfFindings findings = findings_of(reading);
  OvfChoices choices;
  choices.deployment_option = r.vhp.deploymentOption;
  plan_ovf_import(reading.envelope, choices, port_groups(), findings);
  vim::OvfValidateHostResult result;
  const Sizes sizes = sizes_of(reading.envelope);
  result.downloadSize = sizes.download;
  result.flatDeploymentSize = sizes.flat;
  result.sparseDeploymentSize = sizes.sparse;
  const auto served = ovf_disk_provisionings();
  result.supportedDiskProvisioning.assign(served.begin(), served.end());
  result.error = std::move(findings.errors);
  result.warning = std::move(findings.warnings);
  co_return model::share(std::move(result));
}

Async<model::Ptr<vim::OvfCreateImportSpecResult>> OvfManager::CreateImportSpec(
    model::Call&, const vim::CreateImportSpecRequestType& r) {
  if (r.resourcePool != names::resource_pool)
    throw kernel::managed_object_not_found(r.resourcePool);
  if (r.cisp.hostSystem && *r.cisp.hostSystem != names::host_system)
    throw kernel::managed_object_not_found(*r.cisp.hostSystem);
  OvfChoices choices;
  choices.name = r.cisp.entityName;
  choices.datastore = host_.datastore(r.datastore)->properties().name;
  choices.deployment_option = r.cisp.deploymentOption;
  choices.provisioning = r.cisp.diskProvisioning.value_or("");
  for (const auto& mapping : r.cisp.networkMapping) {
    const auto& networks = host_.networks;
    const auto chosen = std::ranges::find_if(
        networks, [&](const auto& it) { return it.second->self() == mapping->network; });
    if (chosen == networks.end()) throw kernel::managed_object_not_found(mapping->network);
    choices.networks[mapping->name] = chosen->first;
  }
  const ovf::Reading reading = read_descriptor(r.ovfDescriptor, r.cisp);
  OvfFindings findings = findings_of(reading);
  OvfImportPlan plan = plan_ovf_import(reading.envelope, choices, port_groups(), findings);
  vim::OvfCreateImportSpecResult result;
  if (findings.errors.empty()) {
    vim::VirtualMachineImportSpec spec;
    spec.configSpec = std::move(plan.config);
    result.importSpec = model::Ptr<vim::ImportSpec>(model::share(std::move(spec)).data());
    result.fileItem = std::move(plan.files);
  }
  result.error = std::move(findings.errors);
  result.warning = std::move(findings.warnings);
  co_return model::share(std::move(result));
}

Async<model::Ptr<vim::OvfCreateDescriptorResult>> OvfManager::CreateDescriptor(
    model::Call&, const vim::CreateDescriptorRequestType& r) {
  const auto found = host_.virtual_machines.find(r.obj.value);
  if (found == host_.virtual_machines.end()) throw kernel::managed_object_not_found(r.obj);
  if (r.cdp.snapshot) throw kernel::not_supported("Describing a snapshot");
  const VirtualMachine& vm = *found->second;
  OvfFindings findings;
  const OvfExport machine{vm.config(), vm.self().value,
                          [&vm](const vmx::Disk& disk) { return vm.capacity_of(disk); }, r.cdp};
  vim::OvfCreateDescriptorResult result;
  result.ovfDescriptor = ovf::write(describe(machine, findings));
  result.includeImageFiles = false;
  result.error = std::move(findings.errors);
  result.warning = std::move(findings.warnings);
  co_return model::share(std::move(result));
}

}  // namespace virga::host

#include "host/service_instance.h"

#include "host/names.h"
#include "model/clock.h"

namespace virga::host {

vim::AboutInfo about(const Host& host) {
  vim::AboutInfo about;
  // Clients choose their dialect by product line and version: these say what Virga is compatible
  // with. The full name says what it is.
  about.name = "VMware ESXi";
  about.fullName = fmt::format("Virga host (compatible with VMware ESXi {} build-{})",
                               host.identity.version, host.identity.build);
  about.vendor = "Virga";
  about.version = host.identity.version;
  about.build = host.identity.build;
  about.localeVersion = "INTL";
  about.localeBuild = "000";
  about.osType = "vmnix-x86";
  about.productLineId = "embeddedEsx";
  about.apiType = "HostAgent";
  about.apiVersion = "7.0.3.0";
  about.instanceUuid = host.identity.uuid;
  return about;
}

namespace {

vim::ServiceContent content(const Host& host) {
  vim::ServiceContent content;
  content.rootFolder = names::root_folder;
  content.propertyCollector = names::property_collector;
  content.viewManager = names::view_manager;
  content.about = about(host);
  content.setting = names::settings;
  content.userDirectory = names::user_directory;
  content.sessionManager = names::session_manager;
  content.authorizationManager = names::authorization_manager;
  content.perfManager = names::performance_manager;
  content.eventManager = names::event_manager;
  content.taskManager = names::task_manager;
  content.accountManager = names::account_manager;
  content.licenseManager = names::license_manager;
  content.searchIndex = names::search_index;
  content.fileManager = names::file_manager;
  content.virtualDiskManager = names::virtual_disk_manager;
  content.ovfManager = names::ovf_manager;
  content.guestOperationsManager = names::guest_operations_manager;
  return content;
}

}  // namespace

ServiceInstance::ServiceInstance(Host& host)
    : Implements(host.kernel.inventory, names::service_instance, [&] {
        Properties properties;
        properties.serverClock = model::now();
        properties.content = model::share(content(host));
        return properties;
      }()) {}

Async<model::Ptr<vim::ServiceContent>> ServiceInstance::RetrieveServiceContent(
    model::Call&, const vim::RetrieveServiceContentRequestType&) {
  co_return properties().content;
}

Async<model::Time> ServiceInstance::CurrentTime(model::Call&, const vim::CurrentTimeRequestType&) {
  co_return model::now();
}

}  // namespace virga::host

#include "host/license_manager.h"

#include "host/names.h"

namespace virga::host {

LicenseManager::LicenseManager(Host& host)
    : Implements(host.kernel.inventory, names::license_manager, [] {
        Properties properties;
        properties.source = model::share(vim::EvaluationLicenseSource{});
        properties.sourceAvailable = true;
        properties.licensedEdition = "apache-2.0";
        auto& license = properties.licenses.emplace_back();
        license.licenseKey = "00000-00000-00000-00000-00000";
        license.editionKey = "apache-2.0";
        license.name = "Apache License 2.0";
        license.costUnit = "none";
        return properties;
      }()) {}

}  // namespace virga::host

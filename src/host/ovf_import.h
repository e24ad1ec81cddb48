// What an OVF descriptor describes, as ResourcePool.ImportVApp takes it. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/ovf_faults.h"
#include "ovf/envelope.h"
#include "vim/types.h"

namespace virga::host {

// What the importer has to choose.
struct OvfChoices {
  std::string name;                             // of the VM
  std::string datastore;                        // where it goes
  std::string deployment_option;                // empty: the descriptor's default
  std::map<std::string, std::string> networks;  // the descriptor's, to port groups
  std::string provisioning;                     // OvfCreateImportSpecParamsDiskProvisioningType
};

struct OvfImportPlan {
  vim::VirtualMachineConfigSpec config;  // means something where there are no errors
  model::List<vim::OvfFileItem> files;   // to be sent
};

// `port_groups`: of the host. A network that nobody chose one for goes to the port group of its
// name, else to the first there is. Adds what it finds wrong to `findings`.
OvfImportPlan plan_ovf_import(const ovf::Envelope& envelope, const OvfChoices& choices,
                              const std::vector<std::string>& port_groups, OvfFindings& findings);

// The kinds of provisioning that can be asked for.
std::vector<std::string> ovf_disk_provisionings();

// The guest operating systems of CIM_OperatingSystem.OsType, which other products write: the API's
// identifier; empty for one that has none.
std::string guest_id_of_cim(int os_type);
// 1, "other", for one that CIM does not know.
int cim_of_guest_id(const std::string& guest_id);

}  // namespace virga::host

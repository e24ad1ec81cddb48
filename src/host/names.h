// The identifiers of a host's singletons: those ESXi uses, which scripts have come to rely on.
#pragma once

#include "model/values.h"

namespace virga::host::names {

using model::MoRef;

inline const MoRef service_instance{"ServiceInstance", "ServiceInstance"};
inline const MoRef root_folder{"Folder", "ha-folder-root"};
inline const MoRef datacenter{"Datacenter", "ha-datacenter"};
inline const MoRef vm_folder{"Folder", "ha-folder-vm"};
inline const MoRef host_folder{"Folder", "ha-folder-host"};
inline const MoRef datastore_folder{"Folder", "ha-folder-datastore"};
inline const MoRef network_folder{"Folder", "ha-folder-network"};
inline const MoRef compute_resource{"ComputeResource", "ha-compute-res"};
inline const MoRef resource_pool{"ResourcePool", "ha-root-pool"};
inline const MoRef host_system{"HostSystem", "ha-host"};
inline const MoRef environment_browser{"EnvironmentBrowser", "ha-vm-env-browser"};

inline const MoRef session_manager{"SessionManager", "ha-sessionmgr"};
inline const MoRef authorization_manager{"AuthorizationManager", "ha-authmgr"};
inline const MoRef account_manager{"HostLocalAccountManager", "ha-localacctmgr"};
inline const MoRef user_directory{"UserDirectory", "ha-user-directory"};
inline const MoRef property_collector{"PropertyCollector", "ha-property-collector"};
inline const MoRef view_manager{"ViewManager", "ViewManager"};
inline const MoRef search_index{"SearchIndex", "ha-searchindex"};
inline const MoRef task_manager{"TaskManager", "ha-taskmgr"};
inline const MoRef event_manager{"EventManager", "ha-eventmgr"};
inline const MoRef performance_manager{"PerformanceManager", "ha-perfmgr"};
inline const MoRef license_manager{"LicenseManager", "ha-license-manager"};
inline const MoRef file_manager{"FileManager", "ha-nfc-file-manager"};
inline const MoRef virtual_disk_manager{"VirtualDiskManager", "ha-vdiskmanager"};
inline const MoRef ovf_manager{"OvfManager", "ha-ovf-manager"};
inline const MoRef guest_operations_manager{"GuestOperationsManager",
                                            "ha-guest-operations-manager"};
inline const MoRef guest_auth_manager{"GuestAuthManager", "ha-guest-auth-manager"};
inline const MoRef guest_file_manager{"GuestFileManager", "ha-guest-file-manager"};
inline const MoRef guest_process_manager{"GuestProcessManager", "ha-guest-process-manager"};
inline const MoRef settings{"OptionManager", "HostAgentSettings"};

inline const MoRef auto_start_manager{"HostAutoStartManager", "ha-autostart-mgr"};
inline const MoRef datastore_system{"HostDatastoreSystem", "ha-datastoresystem"};
inline const MoRef network_system{"HostNetworkSystem", "networkSystem"};
inline const MoRef storage_system{"HostStorageSystem", "storageSystem"};
inline const MoRef graphics_manager{"HostGraphicsManager", "ha-graphicsmanager"};
inline const MoRef pci_passthru_system{"HostPciPassthruSystem", "ha-pcipassthrusystem"};

}  // namespace virga::host::names

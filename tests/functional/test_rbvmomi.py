"""Ruby's client library: a third opinion on SOAP."""

import json

from harness.tools import rbvmomi


def test_lists_machines(host, guest):
    found = json.loads(rbvmomi(host, """
require 'json'
puts dc.vmFolder.children.map { |vm| [vm.name, vm.runtime.powerState] }.to_h.to_json
"""))
    assert found["shared"] == "poweredOn"


def test_creates_starts_and_destroys(host, client):
    output = rbvmomi(host, """
spec = {
  name: 'ruby', guestId: 'otherGuest64', memoryMB: 64, numCPUs: 1,
  files: { vmPathName: '[datastore1]' },
  deviceChange: [
    { operation: :add, device: RbVmomi::VIM.ParaVirtualSCSIController(
        key: 1000, busNumber: 0, sharedBus: :noSharing) },
    { operation: :add, fileOperation: :create, device: RbVmomi::VIM.VirtualDisk(
        key: -1, controllerKey: 1000, unitNumber: 0, capacityInKB: 4096,
        backing: RbVmomi::VIM.VirtualDiskFlatVer2BackingInfo(
          diskMode: :persistent, fileName: '[datastore1]', thinProvisioned: true)) },
    { operation: :add, device: RbVmomi::VIM.VirtualVmxnet3(
        key: -2, backing: RbVmomi::VIM.VirtualEthernetCardNetworkBackingInfo(
          deviceName: 'VM Network'), addressType: 'generated') },
  ],
}
pool = dc.hostFolder.children.first.resourcePool
vm = dc.vmFolder.CreateVM_Task(config: spec, pool: pool).wait_for_completion
vm.PowerOnVM_Task.wait_for_completion
puts vm.runtime.powerState
puts vm.disks.first.capacityInKB
begin
  vm.PowerOnVM_Task.wait_for_completion
rescue RbVmomi::Fault => fault
  puts fault.fault.class.wsdl_name
end
vm.PowerOffVM_Task.wait_for_completion
vm.Destroy_Task.wait_for_completion
puts dc.find_vm('ruby').inspect
""")
    assert output.split() == ["poweredOn", "4096", "InvalidPowerState", "nil"]


def test_collects_properties_of_many(host, guest):
    output = rbvmomi(host, """
view = vim.serviceContent.viewManager.CreateContainerView(
  container: vim.rootFolder, type: ['VirtualMachine'], recursive: true)
filter = RbVmomi::VIM.PropertyFilterSpec(
  objectSet: [{ obj: view, skip: true, selectSet: [
    RbVmomi::VIM.TraversalSpec(name: 'view', type: 'ContainerView', path: 'view', skip: false)] }],
  propSet: [{ type: 'VirtualMachine', pathSet: ['name', 'config.hardware.device'] }])
result = vim.propertyCollector.RetrievePropertiesEx(specSet: [filter], options: {})
shared = result.objects.map(&:to_hash).find { |vm| vm['name'] == 'shared' }
puts shared['config.hardware.device'].map { |device| device.class.wsdl_name }
""")
    assert {"ParaVirtualSCSIController", "VirtualDisk", "VirtualVmxnet3", "VirtualCdrom",
            "VirtualAHCIController"} <= set(output.split())

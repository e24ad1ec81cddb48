"""OVF, as clients of vSphere export and deploy it: descriptor, lease, and a guest that boots."""

import re

from pyVmomi import vim, vmodl

from harness import leases, machines
from harness.client import fault
from harness.console import Console
from harness.machines import GUEST_IMAGE

CommonParams = dict(locale="", deploymentOption="")


def import_params(name, **options):
    return vim.OvfManager.CreateImportSpecParams(entityName=name, **CommonParams, **options)


def export(client, vm):
    """The descriptor of the VM and its files, as govc exports them."""
    lease = vm.ExportVm()
    files, described = {}, []
    for device in leases.ready(client, lease).deviceUrl:
        name = f"{vm.name}-{device.targetId}"
        files[name] = leases.get(client, device).content
        if device.disk:
            described.append(vim.OvfManager.OvfFile(deviceId=device.key, path=name,
                                                    size=len(files[name])))
    for entry in lease.HttpNfcLeaseGetManifest():
        for file in described:
            if file.deviceId == entry.key:
                assert file.size == entry.size
                file.capacity, file.populatedSize = entry.capacity, entry.populatedSize
    lease.HttpNfcLeaseComplete()
    result = client.content.ovfManager.CreateDescriptor(
        vm, vim.OvfManager.CreateDescriptorParams(name=vm.name, ovfFiles=described))
    assert not result.error
    return result.ovfDescriptor, files, result.warning


def deploy(client, descriptor, files, name, **options):
    """The VM that the descriptor describes, as Ansible and pyVmomi's samples deploy it."""
    spec = client.content.ovfManager.CreateImportSpec(
        descriptor, client.pool, client.datastore, import_params(name, **options))
    assert not spec.error, spec.error
    lease = client.pool.ImportVApp(spec.importSpec, client.datacenter.vmFolder)
    info = leases.ready(client, lease)
    for item in spec.fileItem:
        [device] = [url for url in info.deviceUrl if url.importKey == item.deviceId]
        leases.put(client, device, files[item.path], method="PUT" if item.create else "POST"
                   ).raise_for_status()
    lease.HttpNfcLeaseComplete()
    return info.entity, spec.warning


def test_a_guest_that_was_exported_and_imported_boots(client, make_vm, arrivals):
    vm = make_vm("original", firmware="bios", nics=("vmxnet3", "e1000e"))
    machines.change(client, vm, annotation="Came & went", numCoresPerSocket=1)
    descriptor, files, warnings = export(client, vm)
    assert [type(warning) for warning in warnings] == [
        vim.fault.OvfUnsupportedDeviceExport]    # the serial port

    arrivals.append("copy")
    network = client.datacenter.network[0]
    copy, warnings = deploy(
        client, descriptor, files, "copy", diskProvisioning="thin",
        networkMapping=[vim.OvfManager.NetworkMapping(name=network.name, network=network)])
    assert not warnings
    assert copy == client.vm("copy") and copy._moId != vm._moId
    ours, theirs = copy.config, vm.config
    assert (ours.annotation, ours.guestId, ours.version, ours.firmware) == (
        theirs.annotation, theirs.guestId, theirs.version, theirs.firmware)
    assert (ours.hardware.memoryMB, ours.hardware.numCPU) == (
        theirs.hardware.memoryMB, theirs.hardware.numCPU)
    kinds = lambda config: sorted(type(device).__name__ for device in config.hardware.device
                                  if not isinstance(device, vim.vm.device.VirtualSerialPort))
    assert kinds(ours) == kinds(theirs)
    assert ours.uuid != theirs.uuid
    disk = machines.disk_at(copy, 0)
    path = machines.local(client, disk.backing.fileName)
    assert path.with_name("copy-flat.vmdk").read_bytes() == GUEST_IMAGE.read_bytes()
    assert disk.backing.thinProvisioned

    machines.change(client, copy, machines.serial_port())
    client.wait(copy.PowerOnVM_Task())
    console = Console(client, copy)
    console.booted()
    console.close()


OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References><File ovf:id="f" ovf:href="box.vmdk" ovf:size="{size}"/></References>
 <DiskSection><Info/><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="{capacity}"
  ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
 </DiskSection>
 <NetworkSection><Info/><Network ovf:name="NAT"/></NetworkSection>
 <VirtualSystem ovf:id="box"><Info/>
  <EulaSection><Info/><License>Be kind.</License></EulaSection>
  <ProductSection><Info/><Product>Box</Product>
   <Property ovf:key="ip" ovf:type="string" ovf:userConfigurable="true" ovf:value="dhcp"/>
  </ProductSection>
  <OperatingSystemSection ovf:id="96"><Info/><Description>Debian_64</Description>
  </OperatingSystemSection>
  <VirtualHardwareSection><Info/>
   <System><vssd:ElementName/><vssd:InstanceID>0</vssd:InstanceID>
    <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType></System>
   <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
    <rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
    <rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
    <rasd:VirtualQuantity>160</rasd:VirtualQuantity></Item>
   <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType>
    <rasd:ResourceType>20</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent>
    <rasd:HostResource>/disk/d</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
    <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <Item><rasd:Connection>NAT</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID>
    <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
    <rasd:ResourceType>10</rasd:ResourceType></Item>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>"""


def test_what_another_product_wrote_is_told_of_and_deployed(client, arrivals, tmp_path):
    manager = client.content.ovfManager
    stream = leases.stream_optimized(GUEST_IMAGE, tmp_path / "box.vmdk")
    text = OVF.format(size=len(stream), capacity=GUEST_IMAGE.stat().st_size)

    parsed = manager.ParseDescriptor(
        text, vim.OvfManager.ParseDescriptorParams(**CommonParams))
    assert not parsed.error
    assert (list(parsed.eula), parsed.defaultEntityName) == (["Be kind."], "box")
    assert [network.name for network in parsed.network] == ["NAT"]
    assert [(p.id, p.userConfigurable) for p in parsed.property] == [("ip", True)]
    assert parsed.productInfo.name == "Box"
    assert parsed.approximateDownloadSize == len(stream)
    assert parsed.approximateFlatDeploymentSize == GUEST_IMAGE.stat().st_size
    valid = manager.ValidateHost(
        text, client.host_system, vim.OvfManager.ValidateHostParams(**CommonParams))
    assert not valid.error and "thin" in valid.supportedDiskProvisioning

    arrivals.append("box")
    vm, warnings = deploy(client, text, {"box.vmdk": stream}, "box")
    assert {type(warning) for warning in warnings} == {
        vim.fault.OvfNoSupportedHardwareFamily, vim.fault.OvfMappedOsId,
        vim.fault.OvfUnsupportedSection}
    assert vm.config.guestId.startswith("debian") and vm.config.hardware.memoryMB == 160
    machines.change(client, vm, machines.serial_port())
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    console.booted()
    console.close()


def test_what_cannot_be_deployed_is_said_by_name(client):
    manager = client.content.ovfManager

    def errors(text):
        result = manager.CreateImportSpec(text, client.pool, client.datastore,
                                          import_params("never"))
        assert result.importSpec is None
        return [type(error) for error in result.error]

    whole = OVF.format(size=1, capacity=1 << 20)
    assert errors("no XML at all") == [vim.fault.OvfXmlFormat]
    assert errors(whole.replace("AHCI", "raid9")) == [vim.fault.OvfUnsupportedSubType]
    assert errors(whole.replace("/disk/d", "/disk/e")) == [vim.fault.OvfInvalidValueReference]
    assert errors(re.sub("vmdk.html#streamOptimized", "vhd", whole)) == [
        vim.fault.OvfUnsupportedAttributeValue]
    with fault(vmodl.fault.NotSupported, mentions="vApp"):
        client.pool.ImportVApp(vim.vApp.VAppImportSpec(
            name="v", vAppConfigSpec=vim.vApp.VAppConfigSpec(),
            resourcePoolSpec=client.pool.config), client.datacenter.vmFolder)

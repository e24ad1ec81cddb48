"""Virtual machines for tests: specifications, and guests made from the tiny Linux."""

import pathlib

from pyVmomi import vim

from harness.client import Client
from harness.host import BUILD

GUEST_IMAGE = BUILD / "guest" / "guest.img"
GUEST_ISO = BUILD / "guest" / "guest.iso"
GUEST_MEMORY_MIB = 160

CONTROLLER_KEYS = {"ide": 200, "scsi": 1000, "sata": 15000, "nvme": 31000}
SCSI_KEY, SATA_KEY = CONTROLLER_KEYS["scsi"], CONTROLLER_KEYS["sata"]
CONTROLLERS = {
    "pvscsi": vim.vm.device.ParaVirtualSCSIController,
    "lsilogic": vim.vm.device.VirtualLsiLogicController,
    "lsilogic-sas": vim.vm.device.VirtualLsiLogicSASController,
    "sata": vim.vm.device.VirtualAHCIController,
    "nvme": vim.vm.device.VirtualNVMEController,
}
NICS = {
    "vmxnet3": vim.vm.device.VirtualVmxnet3,
    "e1000e": vim.vm.device.VirtualE1000e,
    "e1000": vim.vm.device.VirtualE1000,
    "vlance": vim.vm.device.VirtualPCNet32,
}


def added(device, file_operation=None):
    return vim.vm.device.VirtualDeviceSpec(device=device, operation="add",
                                           fileOperation=file_operation)


def edited(device):
    return vim.vm.device.VirtualDeviceSpec(device=device, operation="edit")


def removed(device, file_operation=None):
    return vim.vm.device.VirtualDeviceSpec(device=device, operation="remove",
                                           fileOperation=file_operation)


def controller(model, bus=0):
    device = CONTROLLERS[model](busNumber=bus)
    device.key = CONTROLLER_KEYS.get(model, SCSI_KEY) + bus
    if isinstance(device, vim.vm.device.VirtualSCSIController):
        device.sharedBus = "noSharing"
    return added(device)


def disk(controller_key, unit, path, mib=None, thin=True):
    """The disk at that datastore path; one of `mib` is made there."""
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=path, diskMode="persistent", thinProvisioned=thin)
    device = vim.vm.device.VirtualDisk(key=-100 - unit, controllerKey=controller_key,
                                       unitNumber=unit, backing=backing)
    if mib is not None:
        device.capacityInKB = mib * 1024
    return added(device, "create" if mib is not None else None)


def nic(model, network, key=-200, mac=None):
    device = NICS[model](key=key)
    device.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    device.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=True, connected=True, allowGuestControl=True)
    device.addressType = "manual" if mac else "generated"
    if mac:
        device.macAddress = mac
    return added(device)


def cdrom(controller_key, unit, iso=None):
    device = vim.vm.device.VirtualCdrom(key=-300, controllerKey=controller_key, unitNumber=unit)
    device.backing = iso_backing(iso)
    device.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=iso is not None, connected=iso is not None, allowGuestControl=True)
    return added(device)


def iso_backing(iso):
    if iso is None:
        return vim.vm.device.VirtualCdrom.RemotePassthroughBackingInfo(
            deviceName="", exclusive=False)
    return vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName=iso)


def serial_port():
    device = vim.vm.device.VirtualSerialPort(key=-400, yieldOnPoll=True)
    device.backing = vim.vm.device.VirtualSerialPort.PipeBackingInfo(
        pipeName="console", endpoint="server", noRxLoss=True)
    return added(device)


def spec(client, name, devices=(), memory_mib=GUEST_MEMORY_MIB, cpus=1, firmware="bios",
         version="vmx-19"):
    return vim.vm.ConfigSpec(
        name=name, memoryMB=memory_mib, numCPUs=cpus, firmware=firmware,
        guestId="debian11_64Guest", version=version, deviceChange=list(devices),
        files=vim.vm.FileInfo(vmPathName=f"[{client.datastore.name}]"))


def create(client, config):
    return client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))


def change(client, vm, *devices, **fields):
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=list(devices), **fields)))


def destroy(client, vm):
    if vm.runtime.powerState != "poweredOff":
        client.wait(vm.PowerOffVM_Task())
    client.wait(vm.Destroy_Task())


def destroy_all(host, names):
    """Those that are there, in a session of its own: the test may have killed the host, and its
    client's session with it."""
    if not host.running:
        host.start()
    cleaner = Client(host)
    for vm in filter(None, map(cleaner.vm, names)):
        destroy(cleaner, vm)
    cleaner.logout()


def device(vm, kind):
    """The VM's only device of that kind."""
    found = [device for device in vm.config.hardware.device if isinstance(device, kind)]
    assert len(found) == 1, found
    return found[0]


def disk_at(vm, unit):
    """Its only disk with that unit number."""
    [found] = [device for device in vm.config.hardware.device
               if isinstance(device, vim.vm.device.VirtualDisk) and device.unitNumber == unit]
    return found


def block_device(mib):
    """How a guest's shell finds its disk of that size: guests name disks in any order."""
    return f"$(grep -lx {mib * 2048} /sys/block/sd*/size | cut -d/ -f4)"


def local(client, path):
    """A datastore's file, "[ds] folder/name", as a path of this machine."""
    return pathlib.Path(client.datastore.info.path) / path.split("] ")[1]


DESCRIPTOR = """# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=fffffffe
parentCID=ffffffff
createType="vmfs"

# Extent description
RW {sectors} VMFS "{name}-flat.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "64"
ddb.geometry.sectors = "32"
ddb.uuid = "60 00 C2 93 7b a0 3a 27-91 66 43 7d 0c 6a 2e 11"
ddb.virtualHWVersion = "19"
"""


def upload_image(client, folder="images"):
    """Puts the guest's disk and CD-ROM into the datastore, as a client would; returns their paths.

    Does nothing when they are there.
    """
    disk_path, iso_path = f"{folder}/guest.vmdk", f"{folder}/guest.iso"
    if client.http("HEAD", disk_path).status_code != 200:
        client.content.fileManager.MakeDirectory(client.path(folder), client.datacenter, True)
        for local, remote in ((GUEST_IMAGE, f"{folder}/guest-flat.vmdk"), (GUEST_ISO, iso_path)):
            with open(local, "rb") as file:
                client.http("PUT", remote, data=file).raise_for_status()
        size = GUEST_IMAGE.stat().st_size
        client.http("PUT", disk_path, data=DESCRIPTOR.format(
            sectors=size // 512, name="guest", cylinders=size // (64 * 32 * 512))
        ).raise_for_status()
    return client.path(disk_path), client.path(iso_path)


def deploy(client, name, boot="pvscsi", nics=("vmxnet3",), extra=(), firmware="bios",
           network="VM Network", memory_mib=GUEST_MEMORY_MIB, cpus=1):
    """A VM with a copy of the guest's disk on the controller `boot` and a serial console; off."""
    image, _ = upload_image(client)
    own = client.path(f"images/{name}.vmdk")
    client.wait(client.content.virtualDiskManager.CopyVirtualDisk_Task(
        image, client.datacenter, own, client.datacenter))
    key = SATA_KEY if boot == "sata" else SCSI_KEY
    devices = [controller(boot), disk(key, 0, own), serial_port(),
               *(nic(model, network, -200 - i) for i, model in enumerate(nics)), *extra]
    return create(client, spec(client, name, devices, memory_mib, cpus, firmware))

"""Making machines, and what their guests say they were given."""

import pytest
from pyVmomi import vim, vmodl

from harness.client import fault
from harness.console import Console, of_kind
from harness.machines import (CONTROLLERS, GUEST_MEMORY_MIB, SATA_KEY, cdrom, controller, disk,
                              serial_port, spec, upload_image)

MIB = 1 << 20


def test_a_guest_sees_every_device_it_was_given(client, make_vm, boot_guest):
    _, iso = upload_image(client)
    extra = [disk(1000, 1, client.path(""), mib=8),
             controller("lsilogic", 1), disk(1001, 0, client.path(""), mib=12),
             controller("lsilogic-sas", 2), disk(1002, 0, client.path(""), mib=16),
             controller("sata"), disk(SATA_KEY, 0, client.path(""), mib=20),
             cdrom(SATA_KEY, 1, iso)]
    vm = make_vm("matrix", nics=["vmxnet3", "e1000e", "e1000"], extra=extra, cpus=2)
    guest = boot_guest(vm)

    disks = {int(found["size"]) // MIB: found["driver"] for found in of_kind(guest.found, "disk")}
    boot_disk = max(disks)
    assert disks == {boot_disk: "vmw_pvscsi", 8: "vmw_pvscsi", 12: "sym53c8xx", 16: "mptsas",
                     20: "ahci"}
    [drive] = of_kind(guest.found, "cdrom")
    assert (drive["label"], drive["driver"]) == ("VIRGA", "ahci")

    given = {card.macAddress: type(card) for card in vm.config.hardware.device
             if isinstance(card, vim.vm.device.VirtualEthernetCard)}
    seen = {found["mac"]: found["driver"] for found in of_kind(guest.found, "nic")}
    drivers = {vim.vm.device.VirtualVmxnet3: "vmxnet3", vim.vm.device.VirtualE1000e: "e1000e",
               vim.vm.device.VirtualE1000: "e1000"}
    assert seen == {mac: drivers[kind] for mac, kind in given.items()}

    [machine] = of_kind(guest.found, "machine")
    assert machine["cpus"] == "2"
    assert GUEST_MEMORY_MIB * 0.6 < int(machine["memory_kib"]) / 1024 <= GUEST_MEMORY_MIB
    assert machine["uuid"].lower() == vm.config.uuid
    assert machine["firmware"] == "bios"


DRIVERS = {"pvscsi": "vmw_pvscsi", "lsilogic": "sym53c8xx", "lsilogic-sas": "mptsas",
           "sata": "ahci"}


@pytest.mark.parametrize("boot", ["lsilogic", "lsilogic-sas"])
def test_a_guest_boots_by_bios_from(client, make_vm, boot_guest, boot):
    guest = boot_guest(make_vm(f"boot-bios-{boot}", boot=boot, nics=[]))
    assert [found["driver"] for found in of_kind(guest.found, "disk")] == [DRIVERS[boot]]
    assert [found["firmware"] for found in of_kind(guest.found, "machine")] == ["bios"]


@pytest.mark.parametrize("boot", DRIVERS)
def test_a_guest_boots_by_efi_from(client, make_vm, boot_guest, boot):
    vm = make_vm(f"boot-efi-{boot}", boot=boot, firmware="efi", nics=[], memory_mib=256)
    guest = boot_guest(vm)
    assert [found["driver"] for found in of_kind(guest.found, "disk")] == [DRIVERS[boot]]
    assert [found["firmware"] for found in of_kind(guest.found, "machine")] == ["efi"]
    assert client.http("HEAD", f"{vm.name}/{vm.name}.nvram").status_code == 200
    guest.console.output("echo kept >/run/memory")
    client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    console.socket.send("\n")
    assert console.output("cat /run/memory").strip() == "kept"
    console.close()


def test_a_guest_boots_from_a_cdrom(client, make_vm, boot_guest):
    _, iso = upload_image(client)
    vm = make_vm("boot-cdrom", controller("sata"), cdrom(SATA_KEY, 0, iso), serial_port())
    guest = boot_guest(vm)
    assert not of_kind(guest.found, "disk")
    assert [found["label"] for found in of_kind(guest.found, "cdrom")] == ["VIRGA"]


def test_a_new_vm_has_the_devices_and_files_it_should(client, make_vm):
    vm = make_vm("fresh", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    kinds = {type(device) for device in vm.config.hardware.device}
    assert kinds >= {vim.vm.device.VirtualIDEController, vim.vm.device.VirtualPCIController,
                     vim.vm.device.VirtualKeyboard, vim.vm.device.VirtualPointingDevice,
                     vim.vm.device.VirtualVideoCard}
    disk_device = next(device for device in vm.config.hardware.device
                       if isinstance(device, vim.vm.device.VirtualDisk))
    assert (disk_device.key, disk_device.controllerKey, disk_device.unitNumber) == (2000, 1000, 0)
    assert disk_device.backing.fileName == client.path("fresh/fresh.vmdk")
    assert vm.config.files.vmPathName == client.path("fresh/fresh.vmx")
    for name in ("fresh.vmx", "fresh.vmdk", "fresh-flat.vmdk", "fresh.vmsd"):
        assert client.http("HEAD", f"fresh/{name}").status_code == 200, name
    assert vm.summary.config.vmPathName == vm.config.files.vmPathName
    assert vm.runtime.powerState == "poweredOff"
    assert vm.runtime.host._moId == client.host_system._moId
    assert vm.resourcePool._moId == client.pool._moId
    assert vm.parent._moId == client.datacenter.vmFolder._moId
    assert [store._moId for store in vm.datastore] == [client.datastore._moId]


def test_the_configuration_file_says_what_was_configured(client, make_vm):
    make_vm("written", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    text = client.http("GET", "written/written.vmx").text
    for line in ('displayName = "written"', f'memSize = "{GUEST_MEMORY_MIB}"',
                 'scsi0.virtualDev = "pvscsi"', 'scsi0:0.fileName = "written.vmdk"'):
        assert line.lower() in text.lower(), text


def test_a_second_vm_of_the_same_name_is_refused(client, make_vm):
    make_vm("twice", bare=True)
    with fault(vim.fault.DuplicateName, "twice"):
        client.wait(client.datacenter.vmFolder.CreateVM_Task(spec(client, "twice"), client.pool))


@pytest.mark.parametrize("wrong, kinds", [
    ({"memoryMB": 0}, (vmodl.fault.InvalidArgument, vim.fault.VmConfigFault)),
    ({"numCPUs": 0}, (vmodl.fault.InvalidArgument, vim.fault.VmConfigFault)),
    ({"name": ""}, (vmodl.fault.InvalidArgument, vim.fault.InvalidName)),
    ({"firmware": "openfirmware"}, (vmodl.fault.InvalidArgument, vim.fault.VmConfigFault)),
])
def test_what_cannot_be_is_refused_and_leaves_nothing(client, wrong, kinds):
    config = spec(client, "wrong")
    for key, value in wrong.items():
        setattr(config, key, value)
    with fault(kinds):
        client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))
    assert client.vm("wrong") is None
    assert client.http("HEAD", "wrong/wrong.vmx").status_code == 404


def test_a_disk_that_is_not_there_fails_the_creation_and_leaves_nothing(client):
    config = spec(client, "no-disk", [controller("pvscsi"),
                                      disk(1000, 0, client.path("nowhere/missing.vmdk"))])
    with fault(vim.fault.FileNotFound, "missing.vmdk"):
        client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))
    assert client.vm("no-disk") is None
    assert client.http("HEAD", "no-disk/no-disk.vmx").status_code == 404


def test_an_unregistered_vm_can_be_registered_again_as_it_was(client, make_vm):
    vm = make_vm("moves", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    before = (vm.config.uuid, vm.config.instanceUuid, vm.config.hardware.memoryMB)
    path = vm.config.files.vmPathName
    vm.UnregisterVM()
    assert client.vm("moves") is None
    assert client.http("HEAD", "moves/moves.vmx").status_code == 200
    again = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        path, None, False, client.pool, None))
    assert (again.config.uuid, again.config.instanceUuid,
            again.config.hardware.memoryMB) == before
    assert again.name == "moves"
    with fault(vim.fault.AlreadyExists):
        client.wait(client.datacenter.vmFolder.RegisterVM_Task(path, None, False, client.pool))


def test_keys_nobody_knows_survive_a_reconfiguration(client, make_vm):
    vm = make_vm("unknown-keys", bare=True)
    path = vm.config.files.vmPathName
    vm.UnregisterVM()
    text = client.http("GET", "unknown-keys/unknown-keys.vmx").text
    text += 'vendor.specific = "kept as it is"\n'
    client.http("PUT", "unknown-keys/unknown-keys.vmx", data=text).raise_for_status()
    vm = client.wait(client.datacenter.vmFolder.RegisterVM_Task(path, None, False, client.pool))
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2)))
    text = client.http("GET", "unknown-keys/unknown-keys.vmx").text
    assert 'vendor.specific = "kept as it is"' in text


def test_destroy_takes_the_files_along(client, make_vm):
    vm = make_vm("destroyed", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    client.wait(vm.Destroy_Task())
    for name in ("destroyed.vmx", "destroyed.vmdk", "destroyed-flat.vmdk"):
        assert client.http("HEAD", f"destroyed/{name}").status_code == 404, name
    with fault(vmodl.fault.ManagedObjectNotFound):
        vm.name


def test_a_running_vm_is_not_destroyed(client, make_vm):
    vm = make_vm("running", bare=True)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.Destroy_Task())
    with fault(vim.fault.InvalidPowerState):
        vm.UnregisterVM()
    assert vm.runtime.powerState == "poweredOn"


def test_a_vm_can_be_renamed(client, make_vm):
    vm = make_vm("old-name", bare=True)
    client.wait(vm.Rename_Task("new-name"))
    try:
        assert vm.name == "new-name" == vm.config.name
    finally:
        client.wait(vm.Rename_Task("old-name"))


def test_every_controller_is_offered(client):
    options = client.compute_resource.environmentBrowser.QueryConfigOption(None, None)
    offered = {option.type for option in options.hardwareOptions.virtualDeviceOption}
    assert set(CONTROLLERS.values()) <= offered

"""Secure Boot: what is signed starts, and nothing else."""

import pytest
from pyVmomi import vim, vmodl

from harness import machines
from harness.client import fault
from harness.console import Console
from harness.host import BUILD
from harness.machines import controller, disk, serial_port

SECURE = vim.vm.BootOptions(efiSecureBootEnabled=True)


def change(client, vm, **fields):
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**fields)))


@pytest.fixture
def signed_image(client):
    """The datastore path of a disk whose boot loaders and kernel are signed."""
    machines.upload_image(client)
    image = BUILD / "guest" / "secure.img"
    with open(image, "rb") as file:
        client.http("PUT", "images/secure-flat.vmdk", data=file).raise_for_status()
    size = image.stat().st_size
    client.http("PUT", "images/secure.vmdk", data=machines.DESCRIPTOR.format(
        sectors=size // 512, name="secure", cylinders=size // (64 * 32 * 512))).raise_for_status()
    return client.path("images/secure.vmdk")


def secure_machine(make_vm, name, image):
    return make_vm(name, controller("pvscsi"), disk(machines.SCSI_KEY, 0, image), serial_port(),
                   machines.nic("e1000e", "VM Network"), firmware="efi", memory_mib=384)


def test_a_signed_guest_starts_and_knows_it(client, make_vm, boot_guest, signed_image):
    vm = secure_machine(make_vm, "signed", signed_image)
    # Variables made without keys: the first start with Secure Boot puts keys in.
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    change(client, vm, bootOptions=SECURE)
    guest = boot_guest(vm)
    assert vm.config.bootOptions.efiSecureBootEnabled
    assert "Secure boot enabled" in guest.console.output("dmesg | grep -io 'secure boot enabled'")
    # It runs on another board, with the devices where they are on every other.
    found = {each.names[0]: each for each in guest.found if each.kind == "pci"}
    assert found["0000:01:04.0"]["driver"] == "vmw_pvscsi"
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[
        disk(1000, 3, client.path(""), mib=5)])))
    guest.console.read_until(r"virga-witness disk \w+ size=5242880")
    with fault(vim.fault.InvalidPowerState, "Secure Boot"):
        change(client, vm, bootOptions=vim.vm.BootOptions(efiSecureBootEnabled=False))


def test_an_unsigned_guest_does_not_start(client, make_vm):
    image, _ = machines.upload_image(client)
    own = client.path("images/unsigned.vmdk")
    client.wait(client.content.virtualDiskManager.CopyVirtualDisk_Task(
        image, client.datacenter, own, client.datacenter))
    vm = secure_machine(make_vm, "unsigned", own)
    change(client, vm, bootOptions=SECURE)
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    console.read_until(r"failed to load [^\n]*Access Denied")
    console.close()


def test_secure_boot_needs_efi(client, make_vm):
    vm = make_vm("bios-secure", bare=True)
    with fault(vmodl.fault.InvalidArgument, "needs EFI firmware"):
        change(client, vm, bootOptions=SECURE)

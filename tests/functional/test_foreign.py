"""VM folders as ESXi, Workstation and Fusion leave them: registered, asked about, booted.

foreign/NAME.vmx is what the product wrote; the disk is the tests' own guest.
"""

import pathlib
import re
import shutil

import pytest
from pyVmomi import vim, vmodl

from harness import machines
from harness.client import Client, fault
from harness.console import of_kind

FOREIGN = pathlib.Path(__file__).parent / "foreign"
CANCEL, MOVED, COPIED = "0", "1", "2"


def put_folder(client, product, folder, config, disk, extent_type="VMFS", create_type="vmfs"):
    """A folder of the datastore with that product's .vmx and a disk of one flat extent."""
    root = pathlib.Path(client.datastore.info.path) / folder
    root.mkdir()
    shutil.copy(FOREIGN / f"{product}.vmx", root / config)
    shutil.copy(machines.GUEST_IMAGE, root / f"{disk}-flat.vmdk")
    size = machines.GUEST_IMAGE.stat().st_size
    text = machines.DESCRIPTOR.format(sectors=size // 512, name=disk,
                                      cylinders=size // (64 * 32 * 512))
    if extent_type == "FLAT":
        text = re.sub(r"(RW \d+) VMFS (.*)", r"\1 FLAT \2 0", text)
    (root / f"{disk}.vmdk").write_text(text.replace('"vmfs"', f'"{create_type}"'))
    return root


@pytest.fixture
def register(client, host):
    roots = []

    def put_and_register(product, folder, config, disk, extra="", **options):
        root = put_folder(client, product, folder, config, disk, **options)
        roots.append(root)
        with open(root / config, "a", newline="") as file:
            file.write(extra)
        return client.wait(client.datacenter.vmFolder.RegisterVM_Task(
            client.path(f"{folder}/{config}"), None, False, client.pool))

    yield put_and_register
    cleaner = Client(host)
    for vm in cleaner.datacenter.vmFolder.childEntity:
        if any(vm.config and f"] {root.name}/" in vm.config.files.vmPathName for root in roots):
            machines.destroy(cleaner, vm)
    cleaner.logout()
    for root in roots:
        shutil.rmtree(root, ignore_errors=True)


def ledger(register, extra=""):
    return register("esxi60", "ledger", "ledger.vmx", "ledger", extra)


def question_of(client, vm):
    return client.wait_for(vm, "runtime.question", lambda question: question is not None)


def power_on(client, vm, choice):
    """Answers what it asks."""
    task = vm.PowerOnVM_Task()
    vm.AnswerVM(question_of(client, vm).id, choice)
    client.wait(task)


def identity(vm):
    return (vm.config.uuid, vm.config.instanceUuid,
            [device.macAddress for device in vm.config.hardware.device
             if isinstance(device, vim.vm.device.VirtualEthernetCard)])


def events_of(client, vm, kind):
    return [event for event in client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))
        if isinstance(event, kind)]


# --- What the products leave ---------------------------------------------------------------------


def test_a_vm_of_esxi_6_boots_with_the_same_devices(client, register, boot_guest):
    vm = ledger(register)
    assert vm.name == "ledger" and vm.config.version == "vmx-11"
    assert vm.config.annotation == 'Accounts, second floor\nAsk "Ledger" first'
    assert machines.device(vm, vim.vm.device.VirtualLsiLogicController)
    drive = machines.device(vm, vim.vm.device.VirtualCdrom)
    assert drive.backing.fileName == "[4f0c7a91-6b2d8e13-55aa-0025b50a1f2c] iso/install.iso"
    before = identity(vm)
    assert before == ("564d6a21-c40e-97b8-35d2-604f9a1f8ed3", "523b81f0-4d67-c29e-a815-7be4d026935c",
                      ["00:0c:29:1f:8e:d3"])
    power_on(client, vm, MOVED)
    client.wait(vm.PowerOffVM_Task())
    guest = boot_guest(vm)
    assert identity(vm) == before
    assert of_kind(guest.found, "machine")[0]["uuid"].lower() == before[0]
    assert [nic["mac"] for nic in of_kind(guest.found, "nic")] == before[2]
    # The image lies in a datastore of another host.
    assert machines.device(vm, vim.vm.device.VirtualCdrom).connectable.connected is False


def test_a_vm_of_esxi_7_boots_with_the_same_devices(client, register, boot_guest):
    vm = register("esxi70", "shop", "shop.vmx", "shop")
    disk = machines.device(vm, vim.vm.device.VirtualDisk)
    assert disk.backing.fileName == client.path("shop/shop.vmdk")
    assert (vm.config.version, vm.config.hardware.numCPU) == ("vmx-17", 2)
    before = identity(vm)
    power_on(client, vm, COPIED)
    client.wait(vm.PowerOffVM_Task())
    guest = boot_guest(vm)
    uuid, instance, macs = identity(vm)
    assert uuid != before[0] and instance != before[1]
    # The center's address stays the center's affair; ours is derived from the new UUID.
    assert macs[0] == before[2][0] == "00:50:56:8f:21:c4"
    assert macs[1] != before[2][1] and macs[1].startswith("00:0c:29:")
    assert of_kind(guest.found, "machine")[0]["uuid"].lower() == uuid
    assert [nic["mac"] for nic in of_kind(guest.found, "nic")] == macs


def test_a_vm_of_workstation_on_windows(client, register, boot_guest):
    vm = register("workstation16", "atelier", "Atelier.vmx", "Atelier", extent_type="FLAT",
                  create_type="monolithicFlat")
    assert vm.name == "Atelier d'été"
    disk = machines.device(vm, vim.vm.device.VirtualDisk)
    assert disk.backing.fileName == client.path("atelier/Atelier.vmdk")
    root = pathlib.Path(client.datastore.info.path) / "atelier"
    text = (root / "Atelier.vmx").read_bytes()
    assert 'scsi0:0.fileName = "Atelier.vmdk"\r\n'.encode() in text
    before = identity(vm)
    guest = boot_guest(vm)    # the .vmx has the answer already
    assert identity(vm) == before and before[2] == ["00:0c:29:7b:e2:90"]
    assert len(of_kind(guest.found, "nic")) == 1


def test_a_vm_of_fusion_is_copied_as_it_says_itself(client, register, boot_guest):
    vm = register("fusion12", "Büro №5.vmwarevm", "Büro №5.vmx", "Virtual Disk", extent_type="FLAT",
                  create_type="monolithicFlat")
    assert vm.name == "Büro №5"
    assert vm.config.annotation == "Zweiter Stock\nSchlüssel bei # 7"
    before = identity(vm)
    guest = boot_guest(vm)    # uuid.action = create
    assert identity(vm)[0] != before[0]
    assert of_kind(guest.found, "machine")[0]["uuid"].lower() == vm.config.uuid


# --- Moved or copied --------------------------------------------------------------------------


def test_the_question_is_asked_as_clients_know_it(client, register):
    vm = ledger(register)
    task = vm.PowerOnVM_Task()
    question = question_of(client, vm)
    assert question.text.startswith("msg.uuid.altered:")
    message, = question.message
    assert message.id == "msg.uuid.altered" and question.text == f"{message.id}:{message.text}"
    assert [(choice.key, choice.label, choice.summary) for choice in question.choice.choiceInfo] == [
        ("0", "button.uuid.cancel", "Cancel"), ("1", "button.uuid.movedTheVM", "I Moved It"),
        ("2", "button.uuid.copiedTheVM", "I Copied It")]
    assert question.choice.defaultIndex == 2
    assert vm.summary.runtime.question.id == question.id
    event, = events_of(client, vm, vim.event.VmMessageEvent)
    assert event.message == question.text and event.messageInfo[0].id == "msg.uuid.altered"

    assert task.info.state == "running" and vm.runtime.powerState == "poweredOff"
    with fault(vim.fault.QuestionPending) as raised:
        client.wait(vm.PowerOffVM_Task())
    assert raised.value.text == question.text
    with fault(vim.fault.QuestionPending):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x")))
    with fault(vim.fault.QuestionPending):
        vm.UnregisterVM()
    for id, choice in ((question.id, "3"), (question.id, "-1"), (question.id, "yes"),
                       (question.id + "0", "1")):
        with fault(vmodl.fault.InvalidArgument):
            vm.AnswerVM(id, choice)

    vm.AnswerVM(question.id, CANCEL)
    with fault(vim.fault.VmConfigFault, "cancelled"):
        client.wait(task)
    assert vm.runtime.question is None and vm.runtime.powerState == "poweredOff"
    with fault(vim.fault.ConcurrentAccess):
        vm.AnswerVM(question.id, MOVED)
    power_on(client, vm, MOVED)    # it asks again, until it knows
    client.wait(vm.PowerOffVM_Task())
    client.wait(vm.PowerOnVM_Task())


def test_a_copy_is_told_of(client, register):
    vm = ledger(register)
    before = identity(vm)
    power_on(client, vm, COPIED)
    after = identity(vm)
    assert all(old != new for old, new in zip(before, after))
    changed, = events_of(client, vm, vim.event.VmUuidChangedEvent)
    assert (changed.oldUuid, changed.newUuid) == (before[0], after[0])
    changed, = events_of(client, vm, vim.event.VmInstanceUuidChangedEvent)
    assert (changed.oldInstanceUuid, changed.newInstanceUuid) == (before[1], after[1])
    changed, = events_of(client, vm, vim.event.VmMacChangedEvent)
    assert (changed.adapter, changed.oldMac, changed.newMac) == (
        "ethernet0", before[2][0], after[2][0])


@pytest.mark.parametrize("line, is_copy", [
    ('uuid.action = "keep"', False), ('uuid.action = "create"', True),
    ('uuid.action = "change"', True), ('msg.autoAnswer = "TRUE"', True),
    ('answer.msg.uuid.altered = "I moved it"', False)])
def test_the_configuration_may_have_the_answer(client, register, line, is_copy):
    vm = ledger(register, line + "\n")
    before = identity(vm)
    client.wait(vm.PowerOnVM_Task())
    assert (identity(vm) != before) == is_copy


def test_a_folder_that_is_moved_here_is_asked_about(client, make_vm):
    vm = make_vm("homeless", bare=True)
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    uuid = vm.config.uuid
    vm.UnregisterVM()
    files = client.content.fileManager
    client.wait(files.MoveDatastoreFile_Task(client.path("homeless"), client.datacenter,
                                             client.path("housed"), client.datacenter))
    vm = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        client.path("housed/homeless.vmx"), None, False, client.pool))
    power_on(client, vm, MOVED)
    assert vm.config.uuid == uuid
    machines.destroy(client, vm)


def test_a_copy_beside_its_original_gets_an_identity_at_once(client, host, register):
    """Two VMs with one instance UUID would be one to whoever looks by it."""
    first = ledger(register)
    second = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        _copy_folder(client, "ledger", "ledger-copy"), "ledger-copy", False, client.pool))
    assert second.config.instanceUuid != first.config.instanceUuid
    assert second.config.uuid == first.config.uuid
    conflict, = events_of(client, second, vim.event.VmInstanceUuidConflictEvent)
    assert conflict.conflictedVm.vm == first
    changed, = events_of(client, second, vim.event.VmInstanceUuidChangedEvent)
    assert changed.newInstanceUuid == second.config.instanceUuid
    expected = second.config.instanceUuid
    host.restart()
    again = Client(host)
    second = again.vm("ledger-copy")
    assert second.config.instanceUuid == expected
    machines.destroy(again, second)
    again.logout()


def _copy_folder(client, source, target):
    root = pathlib.Path(client.datastore.info.path)
    shutil.copytree(root / source, root / target)
    return client.path(f"{target}/{source}.vmx")


def test_killed_while_a_question_waits(client, host, register):
    vm = ledger(register)
    before = identity(vm)
    vm.PowerOnVM_Task()
    question_of(client, vm)
    host.restart()
    again = Client(host)
    vm = again.vm("ledger")
    assert vm.runtime.question is None and vm.runtime.powerState == "poweredOff"
    assert identity(vm) == before
    root = pathlib.Path(again.datastore.info.path) / "ledger"
    assert not list(root.glob("*.lck")) and not list(root.glob("*.vswp"))
    power_on(again, vm, COPIED)
    host.kill()    # right after the answer took effect
    host.start()
    last = Client(host)
    vm = last.vm("ledger")
    assert vm.runtime.powerState == "poweredOn" and identity(vm) != before
    last.wait(vm.PowerOffVM_Task())
    last.logout()
    again.logout()


def test_a_daemon_that_ends_withdraws_its_questions(client, host, register):
    vm = ledger(register)
    vm.PowerOnVM_Task()
    question_of(client, vm)
    host.stop()
    assert host.process.returncode == 0
    host.start()
    again = Client(host)
    assert again.vm("ledger").runtime.powerState == "poweredOff"
    again.logout()

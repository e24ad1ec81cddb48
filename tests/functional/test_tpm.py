"""Virtual TPMs: what they remember is the VM's, for as long as it has one."""

import pathlib

from pyVmomi import vim

from harness import machines
from harness.client import fault
from harness.machines import added, change, removed

TPM = vim.vm.device.VirtualTPM

# TPM 2.0 commands (TPM Library Specification, part 3) on an index of the owner's; the owner's
# password is empty.
OWNER, INDEX = "40000001", "01500001"
PASSWORD_SESSION = "00000009" "40000009" "0000" "00" "0000"


def command(code, handles, parameters):
    body = code + handles + PASSWORD_SESSION + parameters
    return "8002" + f"{6 + len(body) // 2:08x}" + body


def define_index():
    public = INDEX + "000b" "02020002" "0000" "0008"    # the owner reads and writes 8 bytes
    return command("0000012a", OWNER, "0000" + f"{len(public) // 2:04x}" + public)


def write_index(text):
    return command("00000137", OWNER + INDEX, "0008" + text.encode().hex() + "0000")


def read_index():
    return command("0000014e", OWNER + INDEX, "0008" "0000")


def ask(console, request):
    """Sends a command to the guest's TPM; returns its answer's code and what follows."""
    octets = "".join(f"\\x{request[i:i + 2]}" for i in range(0, len(request), 2))
    output = console.output(f"exec 3<>/dev/tpm0; printf '{octets}' >&3; "
                            "dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1; exec 3>&-")
    answer = bytes.fromhex("".join(output.split()))
    return int.from_bytes(answer[6:10], "big"), answer[10:]


def test_a_tpm_remembers_as_long_as_the_machine_has_it(client, host, make_vm, boot_guest):
    vm = make_vm("with-tpm", nics=[], firmware="efi", memory_mib=256,
                 extra=[added(TPM(key=-1))])
    console = boot_guest(vm).console
    assert console.output("cat /sys/class/tpm/tpm0/tpm_version_major").strip() == "2"
    assert ask(console, define_index())[0] == 0
    assert ask(console, write_index("remember"))[0] == 0

    host.kill()
    host.start()
    client = type(client)(host)
    vm = client.vm("with-tpm")
    [state] = [file for file in vm.layoutEx.file if file.name.endswith("tpm2-00.permall")]
    assert state.size > 0
    with fault(vim.fault.DeviceHotPlugNotSupported, "Virtual TPM"):
        change(client, vm, removed(machines.device(vm, TPM)))
    client.wait(vm.PowerOffVM_Task())
    client.wait(vm.PowerOnVM_Task())
    console.close()
    console = type(console)(client, vm)
    console.booted()
    code, rest = ask(console, read_index())
    assert code == 0 and b"remember" in rest
    console.close()

    client.wait(vm.PowerOffVM_Task())
    folder = pathlib.Path(client.datastore.info.path) / "with-tpm"
    assert any(folder.glob("*.vtpm"))
    change(client, vm, removed(machines.device(vm, TPM)))
    assert not any(folder.glob("*.vtpm"))


def test_a_tpm_needs_efi(client, make_vm):
    vm = make_vm("bios-tpm", bare=True)
    with fault(vim.fault.InvalidDeviceSpec, "needs EFI firmware") as raised:
        change(client, vm, added(TPM(key=-1)))
    assert raised.value.deviceIndex == 0
    change(client, vm, added(TPM(key=-1)), firmware="efi")
    assert "vtpm.present" in client.http("GET", "bios-tpm/bios-tpm.vmx").text

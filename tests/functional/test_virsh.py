"""libvirt's ESX driver, on a real guest."""

import tempfile
import xml.etree.ElementTree

import pytest

from harness.tools import Virsh


@pytest.fixture
def virsh(host):
    return Virsh(host, host.user, host.password)


def test_connects_and_tells_who_is_there(virsh, client):
    assert virsh("uri").strip() == virsh.uri
    assert "ESX" in virsh("version")
    node = virsh.fields("nodeinfo")
    assert int(node["CPU(s)"]) == client.host_system.hardware.cpuInfo.numCpuThreads
    assert virsh("hostname").strip().split(".")[0] == client.host_system.name.split(".")[0]


def test_lists_machines_and_their_states(virsh, guest, make_vm):
    make_vm("virsh-off", bare=True)
    states = {row[1]: " ".join(row[2:]) for row in virsh.rows("list", "--all")}
    assert states["shared"] == "running"
    assert states["virsh-off"] == "shut off"


def test_describes_a_machine(virsh, guest):
    info = virsh.fields("dominfo", "shared")
    assert info["UUID"] == guest.vm.config.uuid
    assert info["State"] == "running"
    assert info["CPU(s)"] == "1"
    assert info["Max memory"] == f"{guest.vm.config.hardware.memoryMB * 1024} KiB"

    domain = xml.etree.ElementTree.fromstring(virsh("dumpxml", "shared"))
    assert domain.findtext("name") == "shared"
    assert domain.findtext("uuid") == guest.vm.config.uuid
    [disk] = [disk for disk in domain.iter("disk") if disk.get("device") == "disk"]
    assert disk.find("source").get("file") == "[datastore1] images/shared.vmdk"
    [controller] = [entry for entry in domain.iter("controller") if entry.get("type") == "scsi"]
    assert controller.get("model") == "vmpvscsi"
    [interface] = domain.iter("interface")
    assert interface.find("source").get("bridge") == "VM Network"
    assert interface.find("model").get("type") == "vmxnet3"
    [cdrom] = [disk for disk in domain.iter("disk") if disk.get("device") == "cdrom"]
    assert cdrom.find("source").get("file") == "[datastore1] images/guest.iso"


def test_starts_suspends_resumes_and_destroys(virsh, client, make_vm):
    vm = make_vm("virsh-power", bare=True)
    for command, state in (("start", "poweredOn"), ("suspend", "suspended"),
                           ("resume", "poweredOn"), ("destroy", "poweredOff")):
        virsh(command, "virsh-power")
        assert vm.runtime.powerState == state, command


def test_shuts_a_guest_down(virsh, client, guest):
    client.wait_for(guest.vm, "guest.toolsRunningStatus",
                    lambda status: status == "guestToolsRunning")
    virsh("shutdown", "shared")
    client.wait_for(guest.vm, "runtime.powerState", lambda state: state == "poweredOff")


def test_changes_the_number_of_processors(virsh, client, make_vm):
    """virsh can ask this driver for no change of the memory: the flags it sets are unknown to it."""
    vm = make_vm("virsh-size", bare=True)
    virsh("setvcpus", "virsh-size", "2", "--live")
    assert vm.config.hardware.numCPU == 2


def test_defines_and_undefines_from_xml(virsh, client):
    described = f"""
<domain type='vmware'>
  <name>virsh-defined</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <controller type='scsi' index='0' model='vmpvscsi'/>
    <disk type='file' device='disk'>
      <source file='[{client.datastore.name}] virsh-defined/virsh-defined.vmdk'/>
      <target dev='sda' bus='scsi'/>
    </disk>
    <interface type='bridge'><source bridge='VM Network'/><model type='e1000'/></interface>
  </devices>
</domain>"""
    client.content.fileManager.MakeDirectory(client.path("virsh-defined"), client.datacenter, True)
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(described)
        file.flush()
        virsh("define", file.name)
    vm = client.vm("virsh-defined")
    assert vm.config.hardware.memoryMB == 128
    virsh("undefine", "virsh-defined")
    assert client.vm("virsh-defined") is None


def test_pools_volumes_and_networks(virsh, client, guest):
    pools = {row[0]: row[1] for row in virsh.rows("pool-list", "--all")}
    assert pools[client.datastore.name] == "active"
    volumes = virsh("vol-list", client.datastore.name)
    assert "images/guest.vmdk" in volumes
    assert "images/shared.vmdk" in volumes
    assert "images/guest.iso" in volumes
    info = virsh.fields("pool-info", client.datastore.name)
    assert info["State"] == "running"
    volume = virsh.fields("vol-info", "images/guest.iso", "--pool", client.datastore.name)
    assert volume["Type"] == "file"
    assert "vSwitch0" in {row[0] for row in virsh.rows("net-list", "--all")}


def test_a_wrong_password_is_refused(host):
    virsh = Virsh(host, host.user, "wrong")
    assert "login" in virsh("list", check=False).lower()

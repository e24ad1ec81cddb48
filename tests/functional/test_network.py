"""Guests on VM Network reach each other, the machine, and through it the world."""

import contextlib
import re
import subprocess
import time

import pytest
from pyVmomi import vim

from harness import isolation, machines, qemu
from harness.client import fault


def pings(console, address):
    status, output = console.run(f"ping -c 3 -W 5 {address}")
    return status == 0, output


def test_two_guests_get_addresses_and_reach_each_other(guest, second_guest):
    one, two = guest.console.address(), second_guest.console.address()
    assert one != two
    assert one.rpartition(".")[0] == two.rpartition(".")[0]
    for console, address in ((guest.console, two), (second_guest.console, one)):
        reached, output = pings(console, address)
        assert reached, output


def test_bytes_arrive_unharmed(guest, second_guest):
    address = second_guest.console.address()
    second_guest.console.socket.send("nc -l -p 7 >/run/received; md5sum /run/received\n")
    sent = guest.console.output(
        "dd if=/dev/urandom of=/run/sent bs=64k count=64 2>/dev/null; md5sum </run/sent").split()[0]
    guest.console.output(f"until nc {address} 7 </run/sent; do usleep 300000; done")
    assert second_guest.console.read_until(r"([0-9a-f]{32})  /run/received")[1] == sent


def gateway(console):
    return re.search(r"via ([\d.]+)", console.output("ip route show default"))[1]


def test_a_guest_reaches_the_machine(guest):
    guest.console.address()
    reached, output = pings(guest.console, gateway(guest.console))
    assert reached, output


@pytest.fixture
def outside():
    """A machine elsewhere: another network namespace behind a cable, with an address of its own."""
    name, address = "virga-outside", "198.51.100.2"
    commands = [
        f"ip netns add {name}",
        f"ip link add v-out type veth peer name v-in netns {name}",
        "ip address add 198.51.100.1/24 dev v-out", "ip link set v-out up",
        f"ip -n {name} address add {address}/24 dev v-in", f"ip -n {name} link set v-in up",
        f"ip -n {name} link set lo up",
    ]
    for command in commands:
        subprocess.run(command.split(), check=True)
    yield name, address
    subprocess.run(["ip", "link", "delete", "v-out"], check=True)
    subprocess.run(["ip", "netns", "delete", name], check=True)


def test_a_guest_reaches_the_world_under_the_machines_address(guest, outside):
    name, address = outside
    guest.console.address()
    listener = subprocess.Popen(
        ["ip", "netns", "exec", name, "socat", "-d", "-d", "TCP-LISTEN:80,reuseaddr",
         "SYSTEM:echo $SOCAT_PEERADDR"], stderr=subprocess.PIPE, text=True)
    for line in listener.stderr:
        if "listening on" in line:
            break
    output = guest.console.output(f"nc {address} 80 </dev/null")
    listener.wait(timeout=10)
    assert output.strip() == "198.51.100.1"


def test_the_world_does_not_reach_a_guest_by_itself(guest, outside):
    name, _ = outside
    address = guest.console.address()
    subprocess.run(["ip", "-n", name, "route", "add", "default", "via", "198.51.100.1"], check=True)
    answer = subprocess.run(["ip", "netns", "exec", name, "ping", "-c", "2", "-W", "1", address])
    assert answer.returncode != 0


def test_the_network_shows_its_vms_and_host(client, guest):
    network = next(network for network in client.datacenter.network
                   if network.name == "VM Network")
    assert guest.vm._moId in [vm._moId for vm in network.vm]
    assert [host._moId for host in network.host] == [client.host_system._moId]
    system = client.host_system.configManager.networkSystem
    assert [switch.name for switch in system.networkInfo.vswitch] == ["vSwitch0"]
    assert "VM Network" in [group.spec.name for group in system.networkInfo.portgroup]


@pytest.fixture
def island(client):
    """A switch with a port group and no way out."""
    system = client.host_system.configManager.networkSystem
    system.AddVirtualSwitch("vSwitch9", vim.host.VirtualSwitch.Specification(numPorts=64))
    system.AddPortGroup(port_group("Island", "vSwitch9"))
    yield "Island"
    system.RemovePortGroup("Island")
    system.RemoveVirtualSwitch("vSwitch9")


def port_group(name, switch, vlan=0):
    return vim.host.PortGroup.Specification(
        name=name, vlanId=vlan, vswitchName=switch, policy=vim.host.NetworkPolicy())


def test_a_guest_moved_to_another_port_group_is_alone(client, guest, second_guest, island):
    address = second_guest.console.address()
    guest.console.address()
    assert pings(guest.console, address)[0]
    card = machines.device(guest.vm, vim.vm.device.VirtualVmxnet3)
    with moved(client, guest.vm, card, island):
        assert not pings(guest.console, address)[0]
        system = client.host_system.configManager.networkSystem
        with fault(vim.fault.ResourceInUse):
            system.RemovePortGroup(island)
    assert pings(guest.console, address)[0]


@contextlib.contextmanager
def moved(client, vm, card, network):
    former = card.backing.deviceName
    try:
        _plug(client, vm, card, network)
        yield
    finally:
        _plug(client, vm, card, former)


def _plug(client, vm, card, network):
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[machines.edited(card)])))


def test_port_groups_have_unique_names_and_a_switch(client):
    system = client.host_system.configManager.networkSystem
    with fault(vim.fault.AlreadyExists):
        system.AddPortGroup(port_group("VM Network", "vSwitch0"))
    with fault(vim.fault.NotFound):
        system.AddPortGroup(port_group("Lost", "vSwitch7"))


def test_a_killed_switch_daemon_is_started_again(client, guest, second_guest):
    """Traffic goes on after ovs-vswitchd died, without anybody's help."""
    address = second_guest.console.address()
    guest.console.address()
    [daemon] = [pid for pid in isolation.processes()
                if qemu.command_line(pid) and qemu.command_line(pid)[0].endswith("ovs-vswitchd")]
    qemu.Process(daemon).kill()
    deadline = time.monotonic() + 60
    while not pings(guest.console, address)[0]:
        assert time.monotonic() < deadline, "the network did not come back"

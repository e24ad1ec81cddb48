"""What the guest tells through its agent, and what it does when asked."""

from pyVmomi import vim

from harness.client import fault


def test_the_guest_tells_its_name_address_and_system(client, guest):
    address = guest.console.address()
    seen = client.wait_for(guest.vm, "guest.ipAddress", lambda ip: ip == address)
    assert seen == address
    info = guest.vm.guest
    assert info.hostName == "virga-guest"
    assert info.guestState == "running"
    assert info.toolsRunningStatus == "guestToolsRunning"
    assert info.toolsStatus in ("toolsOk", "toolsOld")
    card = next(device for device in guest.vm.config.hardware.device
                if isinstance(device, vim.vm.device.VirtualEthernetCard))
    [net] = [net for net in info.net if net.macAddress == card.macAddress]
    assert address in net.ipAddress
    assert net.deviceConfigId == card.key
    assert net.network == "VM Network"
    assert guest.vm.summary.guest.ipAddress == address


def test_a_new_host_name_is_noticed(client, guest):
    guest.console.output("hostname renamed")
    try:
        client.wait_for(guest.vm, "guest.hostName", lambda name: name == "renamed")
        assert client.content.searchIndex.FindByDnsName(None, "renamed", True)._moId == \
            guest.vm._moId
    finally:
        guest.console.output("hostname virga-guest")


def test_the_vm_is_found_by_its_guests_address(client, guest):
    address = guest.console.address()
    client.wait_for(guest.vm, "guest.ipAddress", lambda ip: ip == address)
    found = client.content.searchIndex.FindByIp(None, address, True)
    assert found._moId == guest.vm._moId


def test_an_agent_that_stops_is_noticed_and_one_that_returns_too(client, guest):
    running = "guestToolsRunning"
    client.wait_for(guest.vm, "guest.toolsRunningStatus", lambda status: status == running)
    guest.console.output("kill $(pidof qemu-ga)")
    client.wait_for(guest.vm, "guest.toolsRunningStatus", lambda status: status != running)
    with fault(vim.fault.ToolsUnavailable):
        guest.vm.RebootGuest()
    guest.console.output("qemu-ga -d -t /run -f /run/qemu-ga.pid"
                         " -p /dev/virtio-ports/org.qemu.guest_agent.0")
    client.wait_for(guest.vm, "guest.toolsRunningStatus", lambda status: status == running)


def test_reboot_through_the_agent(client, guest):
    client.wait_for(guest.vm, "guest.toolsRunningStatus",
                    lambda status: status == "guestToolsRunning")
    guest.vm.RebootGuest()
    guest.console.read_until("virga-witness shutdown reboot")
    guest.console.booted()
    assert guest.vm.runtime.powerState == "poweredOn"


def test_shutdown_through_the_agent(client, guest):
    client.wait_for(guest.vm, "guest.toolsRunningStatus",
                    lambda status: status == "guestToolsRunning")
    guest.vm.ShutdownGuest()
    guest.console.read_until("virga-witness shutdown poweroff")
    client.wait_for(guest.vm, "runtime.powerState", lambda state: state == "poweredOff")
    assert guest.vm.guest.toolsRunningStatus == "guestToolsNotRunning"
    assert guest.vm.guest.guestState == "notRunning"
    assert guest.vm.guest.ipAddress is None

"""Floppies, ports, USB, sound and the watchdog: one guest has them all and says what it finds."""

import contextlib
import socket
import ssl
import subprocess

import pytest
from pyVmomi import vim, vmodl

from conftest import shared_guest
from harness import machines
from harness.client import Client, fault
from harness.console import Console, of_kind
from harness.machines import added, edited

PORT, TLS_PORT, TLS_PEERS_PORT = 2001, 2002, 2003
FLOPPY_SECTORS = 2880

Serial = vim.vm.device.VirtualSerialPort
Floppy = vim.vm.device.VirtualFloppy


def change(client, vm, *devices, **fields):
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=list(devices), **fields)))


def connected():
    return vim.vm.device.VirtualDevice.ConnectInfo(startConnected=True, connected=True,
                                                   allowGuestControl=True)


def serial(backing):
    return added(Serial(key=-400, yieldOnPoll=True, backing=backing, connectable=connected()))


def upload_floppy(client, name, text):
    """A floppy's image whose sector 5 says so; returns its datastore path."""
    image = bytearray(FLOPPY_SECTORS * 512)
    image[5 * 512:5 * 512 + len(text)] = text.encode()
    client.http("PUT", f"images/{name}", data=bytes(image)).raise_for_status()
    return client.path(f"images/{name}")


def floppy_with(image):
    return Floppy(key=-800, backing=Floppy.ImageBackingInfo(fileName=image),
                  connectable=connected())


def add_watchdog(client, vm):
    """VirtualWDT came with 7.0, which this pyVmomi does not know yet."""
    answer = client.soap(f"""<ReconfigVM_Task xmlns="urn:vim25">
      <_this type="VirtualMachine">{vm._moId}</_this>
      <spec><deviceChange><operation>add</operation><device xsi:type="VirtualWDT">
        <key>-1</key><runOnBoot>false</runOnBoot><running>false</running>
      </device></deviceChange></spec></ReconfigVM_Task>""")
    assert answer.status_code == 200, answer.text
    client.wait(vm.recentTask[-1])


@pytest.fixture
def equipped(client):
    """A guest with all of it."""
    if client.vm("equipped") is None:
        machines.upload_image(client)
        xhci = vim.vm.device.VirtualUSBXHCIController(key=-1)
        usb = vim.vm.device.VirtualUSBController(key=-2, ehciEnabled=True)
        printer = vim.vm.device.VirtualParallelPort(
            key=-3, connectable=connected(),
            backing=vim.vm.device.VirtualParallelPort.FileBackingInfo(
                fileName=client.path("images/printed")))
        vm = machines.deploy(client, "equipped", nics=[], extra=[
            serial(Serial.URIBackingInfo(serviceURI=f"tcp://127.0.0.1:{PORT}",
                                         direction="server")),
            serial(Serial.PipeBackingInfo(pipeName="between-guests", endpoint="server")),
            serial(Serial.URIBackingInfo(serviceURI=f"tcp+ssl://127.0.0.1:{TLS_PORT}",
                                         direction="server")),
            added(floppy_with(upload_floppy(client, "first.flp", "the first floppy"))),
            added(printer), added(xhci), added(usb),
            added(vim.vm.device.VirtualHdAudioCard(key=-4))])
        add_watchdog(client, vm)
        change(client, vm, extraConfig=[
            vim.option.OptionValue(key="mouse.vusb.enable", value="TRUE"),
            vim.option.OptionValue(key="keyboard.vusb.enable", value="TRUE")])
    guest = shared_guest(client, "equipped")
    yield guest
    guest.console.close()


def device_of(vm, kind):
    return machines.device(vm, kind)


# The name of its own with which a PCI function shows up, and who drives it.
FUNCTIONS = {
    "EHCI": ("8086:293a", "ehci-pci"), "UHCI": ("8086:2934", "uhci_hcd"),
    "xHCI": ("1b36:000d", "xhci_hcd"), "sound": ("8086:2668", ""),
    "watchdog": ("8086:25ab", "i6300ESB timer"),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_guest_finds_each_pci_device(equipped, kind):
    identity, driver = FUNCTIONS[kind]
    [found] = [each for each in of_kind(equipped.found, "pci") if identity in each.names]
    assert found["driver"] in (driver, driver.split(" ")[0])


def test_a_guest_has_input_devices_on_usb(equipped):
    products = equipped.console.output("cat /sys/bus/usb/devices/*/product")
    assert "QEMU USB Tablet" in products and "QEMU USB Keyboard" in products


def test_a_guest_reads_and_writes_its_floppy(client, equipped):
    run = equipped.console.output
    run("modprobe floppy")
    once = "dd if=/dev/fd0 bs=512 skip=5 count=1 iflag=direct 2>/dev/null"
    read = f"{once} || {once}"    # the first access after a change is what the driver learns it by
    assert "the first floppy" in run(read)
    run("echo written by the guest | dd of=/dev/fd0 bs=512 seek=9 conv=sync,fsync 2>/dev/null")
    assert b"written by the guest" in client.http("GET", "images/first.flp").content

    drive = device_of(equipped.vm, Floppy)
    assert drive.connectable.connected
    drive.backing = Floppy.ImageBackingInfo(
        fileName=upload_floppy(client, "second.flp", "the second floppy"))
    change(client, equipped.vm, edited(drive))
    assert "the second floppy" in run(read)
    drive.connectable.connected = False
    change(client, equipped.vm, edited(drive))
    assert not device_of(equipped.vm, Floppy).connectable.connected
    assert equipped.console.run(read)[0] != 0
    drive.backing.fileName = client.path("images/first.flp")
    drive.connectable.connected = True
    change(client, equipped.vm, edited(drive))
    assert "the first floppy" in run(read)


def test_what_a_guest_prints_is_in_the_file(client, equipped):
    equipped.console.output("modprobe -a parport_pc lp && echo on paper >/dev/lp0")
    assert b"on paper" in client.http("GET", "images/printed").content


def test_a_serial_port_answers_on_the_network(equipped):
    with socket.create_connection(("127.0.0.1", PORT), timeout=30) as line:
        equipped.console.output("exec 4<>/dev/ttyS1; stty raw -echo <&4; echo from the guest >&4")
        assert line.makefile("rb").readline() == b"from the guest\n"
        line.sendall(b"to the guest\n")
        assert "to the guest" in equipped.console.output("head -n 1 <&4")


def speaks_tls(host, console):
    with socket.create_connection(("127.0.0.1", TLS_PORT), timeout=30) as plain, \
            host.tls().wrap_socket(plain, server_hostname="127.0.0.1") as line:
        console.output("exec 6<>/dev/ttyS3; stty raw -echo <&6; echo from the guest >&6")
        assert line.makefile("rb").readline() == b"from the guest\n"
        line.sendall(b"a line of many more bytes to the guest\n")
        assert "a line of many more bytes to the guest" in console.output("head -n 1 <&6")


def test_a_serial_port_speaks_tls_whichever_daemon_serves(host, equipped):
    speaks_tls(host, equipped.console)
    host.kill()
    host.start()
    client = Client(host)
    console = Console(client, client.vm("equipped"))
    speaks_tls(host, console)
    console.close()
    client.logout()


def certificate(host, tmp_path, name, trusted):
    """Of a peer at 127.0.0.1, that the host believes or not."""
    file, tls = tmp_path / f"{name}.pem", host.state / "tls"
    issuer = ["-CA", tls / "ca.crt", "-CAkey", tls / "ca.key"] if trusted else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", *issuer, "-out", file,
                    "-keyout", file], check=True, capture_output=True)
    return file


@contextlib.contextmanager
def call_from_a_guest(certificate):
    """Takes its next one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", TLS_PEERS_PORT)) as listener:
        listener.settimeout(30)
        plain, _ = listener.accept()
        plain.settimeout(30)
        with context.wrap_socket(plain, server_side=True) as line:
            yield line


def test_guests_are_connected_by_a_pipe_and_by_tls(host, client, equipped, make_vm, boot_guest,
                                                   tmp_path):
    client_port = serial(Serial.PipeBackingInfo(pipeName="between-guests", endpoint="client"))
    tls_port = serial(Serial.URIBackingInfo(
        serviceURI=f"tcp+ssl://127.0.0.1:{TLS_PEERS_PORT}#verify", direction="client"))
    other = boot_guest(make_vm("pipe-client", nics=[], extra=[client_port, tls_port]))
    equipped.console.output("exec 5<>/dev/ttyS2; stty raw -echo <&5")
    other.console.output("stty -F /dev/ttyS1 raw -echo; echo through the pipe >/dev/ttyS1")
    assert "through the pipe" in equipped.console.output("head -n 1 <&5")

    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        with call_from_a_guest(certificate(host, tmp_path, "stranger", trusted=False)):
            pass
    with call_from_a_guest(certificate(host, tmp_path, "believed", trusted=True)) as line:
        other.console.output("exec 6<>/dev/ttyS2; stty raw -echo <&6; echo from the guest >&6")
        assert line.makefile("rb").readline() == b"from the guest\n"
        line.sendall(b"to the guest\n")
        assert "to the guest" in other.console.output("head -n 1 <&6")


def test_a_pipe_without_a_server_is_not_connected(client, make_vm):
    vm = make_vm("lonely", serial(Serial.PipeBackingInfo(pipeName="nobody", endpoint="client")))
    client.wait(vm.PowerOnVM_Task())
    assert not device_of(vm, Serial).connectable.connected
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))
    assert any("Serial port 1 is not connected" in event.fullFormattedMessage
               for event in events)


def test_a_port_of_the_network_is_one_machines(client, equipped, make_vm):
    vm = make_vm("second-listener", serial(Serial.URIBackingInfo(
        serviceURI=f"tcp://127.0.0.1:{PORT}", direction="server")))
    with pytest.raises(vmodl.MethodFault) as raised:
        client.wait(vm.PowerOnVM_Task())
    assert f"127.0.0.1:{PORT}" in raised.value.msg
    assert vm.runtime.powerState == "poweredOff"


def test_none_of_it_comes_or_goes_while_the_guest_runs(client, equipped):
    sound = device_of(equipped.vm, vim.vm.device.VirtualHdAudioCard)
    with fault(vim.fault.DeviceHotPlugNotSupported, "Sound card") as raised:
        change(client, equipped.vm, machines.removed(sound))
    assert raised.value.deviceIndex == 0


def test_a_guest_with_all_of_it_is_suspended_and_goes_on(client, equipped):
    equipped.console.output("echo kept >/run/kept")
    equipped.console.close()
    client.wait(equipped.vm.SuspendVM_Task())
    resumed = shared_guest(client, "equipped")
    assert "kept" in resumed.console.output("cat /run/kept")
    assert "QEMU USB Tablet" in resumed.console.output("cat /sys/bus/usb/devices/*/product")
    resumed.console.close()


def test_a_watchdog_that_is_not_tended_resets_the_guest(client, equipped):
    equipped.console.output("rmmod i6300esb; modprobe i6300esb heartbeat=2")
    equipped.console.socket.send("echo start >/dev/watchdog\n")
    equipped.console.booted()
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=equipped.vm, recursion="self")))
    assert any("watchdog timer expired" in event.fullFormattedMessage for event in events)


def test_usb_devices_are_the_hosts(client, make_vm):
    vm = make_vm("with-usb", added(vim.vm.device.VirtualUSBXHCIController(key=-1)))
    missing = vim.vm.device.VirtualUSB(key=-2, connected=True)
    missing.backing = vim.vm.device.VirtualUSB.USBBackingInfo(deviceName="vid:dead pid:beef")
    with fault(vim.fault.InvalidDeviceBacking, "vid:dead pid:beef") as raised:
        change(client, vm, added(missing))
    assert raised.value.property == "virtualDeviceSpec.device.backing.deviceName"


def test_the_options_tell_of_all_kinds(client):
    browser = client.compute_resource.environmentBrowser
    offered = {option.type for option in
               browser.QueryConfigOption("vmx-17", None).hardwareOptions.virtualDeviceOption}
    device = vim.vm.device
    assert {device.VirtualFloppy, device.VirtualParallelPort, device.VirtualUSBController,
            device.VirtualUSBXHCIController, device.VirtualUSB, device.VirtualHdAudioCard,
            device.VirtualEnsoniq1371, device.VirtualSoundBlaster16} <= offered
    # What is newer than the client's version has the name of what it does know.
    assert vim.vm.device.VirtualDevice in offered

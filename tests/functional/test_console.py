"""Consoles over WebSocket: the display as RFB, the serial port as it is."""

import struct

import pytest
import websocket
from pyVmomi import vim

from harness.client import fault
from harness.console import Console, connect


class Rfb:
    """As much of an RFB client (RFC 6143) as shows that a screen is there."""

    def __init__(self, socket):
        self.socket, self.buffer = socket, b""
        assert self.read(12) == b"RFB 003.008\n"
        socket.send_binary(b"RFB 003.008\n")
        kinds = self.read(self.read(1)[0])
        assert 1 in kinds, f"no RFB without authentication behind the ticket: {kinds}"
        socket.send_binary(b"\x01")
        assert self.read(4) == b"\0\0\0\0"
        socket.send_binary(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()

    def read(self, count):
        while len(self.buffer) < count:
            self.buffer += self.socket.recv()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def screen(self):
        """The pixels of one full update, 4 bytes each, in raw encoding."""
        self.socket.send_binary(struct.pack(">BxHi", 2, 1, 0))
        self.socket.send_binary(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        kind, _, rectangles = struct.unpack(">BBH", self.read(4))
        assert kind == 0
        pixels = b""
        for _ in range(rectangles):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            assert encoding == 0
            pixels += self.read(width * height * 4)
        return pixels


def display(client, vm):
    ticket = vm.AcquireTicket("webmks")
    return connect(client, f"/ticket/{ticket.ticket}", session=False), ticket


def test_a_ticket_opens_the_display_once(client, guest):
    socket, ticket = display(client, guest.vm)
    screen = Rfb(socket)
    assert (screen.width, screen.height) >= (640, 400)
    assert guest.vm.name in screen.name
    assert len(set(screen.screen())) > 1, "the screen is blank"
    socket.close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        connect(client, f"/ticket/{ticket.ticket}", session=False)


def test_the_ticket_says_where_it_leads_and_whom_to_trust(client, guest):
    _, ticket = display(client, guest.vm)
    assert (ticket.host, ticket.port) == ("127.0.0.1", client.host.port)
    assert ticket.sslThumbprint.count(":") == 19
    assert ticket.cfgFile == guest.vm.config.files.vmPathName


def test_two_viewers_see_the_same_display(client, guest):
    sockets = [display(client, guest.vm)[0] for _ in range(2)]
    names = {Rfb(socket).name for socket in sockets}
    assert len(names) == 1
    for socket in sockets:
        socket.close()


def test_without_ticket_or_session_there_is_no_console(client, guest):
    for path in (f"/console/{guest.vm._moId}/serial", f"/console/{guest.vm._moId}/display",
                 "/ticket/0123456789"):
        with pytest.raises(websocket.WebSocketBadStatusException) as raised:
            connect(client, path, session=False)
        assert raised.value.status_code in (401, 403)


def test_a_machine_that_is_off_has_no_console(client, make_vm):
    vm = make_vm("console-off", bare=True)
    with fault((vim.fault.InvalidState, vim.fault.InvalidPowerState)):
        vm.AcquireTicket("webmks")


def test_the_serial_console_is_a_shell(client, guest):
    status, output = guest.console.run("echo from the guest; false")
    assert (status, output.strip()) == (1, "from the guest")
    assert len(guest.console.output("seq 1 2000").split()) == 2000


def test_a_closed_serial_console_can_be_opened_again(client, guest):
    guest.console.output("message=remembered")
    guest.console.close()
    again = Console(client, guest.vm)
    assert again.output("echo $message").strip() == "remembered"
    again.close()


def test_a_screenshot_is_a_picture_in_the_datastore(client, guest):
    path = client.wait(guest.vm.CreateScreenshot_Task())
    picture = client.http("GET", path.split("] ")[1])
    assert picture.content.startswith(b"\x89PNG\r\n")

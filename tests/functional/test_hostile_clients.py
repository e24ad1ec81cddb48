"""Clients that stall, flood, or send too much: each is dropped, and others are served meanwhile.

What stalls, and the session that idles, are started together, so that they are waited for once.
"""

import gzip
import itertools
import re
import resource
import select
import socket
import threading
import time
import urllib.parse

import pytest
import requests
from pyVmomi import vim

from harness.client import Client, fault
from harness.host import HostProcess

PATIENCE = 180
EACH = 20    # clients of a kind
BIG_FILE = 64 << 20    # more than sockets buffer


@pytest.fixture(scope="module")
def host():
    """A host of our own: settings change, and connections are counted."""
    host = HostProcess(port=8446)
    host.entering = ["prlimit", "--nofile=1024:"]    # as shells start programs
    host.start("--simulate")
    yield host
    host.stop()
    host.remove()


def plain(host):
    return socket.create_connection((host.address, host.port), timeout=PATIENCE)


def connect(host):
    return host.tls().wrap_socket(plain(host), server_hostname=host.address)


# Each of these leaves the host waiting.

def handshake_begun(host, _):
    connection = plain(host)
    connection.sendall(b"\x16\x03\x01\x02\x00")    # a ClientHello of 512 bytes is to follow
    return connection


def silent(host, _):
    return plain(host)


def header_begun(host, _):
    connection = connect(host)
    connection.sendall(b"GET /sdk HTTP/1.1\r\nHost: slow\r\nX-Next:")
    return connection


def body_begun(host, _):
    connection = connect(host)
    connection.sendall(b"POST /sdk HTTP/1.1\r\nHost: slow\r\nContent-Length: 1000\r\n\r\n<half")
    return connection


def answer_unread(host, cookie):
    connection = connect(host)
    query = urllib.parse.urlencode({"dcPath": "ha-datacenter", "dsName": "datastore1"})
    connection.sendall(f"GET /folder/big?{query} HTTP/1.1\r\nHost: slow\r\n"
                       f"Cookie: {cookie}\r\n\r\n".encode())
    return connection


KINDS = [silent, handshake_begun, header_begun, body_begun, answer_unread]


class Dribbler(threading.Thread):
    """Sends a little every now and then, until the host has enough of it; then `answer` is set."""

    def __init__(self, host, beginning, pieces):
        super().__init__(daemon=True)
        self.connection, self.pieces, self.answer = connect(host), pieces, None
        self.connection.sendall(beginning)
        self.start()

    def run(self):
        answer = b""
        try:
            for piece in self.pieces:
                if select.select([self.connection], [], [], 1)[0]:
                    break
                self.connection.sendall(piece)
            while data := self.connection.recv(4096):
                answer += data
        except OSError:
            pass
        self.answer = answer


@pytest.fixture(scope="module")
def stalled(host):
    """All that is to be dropped, by what it does; and the session that idles."""
    client = Client(host)
    client.http("PUT", "big", data=bytes(BIG_FILE)).raise_for_status()
    [option] = client.content.setting.QueryOptions("Config.HostAgent.vmacore.soap.sessionTimeout")
    option.value = 1    # minute
    client.content.setting.UpdateOptions([option])
    everything = {kind: [kind(host, client.cookie) for _ in range(EACH)] for kind in KINDS}
    idle = Client(host)
    everything["idle"] = idle, idle.content.sessionManager.currentSession.key
    everything["headers"] = Dribbler(host, b"GET /sdk HTTP/1.1\r\n",
                                     (b"X-%d: x\r\n" % i for i in itertools.count()))
    everything["body"] = Dribbler(host, b"POST /sdk HTTP/1.1\r\nHost: slow\r\n"
                                  b"Content-Length: 1000\r\n\r\n", itertools.repeat(b"<"))
    client.logout()
    yield everything
    for kind in KINDS:
        for connection in everything[kind]:
            connection.close()


def connections_open(host):
    """How many connections the host has, the one that asks left out."""
    text = requests.get(f"{host.url}/metrics", verify=host.ca, timeout=PATIENCE).text
    return int(float(re.search(r"^virga_http_connections (\S+)$", text, re.M)[1])) - 1


def held_by_host(host, connection):
    """Whether the host still has its end of the connection open."""
    ours = f":{connection.getsockname()[1]:04X}"
    theirs = f":{host.port:04X}"
    rows = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    return any(row[1].endswith(theirs) and row[2].endswith(ours) and row[3] == "01"
               for row in rows)


def test_while_clients_stall_others_are_served(host, stalled, client):
    assert connections_open(host) >= EACH * len(KINDS)
    assert client.instance.CurrentTime()
    assert client.http("GET", "big").content == bytes(BIG_FILE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_stalls_is_dropped(host, stalled, client, kind):
    for connection in stalled[kind]:
        if kind is answer_unread:
            wait_until_dropped(host, connection)
        received = read_to_end(connection)
        if kind in (header_begun, body_begun):
            assert received.startswith(b"HTTP/1.1 408 "), received
        elif kind is answer_unread:
            assert len(received) < BIG_FILE
        else:
            assert received == b""
    assert client.instance.CurrentTime()


def wait_until_dropped(host, connection):
    # Behind what is not read, the end of the connection cannot be seen.
    deadline = time.monotonic() + PATIENCE
    while held_by_host(host, connection):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def read_to_end(connection):
    received = b""
    try:
        while data := connection.recv(1 << 16):
            received += data
    except ConnectionError:
        pass
    return received


@pytest.mark.parametrize("kind", ["headers", "body"])
def test_a_client_that_dribbles_is_dropped(stalled, client, kind):
    dribbler = stalled[kind]
    dribbler.join(PATIENCE)
    assert dribbler.answer is not None, "it was never dropped"
    assert dribbler.answer == b"" or dribbler.answer.startswith(b"HTTP/1.1 408 ")
    assert client.instance.CurrentTime()


def test_an_idle_session_ends_and_one_that_waits_does_not(stalled, client):
    idle, key = stalled["idle"]
    waiting = client.content.sessionManager.currentSession.key
    left = client.wait_for(client.content.sessionManager, "sessionList",
                           lambda sessions: key not in [each.key for each in sessions],
                           seconds=PATIENCE)
    assert waiting in [each.key for each in left]
    with fault(vim.fault.NotAuthenticated):
        idle.datacenter.name
    assert client.datacenter.name


# ---- too much at once


def test_more_connections_than_files_are_usual_are_served(host, client):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    crowd = []
    try:
        for _ in range(1500):
            crowd.append(plain(host))
        assert client.instance.CurrentTime()
        assert Client(host).instance.CurrentTime()
        assert connections_open(host) >= len(crowd)
    finally:
        for connection in crowd:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def exchange(host, request):
    """The first line that answers the request, and what follows; the host then closes."""
    with connect(host) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:
            pass    # it was refused before all was sent
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode(), body.decode()


@pytest.mark.parametrize("request_, status", [
    (b"GET /sdk HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * (1 << 17) + b"\r\n\r\n", 431),
    (b"GET /sdk HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
    (b"GET /" + b"x" * (1 << 14) + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    (b"POST /sdk HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n", 413),
    (b"POST /sdk HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
     + (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 20, 413),
], ids=["long header", "many headers", "long target", "announced body", "chunked body"])
def test_what_is_too_large_is_refused_before_it_is_taken_in(host, client, request_, status):
    line, reason = exchange(host, request_)
    assert line.startswith(f"HTTP/1.1 {status} "), line
    assert reason
    assert client.instance.CurrentTime()


def test_a_body_that_swells_when_unpacked_is_refused(host, client):
    answer = requests.post(f"{host.url}/sdk", data=gzip.compress(bytes(1 << 28)), verify=host.ca,
                           headers={"Content-Encoding": "gzip"}, timeout=PATIENCE)
    assert answer.status_code == 413
    assert client.instance.CurrentTime()


def test_deep_soap_is_refused_by_name(client):
    deep = "<a>" * 10_000 + "</a>" * 10_000
    body = (f'<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>'
            f"{deep}</CurrentTime>")
    answer = client.soap(body)
    assert answer.status_code == 500 and "nested" in answer.text
    assert client.instance.CurrentTime()


def test_deep_json_is_refused_by_name(client):
    answer = requests.post(
        f"{client.host.url}/sdk/vim25/7.0.3.0/SessionManager/ha-sessionmgr/SetLocale",
        data='{"locale": ' * 10_000 + '"en"' + "}" * 10_000, verify=client.host.ca,
        headers={"Cookie": client.cookie, "Content-Type": "application/json"}, timeout=PATIENCE)
    assert answer.status_code == 400 and "too deep" in answer.text
    assert client.instance.CurrentTime()

"""The tiny guest by itself, under QEMU and nothing of ours: if this fails, so will the rest.

Run by `./test guest`. What the guest prints: tools/guest/root/etc/witness.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUEST = pathlib.Path(os.environ.get("VIRGA_BUILD", ROOT / "build")) / "guest"
FIRMWARE = pathlib.Path("/usr/share/OVMF")
BOOT_SECONDS = 180


class Machine:
    """QEMU with a serial console, a monitor and a guest agent's channel."""

    def __init__(self, directory, *arguments):
        self.directory, self.text = directory, ""
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults",
                   "-display", "none", "-vga", "std", "-device", "virtio-serial-pci",
                   "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        for name, wait in (("serial", "on"), ("monitor", "off"), ("agent", "off")):
            command += ["-chardev",
                        f"socket,id={name},path={directory}/{name},server=on,wait={wait}"]
        command += ["-serial", "chardev:serial", "-mon", "chardev=monitor,mode=control"]
        self.process = subprocess.Popen([*command, *arguments])
        self.console = self.connect("serial")

    def connect(self, name):
        channel = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                channel.connect(str(self.directory / name))
                return channel
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)

    def read_until(self, pattern, seconds=BOOT_SECONDS):
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            self.console.settimeout(max(0.01, deadline - time.monotonic()))
            self.text += self.console.recv(65536).decode(errors="replace").replace("\r", "")
        return match

    def booted(self):
        self.read_until(r"virga-witness ready\n")
        return self

    def drivers(self, kind):
        return sorted(re.findall(rf"virga-witness {kind} .*driver=(\w+)", self.text))

    def ask(self, channel, command, **arguments):
        """A command to the monitor or the guest agent: both speak JSON lines."""
        channel.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        channel.settimeout(30)
        for line in channel.makefile("rb"):
            if b'"return"' in line:
                return json.loads(line)["return"]
        raise AssertionError(f"no answer to {command}")

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    machines = []

    def run(*arguments):
        machines.append(Machine(tmp_path, *arguments))
        return machines[-1]

    yield run
    for machine in machines:
        machine.end()


@pytest.fixture
def disk(tmp_path):
    """A copy of the guest's disk, as a -drive without a device yet."""
    copy = tmp_path / "disk.img"
    shutil.copy(GUEST / "guest.img", copy)
    return ["-drive", f"id=disk,if=none,format=raw,file={copy}"]


def empty(directory, name):
    path = directory / name
    with open(path, "wb") as file:
        file.truncate(8 << 20)
    return ["-drive", f"id={name},if=none,format=raw,file={path}"]


def test_every_controller_and_nic_has_its_driver(start, disk, tmp_path):
    machine = start(
        "-M", "pc", *disk, "-device", "pvscsi,id=a", "-device", "scsi-hd,bus=a.0,drive=disk",
        *empty(tmp_path, "b"), "-device", "lsi53c895a,id=b", "-device", "scsi-hd,bus=b.0,drive=b",
        *empty(tmp_path, "c"), "-device", "mptsas1068,id=c",
        "-device", "scsi-hd,bus=c.0,drive=c,wwn=0x5000c29000000001",
        *empty(tmp_path, "d"), "-device", "ahci,id=d", "-device", "ide-hd,bus=d.0,drive=d",
        *empty(tmp_path, "e"), "-device", "ide-hd,bus=ide.0,drive=e",
        "-drive", f"id=iso,if=none,readonly=on,format=raw,file={GUEST}/guest.iso",
        "-device", "ide-cd,bus=d.1,drive=iso",
        *[word for nic in ("vmxnet3", "e1000e", "e1000", "pcnet")
          for word in ("-netdev", f"user,id={nic}", "-device", f"{nic},netdev={nic},romfile=")],
    ).booted()
    assert machine.drivers("disk") == ["ahci", "ata_piix", "mptsas", "sym53c8xx", "vmw_pvscsi"]
    assert machine.drivers("nic") == ["e1000", "e1000e", "pcnet32", "vmxnet3"]
    assert "virga-witness cdrom sr0 label=VIRGA" in machine.text
    machine.read_until(r"virga-witness ip eth\d 10\.0\.2\.15/24")


def test_it_boots_by_efi(start, disk, tmp_path):
    shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", tmp_path / "variables")
    machine = start(
        "-M", "pc", "-drive",
        f"if=pflash,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
        "-drive", f"if=pflash,format=raw,file={tmp_path}/variables", *disk,
        "-device", "ahci,id=a", "-device", "ide-hd,bus=a.0,drive=disk,bootindex=0").booted()
    assert "firmware=efi" in machine.text


def test_it_boots_from_its_cdrom_and_heeds_the_power_button(start):
    machine = start("-M", "pc", "-boot", "d", "-cdrom", str(GUEST / "guest.iso")).booted()
    monitor = machine.connect("monitor")
    machine.ask(monitor, "qmp_capabilities")
    machine.ask(monitor, "system_powerdown")
    assert machine.process.wait(timeout=60) == 0


def test_its_agent_answers_and_shuts_it_down(start, disk):
    machine = start("-M", "pc", *disk, "-device", "pvscsi,id=a",
                    "-device", "scsi-hd,bus=a.0,drive=disk").booted()
    agent = machine.connect("agent")
    assert machine.ask(agent, "guest-get-host-name") == {"host-name": "virga-guest"}
    agent.sendall(b'{"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}\n')
    machine.read_until("virga-witness shutdown poweroff")
    assert machine.process.wait(timeout=60) == 0

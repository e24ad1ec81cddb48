"""Datastores as folders: files over HTTPS, browsing, moving, and no way out."""

import hashlib
import os
import pathlib
import threading

import pytest
import requests
from pyVmomi import vim

from harness.client import fault
from harness.machines import controller, disk

MIB = 1 << 20


@pytest.fixture
def files(client):
    return client.content.fileManager


def put(client, path, data=b"x"):
    answer = client.http("PUT", path, data=data)
    assert answer.status_code in (200, 201), answer.text
    return answer


def test_what_was_put_can_be_got_whole_and_in_parts(client):
    data = os.urandom(3 * MIB + 17)
    put(client, "data.bin", data)
    head = client.http("HEAD", "data.bin")
    assert int(head.headers["Content-Length"]) == len(data)
    assert client.http("GET", "data.bin").content == data
    part = client.http("GET", "data.bin", headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206
    assert part.content == data[1000:2000]
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(data)}"
    end = client.http("GET", "data.bin", headers={"Range": "bytes=-17"})
    assert end.content == data[-17:]
    beyond = client.http("GET", "data.bin", headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    assert client.http("DELETE", "data.bin").status_code in (200, 204)
    assert client.http("GET", "data.bin").status_code == 404


def test_an_upload_replaces_and_a_broken_one_leaves_the_old(client):
    put(client, "replaced.txt", b"old")
    put(client, "replaced.txt", b"new")
    assert client.http("GET", "replaced.txt").content == b"new"

    def breaks_off():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises((requests.RequestException, ConnectionResetError)):
        client.http("PUT", "replaced.txt", data=breaks_off())
    assert client.http("GET", "replaced.txt").content == b"new"
    client.http("DELETE", "replaced.txt")


def test_a_large_upload_takes_constant_memory(client, host):
    """What the daemon holds must not grow with the file: 256 MiB against a bound of 64."""
    size, block = 256 * MIB, os.urandom(MIB)
    before = resident_peak(host)
    digest = hashlib.sha256()

    def blocks():
        for _ in range(size // MIB):
            digest.update(block)
            yield block

    put(client, "large.bin", blocks())
    received = hashlib.sha256()
    with client.http("GET", "large.bin", stream=True) as answer:
        for part in answer.iter_content(MIB):
            received.update(part)
    assert received.digest() == digest.digest()
    assert resident_peak(host) - before < 64 * MIB
    client.http("DELETE", "large.bin")


def resident_peak(host):
    status = pathlib.Path(f"/proc/{host.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "%2e%2e/outside", "/etc/passwd",
                                  "..", "link/passwd"])
def test_no_path_leads_out_of_a_datastore(client, local_folder, path):
    (local_folder / "link").unlink(missing_ok=True)
    (local_folder / "link").symlink_to("/etc")
    try:
        url = client.folder_url("PLACE").replace("PLACE", path)
        session = requests.Session()
        request = requests.Request("GET", url, headers={"Cookie": client.cookie}).prepare()
        request.url = url
        answer = session.send(request, verify=client.host.ca, timeout=30)
        assert answer.status_code in (400, 403, 404)
        assert b"root:" not in answer.content
        request.method = "PUT"
        request.body = b"x"
        request.headers["Content-Length"] = "1"
        assert session.send(request, verify=client.host.ca, timeout=30).status_code >= 400
    finally:
        (local_folder / "link").unlink()
    assert not (local_folder.parent / "outside").exists()


@pytest.fixture
def local_folder(client):
    """The folder that the default datastore is."""
    return pathlib.Path(client.datastore.info.path)


def test_files_need_a_session(client):
    put(client, "private.txt", b"secret")
    answer = requests.get(client.folder_url("private.txt"), verify=client.host.ca, timeout=10)
    assert answer.status_code == 401
    client.http("DELETE", "private.txt")


def test_basic_authentication_opens_files_too(client, host):
    put(client, "basic.txt", b"open")
    answer = requests.get(client.folder_url("basic.txt"), auth=(host.user, host.password),
                          verify=host.ca, timeout=10)
    assert answer.content == b"open"
    client.http("DELETE", "basic.txt")


def test_directories_files_copies_and_moves(client, files):
    wait = client.wait
    files.MakeDirectory(client.path("tree/deep"), client.datacenter, True)
    with fault(vim.fault.FileAlreadyExists, "tree"):
        files.MakeDirectory(client.path("tree"), client.datacenter, False)
    put(client, "tree/one.txt", b"1")
    wait(files.CopyDatastoreFile_Task(client.path("tree/one.txt"), client.datacenter,
                                      client.path("tree/two.txt"), client.datacenter, False))
    with fault(vim.fault.FileAlreadyExists, "two.txt"):
        wait(files.CopyDatastoreFile_Task(client.path("tree/one.txt"), client.datacenter,
                                          client.path("tree/two.txt"), client.datacenter, False))
    wait(files.MoveDatastoreFile_Task(client.path("tree/two.txt"), client.datacenter,
                                      client.path("tree/deep/three.txt"), client.datacenter, False))
    assert client.http("GET", "tree/deep/three.txt").content == b"1"
    assert client.http("GET", "tree/two.txt").status_code == 404
    wait(files.DeleteDatastoreFile_Task(client.path("tree"), client.datacenter))
    assert client.http("GET", "tree/deep/three.txt").status_code == 404
    with fault(vim.fault.FileNotFound, "tree"):
        wait(files.DeleteDatastoreFile_Task(client.path("tree"), client.datacenter))


def test_browsing_finds_by_pattern_type_and_depth(client, make_vm):
    make_vm("browsed", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    put(client, "browsed/notes.txt", b"12345")
    browser = client.datastore.browser
    Spec, Details = vim.host.DatastoreBrowser.SearchSpec, vim.host.DatastoreBrowser.FileInfo.Details
    details = Details(fileType=True, fileSize=True, modification=True, fileOwner=False)

    result = client.wait(browser.SearchDatastore_Task(
        client.path("browsed"), Spec(matchPattern=["*.txt"], details=details)))
    assert [(file.path, file.fileSize) for file in result.file] == [("notes.txt", 5)]
    assert result.folderPath.rstrip("/") == client.path("browsed")

    every = client.wait(browser.SearchDatastore_Task(client.path("browsed"),
                                                     Spec(details=details))).file
    kinds = {file.path: type(file) for file in every}
    assert kinds["browsed.vmx"] is vim.host.DatastoreBrowser.VmConfigInfo
    assert kinds["browsed.vmdk"] is vim.host.DatastoreBrowser.VmDiskInfo
    assert "browsed-flat.vmdk" not in kinds

    folders = client.wait(browser.SearchDatastoreSubFolders_Task(
        client.path(""), Spec(matchPattern=["*.vmx"])))
    assert "browsed" in {result.folderPath.split("] ")[1].strip("/") for result in folders
                         if result.file}
    with fault(vim.fault.FileNotFound, "no-such"):
        client.wait(browser.SearchDatastore_Task(client.path("no-such"), None))


def test_a_second_datastore_comes_and_goes(client, tmp_path):
    system = client.host_system.configManager.datastoreSystem
    store = system.CreateLocalDatastore("scratch", str(tmp_path))
    assert store.name == "scratch" and store.summary.accessible
    assert store._moId in [entry._moId for entry in client.datacenter.datastore]
    with fault(vim.fault.DuplicateName):
        system.CreateLocalDatastore("scratch", str(tmp_path))
    answer = client.http("PUT", client.folder_url("a.txt", store), data=b"in scratch")
    assert answer.status_code in (200, 201)
    assert (tmp_path / "a.txt").read_bytes() == b"in scratch"
    client.wait(client.content.fileManager.CopyDatastoreFile_Task(
        "[scratch] a.txt", client.datacenter, client.path("from-scratch.txt"),
        client.datacenter, False))
    assert client.http("GET", "from-scratch.txt").content == b"in scratch"
    client.http("DELETE", "from-scratch.txt")
    system.RemoveDatastore(store)
    assert "scratch" not in [entry.name for entry in client.datacenter.datastore]
    assert (tmp_path / "a.txt").exists()


def test_an_unknown_datastore_is_named(client, files):
    with fault((vim.fault.InvalidDatastore, vim.fault.InvalidDatastorePath), "nowhere"):
        files.MakeDirectory("[nowhere] x", client.datacenter, False)
    with fault(vim.fault.InvalidDatastorePath):
        files.MakeDirectory("not a datastore path", client.datacenter, False)


def test_space_is_told_as_it_is(client, local_folder):
    summary = client.datastore.summary
    stat = os.statvfs(local_folder)
    assert summary.capacity == stat.f_blocks * stat.f_frsize
    assert 0 < summary.freeSpace <= summary.capacity


def test_many_downloads_at_once(client):
    data = os.urandom(MIB)
    put(client, "shared.bin", data)
    wrong = []

    def get():
        if client.http("GET", "shared.bin").content != data:
            wrong.append(1)

    threads = [threading.Thread(target=get) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    client.http("DELETE", "shared.bin")

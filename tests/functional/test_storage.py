"""Adapters, disks and paths; the software iSCSI adapter against a real target."""

import pathlib
import re
import subprocess

import pytest
from pyVmomi import vim, vmodl

from harness import iscsi_target
from harness.client import Client, fault

ADAPTER = "vmhba64"
PLAIN = "iqn.2026-01.org.example:plain"
GUARDED = "iqn.2026-01.org.example:guarded"
USER = ("alice", "alice-secret-12")
TARGET_USER = ("array", "array-secret-34")
Hba = vim.host.InternetScsiHba
RoundRobin = vim.host.MultipathInfo.LogicalUnitPolicy


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with iscsi_target.machine() as namespace:
        target = iscsi_target.Target(namespace, tmp_path_factory.mktemp("target")).start()
        target.add(1, PLAIN)
        target.add(2, GUARDED, user=USER, outgoing=TARGET_USER)
        yield target
        target.stop()


@pytest.fixture
def storage(client):
    return client.host_system.configManager.storageSystem


@pytest.fixture
def iscsi(host, storage, target):
    """The storage system with its software adapter on; forgets everything afterwards."""
    storage.UpdateSoftwareInternetScsiEnabled(True)
    yield storage
    if target.process.poll() is not None:
        target.start()
    storage = Client(host).host_system.configManager.storageSystem   # the host may be another
    hba = adapter(storage)
    for portal in hba.configuredSendTarget:
        storage.RemoveInternetScsiSendTargets(ADAPTER, [portal])
    for static_target in hba.configuredStaticTarget:
        if static_target.discoveryMethod == "staticMethod":
            storage.RemoveInternetScsiStaticTargets(ADAPTER, [static_target])
    storage.UpdateInternetScsiAuthenticationProperties(ADAPTER, chap(None))
    storage.UpdateSoftwareInternetScsiEnabled(False)


def adapter(storage, name=ADAPTER):
    return next((a for a in storage.storageDeviceInfo.hostBusAdapter if a.device == name), None)


def chap(user, mutual=None, kind="chapRequired", **more):
    properties = Hba.AuthenticationProperties(chapAuthEnabled=user is not None, **more)
    if user:
        properties.chapName, properties.chapSecret = user
        properties.chapAuthenticationType = kind
    if mutual:
        properties.mutualChapName, properties.mutualChapSecret = mutual
        properties.mutualChapAuthenticationType = "chapRequired"
    return properties


def send_targets(storage):
    storage.AddInternetScsiSendTargets(
        ADAPTER, [Hba.SendTarget(address=iscsi_target.ADDRESS, port=3260)])


def static(name, **more):
    return Hba.StaticTarget(address=iscsi_target.ADDRESS, port=3260, iScsiName=name, **more)


def disks(storage):
    """iSCSI disks by their targets' names."""
    info = storage.storageDeviceInfo
    keys = {path.transport.iScsiName: unit.lun for unit in info.multipathInfo.lun
            for path in unit.path if path.adapter == adapter(storage).key}
    units = {unit.key: unit for unit in info.scsiLun}
    return {name: units[key] for name, key in keys.items() if units[key].lunType == "disk"}


def states(storage, name):
    return {path.state for unit in storage.storageDeviceInfo.multipathInfo.lun
            for path in unit.path if getattr(path.transport, "iScsiName", None) == name}


def test_the_machines_disks_are_listed(storage):
    info = storage.storageDeviceInfo
    by_path = {unit.devicePath: unit for unit in info.scsiLun
               if isinstance(unit, vim.host.ScsiDisk)}
    real = [p.name for p in pathlib.Path("/sys/class/block").iterdir()
            if (p / "device").exists() and not (p / "partition").exists()]
    assert real
    for name in real:
        disk = by_path[f"/dev/{name}"]
        sectors = int(pathlib.Path(f"/sys/class/block/{name}/size").read_text())
        assert disk.capacity.block * disk.capacity.blockSize == sectors * 512


def test_topologies_refer_to_what_is_listed(storage):
    info = storage.storageDeviceInfo
    adapters = {a.key for a in info.hostBusAdapter}
    units = {unit.key for unit in info.scsiLun}
    assert adapters and units
    assert {i.adapter for i in info.scsiTopology.adapter} == adapters
    assert {lun.scsiLun for i in info.scsiTopology.adapter for t in i.target
            for lun in t.lun} == units
    assert {lun.lun for lun in info.multipathInfo.lun} == units
    paths = {p.name: p.state for lun in info.multipathInfo.lun for p in lun.path}
    assert {p.name: p.pathState for p in storage.multipathStateInfo.path} == paths


def test_partitions_of_a_disk_are_read(storage, tmp_path):
    image = tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["sfdisk", "-q", image], input="label: gpt\nstart=2048,size=4096\n", text=True,
                   check=True)
    device = subprocess.check_output(["losetup", "--show", "-f", image], text=True).strip()
    try:
        storage.RefreshStorageSystem()
        [info] = storage.RetrieveDiskPartitionInfo([device])
        assert info.spec.partitionFormat == "gpt"
        assert info.spec.totalSectors == 32768
        [partition] = info.spec.partition
        assert (partition.partition, partition.startSector, partition.endSector) == (1, 2048, 6143)
        assert partition.type == "linuxNative"
        computed = storage.ComputeDiskPartitionInfo(device, info.layout, "gpt")
        assert computed.spec.partition[0].endSector == 6143
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    with fault(vim.fault.NotFound, "/dev/nonexistent"):
        storage.RetrieveDiskPartitionInfo(["/dev/nonexistent"])


def test_what_is_no_adapter_is_not_found(storage):
    with fault(vim.fault.NotFound, "vmhba99"):
        storage.RescanHba("vmhba99")
    with fault(vim.fault.NotFound, ADAPTER):
        storage.UpdateInternetScsiAlias(ADAPTER, "off")    # the adapter is off
    with fault(vim.fault.NotFound, "vmhba9:C0:T0:L0"):
        storage.DisableMultipathPath("vmhba9:C0:T0:L0")
    with fault(vim.fault.NotFound, "naa.0"):
        storage.SetMultipathLunPolicy("naa.0", RoundRobin(policy="VMW_PSP_RR"))


def test_every_datastore_is_told_as_mounted(client, storage):
    mounted = {m.volume.name: m for m in storage.fileSystemVolumeInfo.mountInfo}
    assert set(mounted) == {d.name for d in client.datacenter.datastore}
    assert mounted[client.datastore.name].mountInfo.mounted


def test_discovery_finds_targets_and_their_disks(iscsi):
    send_targets(iscsi)
    assert not disks(iscsi)
    iscsi.RescanHba(ADAPTER)
    hba = adapter(iscsi)
    found = {t.iScsiName: t for t in hba.configuredStaticTarget}
    assert set(found) == {PLAIN, GUARDED}
    assert found[PLAIN].discoveryMethod == "sendTargetMethod"
    assert found[PLAIN].parent == iscsi_target.PORTAL
    disk = disks(iscsi)[PLAIN]
    assert disk.canonicalName.startswith("naa.")
    assert disk.capacity.block * disk.capacity.blockSize == 64 << 20
    assert disk.vendor == "IET" and not disk.localDisk
    assert states(iscsi, PLAIN) == {"active"}
    assert GUARDED not in disks(iscsi)     # it asks for CHAP


def test_chap_opens_a_target_and_a_wrong_secret_does_not(iscsi):
    iscsi.AddInternetScsiStaticTargets(ADAPTER, [static(GUARDED)])
    iscsi.UpdateInternetScsiAuthenticationProperties(ADAPTER, chap((USER[0], "wrong-secret-12")))
    iscsi.RescanHba(ADAPTER)
    assert GUARDED not in disks(iscsi)
    iscsi.UpdateInternetScsiAuthenticationProperties(ADAPTER, chap(USER))
    iscsi.RescanHba(ADAPTER)
    assert GUARDED in disks(iscsi)
    told = adapter(iscsi).authenticationProperties
    assert (told.chapName, told.chapSecret) == (USER[0], None)


def test_mutual_chap_refuses_a_target_that_cannot_prove_itself(iscsi):
    iscsi.AddInternetScsiStaticTargets(ADAPTER, [
        static(GUARDED, authenticationProperties=chap(USER, TARGET_USER)),
        static(PLAIN, authenticationProperties=chap(USER, TARGET_USER))])
    iscsi.RescanHba(ADAPTER)
    assert set(disks(iscsi)) == {GUARDED}
    wrong = chap(USER, (TARGET_USER[0], "another-secret-5"))
    iscsi.UpdateInternetScsiAuthenticationProperties(
        ADAPTER, wrong, Hba.TargetSet(staticTargets=[static(GUARDED)]))
    iscsi.RescanHba(ADAPTER)
    assert states(iscsi, GUARDED) <= {"dead"}


def test_a_target_that_dies_is_dead_until_it_is_back(iscsi, target):
    send_targets(iscsi)
    iscsi.RescanHba(ADAPTER)
    uuid = disks(iscsi)[PLAIN].uuid
    target.stop()
    iscsi.RescanHba(ADAPTER)
    assert states(iscsi, PLAIN) == {"dead"}
    assert disks(iscsi)[PLAIN].operationalState == ["lostCommunication"]
    target.start()
    iscsi.RescanHba(ADAPTER)
    assert states(iscsi, PLAIN) == {"active"}
    assert disks(iscsi)[PLAIN].uuid == uuid


def test_the_adapter_notices_by_itself(client, iscsi, target):
    iscsi.UpdateInternetScsiAdvancedOptions(
        ADAPTER, None, [Hba.ParamValue(key="NoopOutInterval", value=1)])
    send_targets(iscsi)
    iscsi.RescanHba(ADAPTER)

    def state(info):
        return {p.pathState for p in info.path if p.name.startswith(ADAPTER)}

    target.stop()
    client.wait_for(iscsi, "multipathStateInfo", lambda info: state(info) == {"dead"})
    target.start()
    client.wait_for(iscsi, "multipathStateInfo", lambda info: state(info) == {"active"})


def test_a_path_is_taken_out_and_in(iscsi):
    send_targets(iscsi)
    iscsi.RescanHba(ADAPTER)
    unit = next(u for u in iscsi.storageDeviceInfo.multipathInfo.lun
                if u.lun == disks(iscsi)[PLAIN].key)
    with fault(vmodl.fault.NotSupported, "dm-multipath has no map of"):
        iscsi.SetMultipathLunPolicy(unit.id, RoundRobin(policy="VMW_PSP_RR"))
    iscsi.DisableMultipathPath(unit.path[0].name)
    assert states(iscsi, PLAIN) == {"disabled"}
    iscsi.RescanAllHba()
    assert states(iscsi, PLAIN) == {"disabled"}
    iscsi.EnableMultipathPath(unit.path[0].name)
    assert states(iscsi, PLAIN) == {"active"}


def test_nonsense_is_refused_by_name(iscsi):
    with fault(vmodl.fault.InvalidArgument, "not-an-iqn"):
        iscsi.UpdateInternetScsiName(ADAPTER, "not-an-iqn")
    with fault(vmodl.fault.NotSupported, "iSNS"):
        iscsi.UpdateInternetScsiDiscoveryProperties(ADAPTER, Hba.DiscoveryProperties(
            iSnsDiscoveryEnabled=True, slpDiscoveryEnabled=False,
            staticTargetDiscoveryEnabled=True, sendTargetsDiscoveryEnabled=True))
    with fault(vim.fault.NotFound, PLAIN):
        iscsi.RemoveInternetScsiStaticTargets(ADAPTER, [static(PLAIN)])


def test_settings_and_secrets_survive_a_kill(host, client, iscsi):
    name = adapter(iscsi).iScsiName
    iscsi.UpdateInternetScsiName(ADAPTER, "iqn.2026-01.org.example:host")
    iscsi.UpdateInternetScsiAuthenticationProperties(ADAPTER, chap(USER, TARGET_USER))
    iscsi.AddInternetScsiStaticTargets(ADAPTER, [static(GUARDED)])
    host.restart()
    again = Client(host).host_system.configManager.storageSystem
    assert adapter(again).iScsiName == "iqn.2026-01.org.example:host"
    assert GUARDED in disks(again)      # logged in again, with both secrets
    again.UpdateInternetScsiName(ADAPTER, name)
    for file in host.state.glob("virga.db*"):
        assert file.stat().st_mode & 0o077 == 0, file
    assert not re.search("|".join((USER[1], TARGET_USER[1])), host.log.read_text())

"""What a vSphere client does, by pyVmomi, with waits that end the moment something happens."""

import contextlib
import time
import urllib.parse

import pytest
import requests
from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

PropertyCollector = vmodl.query.PropertyCollector
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
    '<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>')


class Client:
    """A session at one host, and short ways to the things tests need."""

    def __init__(self, host, user=None, password=None):
        self.host = host
        self.instance = SmartConnect(host=host.address, port=host.port, user=user or host.user,
                                     pwd=password or host.password, sslContext=host.tls())
        self.content = self.instance.RetrieveContent()

    def logout(self):
        with contextlib.suppress(Exception):
            self.content.sessionManager.Logout()

    @property
    def cookie(self):
        return self.instance._stub.cookie.split(";")[0]

    # The inventory of a single host.

    @property
    def datacenter(self):
        return self.content.rootFolder.childEntity[0]

    @property
    def compute_resource(self):
        return self.datacenter.hostFolder.childEntity[0]

    @property
    def host_system(self):
        return self.compute_resource.host[0]

    @property
    def pool(self):
        return self.compute_resource.resourcePool

    @property
    def datastore(self):
        return self.datacenter.datastore[0]

    def vm(self, name):
        """The VM of that name, or None."""
        return next((vm for vm in self.datacenter.vmFolder.childEntity if vm.name == name), None)

    # Waiting.

    def wait(self, task, seconds=120):
        """The task's result; raises its fault."""
        state = self.wait_for(task, "info.state", lambda state: state in ("success", "error"),
                              seconds)
        if state == "error":
            raise task.info.error
        return task.info.result

    def wait_for(self, managed_object, path, accept=bool, seconds=60):
        """Waits with WaitForUpdatesEx until `accept` takes the property's value; returns it."""
        for value in self.updates(managed_object, path, seconds):
            if accept(value):
                return value
        raise AssertionError(f"{managed_object}: {path} did not change as expected in {seconds} s")

    def updates(self, managed_object, path, seconds):
        """Yields the property's value now and after each change, until the time is over."""
        collector = self.content.propertyCollector.CreatePropertyCollector()
        try:
            collector.CreateFilter(filter_spec([managed_object], [path]), False)
            deadline = time.monotonic() + seconds
            version = ""
            while (left := deadline - time.monotonic()) > 0:
                options = PropertyCollector.WaitOptions(maxWaitSeconds=max(1, int(left)))
                update = collector.WaitForUpdatesEx(version, options)
                if update is None:
                    continue
                version = update.version
                for change in _changes(update):
                    yield change.val
        finally:
            collector.DestroyPropertyCollector()

    # Datastore files.

    def folder_url(self, path, datastore=None):
        query = urllib.parse.urlencode({"dcPath": self.datacenter.name,
                                        "dsName": (datastore or self.datastore).name})
        return f"{self.host.url}/folder/{urllib.parse.quote(path)}?{query}"

    def http(self, method, path, **options):
        """A request for a datastore file, in this session."""
        headers = {"Cookie": self.cookie, **options.pop("headers", {})}
        url = path if path.startswith("https:") else self.folder_url(path)
        return requests.request(method, url, headers=headers, verify=self.host.ca, timeout=120,
                                **options)

    def soap(self, body, version="7.0", cookie=True):
        """Posts a SOAP body as it stands, for what pyVmomi would not send."""
        headers = {"SOAPAction": f'"urn:vim25/{version}"',
                   "Content-Type": "text/xml; charset=utf-8"}
        if cookie:
            headers["Cookie"] = self.cookie
        return requests.post(f"{self.host.url}/sdk", headers=headers, verify=self.host.ca,
                             data=ENVELOPE.format(body=body).encode(), timeout=60)

    def path(self, relative):
        return f"[{self.datastore.name}] {relative}"


def _changes(update):
    for filter_update in update.filterSet:
        for object_update in filter_update.objectSet:
            yield from object_update.changeSet


def filter_spec(objects, paths, traversal=()):
    """Objects of one type, or of what the traversals lead to, and the properties wanted."""
    kind = vim.ManagedEntity if traversal else type(objects[0])
    return PropertyCollector.FilterSpec(
        objectSet=[PropertyCollector.ObjectSpec(obj=obj, skip=False, selectSet=list(traversal))
                   for obj in objects],
        propSet=[PropertyCollector.PropertySpec(type=kind, all=False, pathSet=list(paths))])


@contextlib.contextmanager
def fault(kind, mentions=None):
    """Expects an API fault of that very kind, whose message or content names what is wrong."""
    with pytest.raises(kind) as raised:
        yield raised
    if mentions is not None:
        assert mentions in str(raised.value), raised.value

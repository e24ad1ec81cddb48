"""The WSDL is complete: generic SOAP clients build themselves from it and work."""

import urllib.request

import pytest
import requests
import suds.cache
import suds.client
import suds.transport.https
import zeep
import zeep.transports


@pytest.fixture
def wsdl(host):
    return f"{host.url}/sdk/vimService.wsdl"


@pytest.fixture
def zeep_client(host, wsdl):
    session = requests.Session()
    session.trust_env = False    # REQUESTS_CA_BUNDLE would outweigh `verify`
    session.verify = str(host.ca)
    return zeep.Client(wsdl, transport=zeep.transports.Transport(session=session))


def zeep_service(client, host):
    """The service, at the host's address in place of the one that the WSDL names."""
    service = client.bind()
    service._binding_options["address"] = f"{host.url}/sdk"
    return service


def test_zeep_reads_every_type_and_calls(host, zeep_client):
    service = zeep_service(zeep_client, host)
    factory = zeep_client.type_factory("urn:vim25")
    root = factory.ManagedObjectReference("ServiceInstance", type="ServiceInstance")
    content = service.RetrieveServiceContent(root)
    assert content.about.apiType == "HostAgent"
    session = service.Login(content.sessionManager, host.user, host.password)
    assert session.userName == host.user
    with pytest.raises(zeep.exceptions.Fault):
        service.Login(content.sessionManager, host.user, "wrong")
    service.Logout(content.sessionManager)


def test_zeep_finds_what_the_service_offers(zeep_client):
    [service] = zeep_client.wsdl.services.values()
    [port] = service.ports.values()
    operations = set(port.binding.all())
    assert {"CreateVM_Task", "PowerOnVM_Task", "RetrievePropertiesEx", "WaitForUpdatesEx",
            "Login"} <= operations


class TrustingTransport(suds.transport.https.HttpAuthenticated):
    """Trusts the host's authority; suds itself takes no such option."""

    def __init__(self, host):
        super().__init__()
        self.context = host.tls()

    def u2handlers(self):
        return [*super().u2handlers(), urllib.request.HTTPSHandler(context=self.context)]


def test_suds_reads_it_and_reads_properties(host, wsdl):
    client = suds.client.Client(wsdl, location=f"{host.url}/sdk", timeout=120,
                                transport=TrustingTransport(host),
                                cache=suds.cache.NoCache())
    root = client.factory.create("ns0:ManagedObjectReference")
    root._type, root.value = "ServiceInstance", "ServiceInstance"
    content = client.service.RetrieveServiceContent(root)
    client.service.Login(content.sessionManager, host.user, host.password)
    specification = client.factory.create("ns0:PropertyFilterSpec")
    wanted = client.factory.create("ns0:PropertySpec")
    wanted.type, wanted.all, wanted.pathSet = "Folder", False, ["name"]
    start = client.factory.create("ns0:ObjectSpec")
    start.obj, start.skip = content.rootFolder, False
    specification.propSet, specification.objectSet = [wanted], [start]
    options = client.factory.create("ns0:RetrieveOptions")
    result = client.service.RetrievePropertiesEx(content.propertyCollector, [specification],
                                                 options)
    [found] = result.objects
    assert found.propSet[0].name == "name"
    client.service.Logout(content.sessionManager)

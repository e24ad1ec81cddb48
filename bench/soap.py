"""A SOAP client as thin as a benchmark wants it: one TLS connection, texts in and out."""
import asyncio
import re
import ssl

ENVELOPE = ('<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
            'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
            '<{method} xmlns="urn:vim25"><_this type="{type}">{moid}</_this>{body}</{method}>'
            '</soapenv:Body></soapenv:Envelope>')


class Client:
    def __init__(self, port, ca):
        self.port = port
        self.context = ssl.create_default_context(cafile=str(ca))
        self.cookie = ""
        self.reader = self.writer = None

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, limit=1 << 26)
        return self

    async def send(self, type_, moid, method, body=""):
        text = ENVELOPE.format(type=type_, moid=moid, method=method, body=body).encode()
        head = (f"POST /sdk HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f'SOAPAction: "urn:vim25/7.0.3.0"\r\nContent-Type: text/xml\r\n'
                f"Content-Length: {len(text)}\r\n{self.cookie}\r\n")
        self.writer.write(head.encode() + text)
        await self.writer.drain()

    async def receive(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        cookie = re.search(r'set-cookie: (vmware_soap_session="[^"]*")', head, re.I)
        if cookie:
            self.cookie = f"Cookie: {cookie[1]}\r\n"
        length = re.search(r"content-length: (\d+)", head, re.I)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        if not head.startswith("HTTP/1.1 200"):
            raise RuntimeError(re.sub(r"\s+", " ", body.decode())[:400])
        return body

    async def call(self, type_, moid, method, body=""):
        await self.send(type_, moid, method, body)
        return await self.receive()

    async def login(self, password):
        await self.call("SessionManager", "ha-sessionmgr", "Login",
                        f"<userName>root</userName><password>{password}</password>")

    async def wait(self, task):
        """Returns once the task has succeeded, by a filter of its own as client libraries do it."""
        collector = ("PropertyCollector", "ha-property-collector")
        watch = value(await self.call(*collector, "CreateFilter", (
            "<spec><propSet><type>Task</type><pathSet>info.state</pathSet></propSet>"
            f'<objectSet><obj type="Task">{task}</obj></objectSet></spec>'
            "<partialUpdates>false</partialUpdates>")))
        state = version = ""
        while state not in ("success", "error"):
            update = await self.call(*collector, "WaitForUpdatesEx", f"<version>{version}</version>")
            version, state = value(update, "version"), value(update, "val")
        await self.call("PropertyFilter", watch, "DestroyPropertyFilter")
        if state == "error":
            raise RuntimeError(f"{task} failed")

    def fileno(self):
        return self.writer.get_extra_info("socket").fileno()

    def close(self):
        self.writer.close()


def value(body, tag="returnval"):
    return re.search(rf"<{tag}[^>]*>([^<]*)<".encode(), body)[1].decode()

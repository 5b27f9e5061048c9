"""Connects to nodes with the session of another one, and authenticates with NTLM, bound to the certificate that it sees.

usage: elsewhere.py SERVER_NAME CA_FILE ACCOUNT PASSWORD VERSION
Each line of standard input is a word and addresses. `new`: makes a session at the first address and shows it to the
others; `old`: shows the same one again, to all of them. Prints where it was resumed, which certificates were seen, and
the status of each leg.
"""

import hashlib
import http.client
import json
import socket
import ssl
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import Connection


class Shaken(Connection):
    """A connection whose handshake is over."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.http = http.client.HTTPConnection("localhost")
        self.http.sock = tls
        self.http.auto_open = 0


class Client:
    def __init__(self) -> None:
        self.name, ca_file, self.account, self.password, version = sys.argv[1:]
        self.context = ssl.create_default_context(cafile=ca_file)
        self.context.minimum_version = self.context.maximum_version = getattr(ssl.TLSVersion, version)
        self.session: ssl.SSLSession | None = None

    def connect(self, address: str, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession, dict]:
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            with self.context.wrap_socket(raw, server_hostname=self.name, session=session) as tls:
                connection = Shaken(tls)
                statuses = self.log_on(connection)
                seen = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
                return tls.session, {"resumed": tls.session_reused, "seen": seen, "statuses": statuses}

    def log_on(self, connection: Connection) -> list[int]:
        bound = b"tls-server-end-point:" + connection.certificate_hash()
        client = spnego.client(
            self.account,
            self.password,
            hostname=self.name,
            service="HTTP",
            channel_bindings=GssChannelBindings(application_data=bound),
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )
        first, challenge = connection.leg("NTLM", client.step())
        second, _ = connection.leg("NTLM", client.step(challenge))
        return [first, second]


def main() -> None:
    client = Client()
    for line in sys.stdin:
        word, *addresses = line.split()
        if word == "new":
            client.session, _ = client.connect(addresses.pop(0), None)
        told = [client.connect(address, client.session)[1] for address in addresses]
        print(json.dumps(told), flush=True)


main()

"""Authenticates with pyspnego and a Kerberos ticket; prints the status, and whether nothing is open for the client.

usage: kerberos_call.py URL CA_FILE SPN PROTOCOL BINDING SOURCE
SPN: of the service that the ticket is for. PROTOCOL: kerberos (raw) or negotiate (SPNEGO around it).
BINDING: none, right, or wrong (that of another certificate). SOURCE: the address to call from.
"""

import json
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import Connection


def main() -> None:
    url, ca_file, spn, protocol, binding, source = sys.argv[1:]
    connection = Connection(url, ca_file, source)
    digest = {
        "none": lambda: None,
        "right": connection.certificate_hash,
        "wrong": lambda: bytes(32),
    }[binding]()
    bindings = None
    if digest is not None:
        bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + digest)
    service, host = spn.split("/")
    client = spnego.client(
        hostname=host,
        service=service,
        protocol=protocol,
        channel_bindings=bindings,
        context_req=spnego.ContextReq.mutual_auth,
        # Its own SPNEGO; that of MIT is what curl uses.
        options=spnego.NegotiateOptions.use_negotiate
        if protocol == "negotiate"
        else spnego.NegotiateOptions.none,
    )
    status, answer = connection.leg("Negotiate", client.step())
    if status == 200 and answer is not None:
        # Raises if the server did not prove that it has the service's key.
        client.step(answer)
    print(json.dumps({"status": status, "complete": client.complete}))


main()

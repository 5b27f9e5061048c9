"""Authenticates with pyspnego, and prints the status of each leg.

usage: spnego_call.py URL ACCOUNT PASSWORD CA_FILE SCHEME PROTOCOL BINDING TARGET
SCHEME: NTLM or Negotiate. PROTOCOL: ntlm (raw) or negotiate (SPNEGO around it).
BINDING: none, right, or wrong (that of another certificate). TARGET: the host that the client means.
"""

import json
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import Connection


def main() -> None:
    url, account, password, ca_file, scheme, protocol, binding, target = sys.argv[1:]
    connection = Connection(url, ca_file)
    digest = {
        "none": lambda: None,
        "right": connection.certificate_hash,
        "wrong": lambda: bytes(32),
    }[binding]()
    bindings = None
    if digest is not None:
        bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + digest)
    client = spnego.client(
        account,
        password,
        hostname=target,
        service="HTTP",
        channel_bindings=bindings,
        protocol=protocol,
        options=spnego.NegotiateOptions.use_ntlm
        if protocol == "ntlm"
        else spnego.NegotiateOptions.use_negotiate,
    )
    statuses, token = [], client.step()
    while token is not None and len(statuses) < 5:
        status, answer = connection.leg(scheme, token)
        statuses.append(status)
        if status != 401:
            if answer is not None:
                # Raises if the last token of the server is not right.
                client.step(answer)
            break
        token = client.step(answer) if answer is not None else None
    print(json.dumps({"statuses": statuses, "complete": client.complete}))


main()

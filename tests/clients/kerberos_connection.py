"""Sends requests on one TLS connection, some with a credential, some without a word; prints the statuses.

usage: kerberos_connection.py URL CA_FILE SPN STEP...
STEP: bound (a ticket with the binding of this connection), unbound (one without), silent (nothing),
ntlm:ACCOUNT:PASSWORD (bound as well).
"""

import json
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import PATH, Connection


def ticket(connection: Connection, spn: str, bindings: GssChannelBindings | None) -> int:
    service, host = spn.split("/")
    client = spnego.client(
        hostname=host,
        service=service,
        protocol="kerberos",
        channel_bindings=bindings,
    )
    return connection.leg("Negotiate", client.step())[0]


def ntlm(connection: Connection, step: str, bindings: GssChannelBindings) -> int:
    _, account, password = step.split(":")
    client = spnego.client(
        account,
        password,
        hostname="localhost",
        service="HTTP",
        protocol="ntlm",
        options=spnego.NegotiateOptions.use_ntlm,
        channel_bindings=bindings,
    )
    _, challenge = connection.leg("NTLM", client.step())
    return connection.leg("NTLM", client.step(challenge))[0]


def silent(connection: Connection) -> int:
    connection.http.request("GET", PATH)
    answer = connection.http.getresponse()
    answer.read()
    return answer.status


def main() -> None:
    url, ca_file, spn, *steps = sys.argv[1:]
    connection = Connection(url, ca_file)
    bindings = GssChannelBindings(
        application_data=b"tls-server-end-point:" + connection.certificate_hash()
    )
    statuses = []
    for step in steps:
        if step == "silent":
            statuses.append(silent(connection))
        elif step.startswith("ntlm:"):
            statuses.append(ntlm(connection, step, bindings))
        else:
            statuses.append(ticket(connection, spn, bindings if step == "bound" else None))
    print(json.dumps(statuses))


main()

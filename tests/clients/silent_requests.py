"""Authenticates on a TLS connection, and goes on without saying who it is; prints the statuses.

usage: silent_requests.py URL ACCOUNT PASSWORD CA_FILE
Two requests: the authenticated one, whose proof is bound to the connection, and one without credentials.
"""

import json
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import PATH, Connection


def main() -> None:
    url, account, password, ca_file = sys.argv[1:]
    connection = Connection(url, ca_file)
    client = spnego.client(
        account,
        password,
        hostname="localhost",
        service="HTTP",
        protocol="ntlm",
        options=spnego.NegotiateOptions.use_ntlm,
        channel_bindings=GssChannelBindings(
            application_data=b"tls-server-end-point:" + connection.certificate_hash()
        ),
    )
    _, challenge = connection.leg("NTLM", client.step())
    statuses = [connection.leg("NTLM", client.step(challenge))[0]]
    connection.http.request("GET", PATH)
    statuses.append(connection.http.getresponse().status)
    print(json.dumps(statuses))


main()

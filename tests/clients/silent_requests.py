"""Authenticates on a TLS connection, and goes on without saying who it is; prints the statuses.

usage: silent_requests.py URL ACCOUNT PASSWORD CA_FILE HEADER
Three requests: the authenticated one, one without credentials, and one without credentials and with HEADER.
"""

import json
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import PATH, Connection


def main() -> None:
    url, account, password, ca_file, header = sys.argv[1:]
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
    name, value = header.split(": ", 1)
    for headers in ({}, {name: value}):
        connection.http.request("GET", PATH, headers=headers)
        answer = connection.http.getresponse()
        answer.read()
        statuses.append(answer.status)
    print(json.dumps(statuses))


main()

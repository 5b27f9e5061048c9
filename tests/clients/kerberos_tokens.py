"""Prints proofs of now, in base64, as a client makes them: usage: kerberos_tokens.py SPN COUNT"""

import base64
import json
import sys

import gssapi

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")

spn, count = sys.argv[1:]
service = gssapi.Name(spn, gssapi.NameType.kerberos_principal)
tickets = gssapi.Credentials(usage="initiate")


def token() -> bytes:
    return bytes(gssapi.SecurityContext(name=service, mech=SPNEGO, usage="initiate", creds=tickets).step())


print(json.dumps([base64.b64encode(token()).decode() for _ in range(int(count))]))

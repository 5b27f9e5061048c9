"""Sends mutants of real tokens to a node, and asks MIT's acceptor about each.

usage: kerberos_oracle.py URL SPN KEYTAB COUNT SEED CACHE...
CACHE: where the tickets of an account are. Every tenth token is an honest one of a client's library, unchanged.
Prints how often both take a token, neither does, or MIT alone; those that the node alone takes, each with its kind,
its bytes and MIT's reason; and how often each kind was taken and refused by the node.
"""

import base64
import collections
import json
import sys

import gssapi

from connection import Connection
from kerberos_mutants import KINDS, Mutants
from kerberos_ticket import Opened, keys_of

MECHANISMS = [
    gssapi.OID.from_int_seq("1.2.840.113554.1.2.2"),
    gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),
]
# Says whether a PAC is there, and whether its signature holds.
LOGON_INFO = b"urn:mspac:logon-info"


class Client:
    """The library of an account's client."""

    def __init__(self, spn: str, cache: str) -> None:
        self.service = gssapi.Name(spn, gssapi.NameType.kerberos_principal)
        self.tickets = gssapi.Credentials(usage="initiate", store={"ccache": cache})

    def token(self, mechanism: gssapi.OID) -> bytes:
        context = gssapi.SecurityContext(name=self.service, mech=mechanism, usage="initiate", creds=self.tickets)
        return bytes(context.step())


def judge(keys: gssapi.Credentials, token: bytes) -> str | None:
    """Why MIT does not take it; `None` if it does, with an account that a signed PAC is about."""
    try:
        context = gssapi.SecurityContext(creds=keys, usage="accept")
        context.step(token)
        if not context.complete:
            return "more is needed"
        said = context.initiator_name.attributes
        if LOGON_INFO not in {bytes(name) for name in said}:
            return "no PAC"
        return None if said[LOGON_INFO].authenticated else "the PAC is not signed"
    except gssapi.exceptions.GSSError as error:
        return str(error)


def main() -> None:
    url, spn, keytab, count, seed, *caches = sys.argv[1:]
    keys = gssapi.Credentials(usage="accept", store={"keytab": keytab})
    clients = [Client(spn, cache) for cache in caches]
    own_keys = keys_of(keytab)
    honest = [Opened(client.token(mechanism), own_keys) for client in clients for mechanism in MECHANISMS]
    mutants = Mutants(honest, int(seed))
    verdicts, node_only = collections.Counter(), []
    kinds = {change.__name__: [0, 0] for change in KINDS} | {"untouched": [0, 0], "closed_again": [0, 0]}
    for number in range(int(count)):
        if number % 20 == 0:
            kind, token = "untouched", clients[number // 20 % len(clients)].token(MECHANISMS[number // 40 % 2])
        elif number % 20 == 10:
            kind, token = "closed_again", mutants.untouched(honest[number // 20 % len(honest)])
        else:
            kind, token = mutants.next()
        taken = Connection(url, "-").leg("Negotiate", token)[0] == 200
        reason = judge(keys, token)
        kinds[kind][0 if taken else 1] += 1
        verdicts[("both" if taken else "mit_only") if reason is None else ("node_only" if taken else "neither")] += 1
        if taken and reason is not None:
            node_only.append([kind, reason, base64.b64encode(token).decode()])
    print(json.dumps({"verdicts": verdicts, "node_only": node_only, "kinds": kinds}))


main()

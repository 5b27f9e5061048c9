"""Sends damaged tokens with a real ticket, and asks MIT's acceptor about each one that the node takes.

usage: kerberos_oracle.py URL SPN KEYTAB COUNT
Prints how many the node took, and those among them that MIT refuses, with its reason.
"""

import base64
import json
import random
import sys

import gssapi

from connection import Connection

MECHANISMS = [
    gssapi.OID.from_int_seq("1.2.840.113554.1.2.2"),
    gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),
]
# Up to here are the frames, names and numbers that nothing proves; behind are the ciphers.
IN_CLEAR = 220


def damage(token: bytes, numbers: random.Random) -> bytes:
    mutant = bytearray(token)
    within = IN_CLEAR if numbers.random() < 0.8 else len(mutant)
    at = numbers.randrange(within)
    kind = numbers.randrange(8)
    if kind < 5:
        mutant[at] ^= 1 << numbers.randrange(8)
    elif kind == 5:
        mutant[at] = numbers.randrange(256)
    elif kind == 6:
        del mutant[at]
    else:
        mutant.insert(at, numbers.randrange(256))
    return bytes(mutant)


def main() -> None:
    url, spn, keytab, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    service = gssapi.Name(spn, gssapi.NameType.kerberos_principal)
    keys = gssapi.Credentials(usage="accept", store={"keytab": keytab})
    numbers = random.Random(20261121)
    taken, refused = 0, []
    for number in range(count):
        # A fresh one for each: the same proof would be a replay.
        mechanism = MECHANISMS[number % len(MECHANISMS)]
        token = bytes(gssapi.SecurityContext(name=service, mech=mechanism, usage="initiate").step())
        if number >= len(MECHANISMS):
            token = damage(token, numbers)
        if Connection(url, "-").leg("Negotiate", token)[0] != 200:
            continue
        taken += 1
        try:
            gssapi.SecurityContext(creds=keys, usage="accept").step(token)
        except gssapi.exceptions.GSSError as error:
            refused.append([base64.b64encode(token).decode(), str(error)])
    print(json.dumps({"taken": taken, "refused": refused}))


main()

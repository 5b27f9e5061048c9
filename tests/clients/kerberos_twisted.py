"""Sends tokens with a real ticket that were tampered with, on a connection of its own each.

usage: kerberos_twisted.py URL SERVICE COUNT
Prints the status of the honest token, of the same token again, of one with bytes after it, of one that is cut,
and how often each status came for COUNT damaged ones.
"""

import collections
import json
import random
import sys

import gssapi

from connection import Connection

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")


def token(service: str) -> bytes:
    name = gssapi.Name(f"HTTP/{service}", gssapi.NameType.kerberos_principal)
    return bytes(gssapi.SecurityContext(name=name, mech=SPNEGO, usage="initiate").step())


def damage(honest: bytes, numbers: random.Random) -> bytes:
    mutant = bytearray(honest)
    kind = numbers.randrange(4)
    if kind == 0:
        # Behind the names and numbers in clear, so in what nobody can change unnoticed.
        mutant[numbers.randrange(400, len(mutant))] ^= 1 << numbers.randrange(8)
    elif kind == 1:
        del mutant[numbers.randrange(len(mutant)) :]
    elif kind == 2:
        for _ in range(8):
            mutant[numbers.randrange(400, len(mutant))] = numbers.randrange(256)
        mutant[-1] ^= 1
    else:
        mutant += numbers.randbytes(1 + numbers.randrange(2000))
    return bytes(mutant)


def main() -> None:
    url, service, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def send(sent: bytes) -> int:
        return Connection(url, "-").leg("Negotiate", sent)[0]

    honest, other = token(service), token(service)
    statuses = {"honest": send(honest), "again": send(honest)}
    statuses["tail"] = send(other + b"\0")
    statuses["cut"] = send(other[:-1])
    statuses["other"] = send(other)
    numbers = random.Random(7)
    damaged = collections.Counter(str(send(damage(token(service), numbers))) for _ in range(count))
    for head in (b"", b"\x60", b"\x60\x84\xff\xff\xff\xff", b"\xa1" * 10, bytes(40_000)):
        damaged[str(send(head))] += 1
    print(json.dumps({**statuses, "damaged": damaged}))


main()

"""Sends AUTHENTICATE messages that no acceptor may take, and one that it must, made the same way.

usage: forged.py URL ACCOUNT PASSWORD OTHER_ACCOUNT OTHER_PASSWORD KIND
Prints the status that the last message got.
"""

import json
import os
import struct
import sys

import spnego
from spnego._ntlm_raw import crypto

from connection import Connection

KEY_EXCHANGE = 0x40000000
ANONYMOUS = 0x00000800
TIME = struct.pack("<Q", 0x01DC000000000000)


class Handshake:
    """A connection on which the server has given its challenge."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(url, "-")
        client = spnego.client(
            "X\\x", "x", protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm
        )
        _, message = self.connection.leg("NTLM", client.step())
        self.challenge = message[24:32]
        self.flags = struct.unpack_from("<I", message, 20)[0] & ~KEY_EXCHANGE
        length, _, offset = struct.unpack_from("<HHI", message, 40)
        self.target_info = message[offset : offset + length]

    def send(self, token: bytes) -> int:
        return self.connection.leg("NTLM", token)[0]


def authenticate(account: str, flags: int, lm: bytes, nt: bytes) -> bytes:
    """An AUTHENTICATE without MIC and without a session key."""
    domain, user = account.split("\\") if account else ("", "")
    payloads = [lm, nt, domain.encode("utf-16-le"), user.encode("utf-16-le"), b"", b""]
    offset, fields, data = 88, b"", b""
    for payload in payloads:
        fields += struct.pack("<HHI", len(payload), len(payload), offset)
        offset, data = offset + len(payload), data + payload
    head = b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", flags)
    return head + b"\x0a\0\0\0\0\0\0\x0f" + bytes(16) + data


def response(handshake: Handshake, account: str, password: str) -> bytes:
    """The NTLMv2 response, right if the password is."""
    domain, user = account.split("\\")
    key = crypto.ntowfv2(user, crypto.ntowfv1(password), domain)
    blob = b"\x01\x01" + bytes(6) + TIME + os.urandom(8) + bytes(4) + handshake.target_info + bytes(4)
    return crypto.hmac_md5(key, handshake.challenge + blob) + blob


def main() -> None:
    url, account, password, other, other_password, kind = sys.argv[1:]
    handshake = Handshake(url)
    good = authenticate(account, handshake.flags, bytes(24), response(handshake, account, password))
    if kind == "honest":
        status = handshake.send(good)
    elif kind == "random_proof":
        nt = os.urandom(16) + response(handshake, account, password)[16:]
        status = handshake.send(authenticate(account, handshake.flags, bytes(24), nt))
    elif kind == "random_session_key":
        # As acceptors take it that check the key exchange and not the proof.
        nt = os.urandom(16) + response(handshake, account, password)[16:]
        message = bytearray(
            authenticate(account, handshake.flags | KEY_EXCHANGE, bytes(24), nt) + os.urandom(16)
        )
        struct.pack_into("<HHI", message, 52, 16, 16, len(message) - 16)
        status = handshake.send(bytes(message))
    elif kind == "empty_response":
        status = handshake.send(authenticate(account, handshake.flags, bytes(24), b""))
    elif kind == "another_name":
        nt = response(handshake, other, other_password)
        status = handshake.send(authenticate(account, handshake.flags, bytes(24), nt))
    elif kind == "another_challenge":
        status = Handshake(url).send(good)
    elif kind == "replayed_first":
        handshake.send(good)
        status = Connection(url, "-").leg("NTLM", good)[0]
    elif kind == "replayed":
        first = handshake.send(good)
        if first != 200:
            raise SystemExit(f"the first use was refused: {first}")
        status = Handshake(url).send(good)
    elif kind == "trailing_bytes":
        nt = response(handshake, account, password) + b"\0" * 4
        status = handshake.send(authenticate(account, handshake.flags, bytes(24), nt))
    elif kind == "ntlmv1":
        nt, _, _ = crypto.compute_response_v1(
            0, crypto.ntowfv1(password), crypto.lmowfv1(password), handshake.challenge, os.urandom(8)
        )
        status = handshake.send(authenticate(account, handshake.flags, nt, nt))
    elif kind == "lm":
        lm = crypto.desl(crypto.lmowfv1(password), handshake.challenge)
        status = handshake.send(authenticate(account, handshake.flags, lm, b""))
    elif kind == "anonymous":
        status = handshake.send(authenticate("", handshake.flags | ANONYMOUS, b"\0", b""))
    else:
        raise SystemExit(f"no such kind: {kind}")
    print(json.dumps({"status": status}))


main()

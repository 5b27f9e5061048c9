"""A client's first token, opened with the service's key: all that is in it can be changed, and closed again."""

from __future__ import annotations

import copy
import struct
import time

import der
from der import OCTETS, OID, SEQUENCE, Element
from mit_crypto import AUTHENTICATOR, PAC_SIGNATURE, TICKET, Key

KERBEROS = bytes.fromhex("2a864886f712010202")
KERBEROS_OF_WINDOWS = bytes.fromhex("2a864882f712010202")
NTLM = bytes.fromhex("2b06010401823702020a")
NEGOEX = bytes.fromhex("2b06010401823702021e")
SPNEGO = bytes.fromhex("2b0601050502")
# Of a PAC's buffers: the two signatures.
SERVER, KDC = 6, 7
ENCRYPTED = 0xA2, OCTETS
RELEVANT_PATH = 0x30, 0xAA, 0x30, 0x30, 0xA1, OCTETS


def keys_of(keytab: str) -> list[tuple[str, int, Key]]:
    """Service, version and key of each entry; the file was written by Samba."""
    with open(keytab, "rb") as file:
        data = file.read()
    keys, at = [], 2
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
        if length > 0:
            entry = data[at : at + length]
            (count,) = struct.unpack_from(">H", entry)
            place, texts = 2, []
            for _ in range(count + 1):
                (size,) = struct.unpack_from(">H", entry, place)
                texts.append(entry[place + 2 : place + 2 + size].decode())
                place += 2 + size
            version, etype, size = struct.unpack_from(">BHH", entry, place + 8)
            key = entry[place + 13 : place + 13 + size]
            keys.append(("/".join(texts[1:]), version, Key(etype, key)))
        at += abs(length)
    return keys


class Pac:
    """The buffers of a PAC ([MS-PAC] 2.3), and how it is signed."""

    def __init__(self, data: bytes) -> None:
        (count,) = struct.unpack_from("<I", data)
        rows = [struct.unpack_from("<IIQ", data, 8 + 16 * row) for row in range(count)]
        self.buffers = [[kind, data[begin : begin + size]] for kind, size, begin in rows]
        self.version = 0
        self.sign = True
        # Of the signature.
        self.kind: int | None = None
        # Changes what is written, before it is signed.
        self.twist = lambda written: written

    def buffer(self, kind: int) -> list:
        return next(buffer for buffer in self.buffers if buffer[0] == kind)

    def _laid_out(self) -> tuple[bytearray, dict[int, tuple[int, int]]]:
        head, data, places = bytearray(), bytearray(), {}
        begin = 8 + 16 * len(self.buffers)
        for kind, contents in self.buffers:
            places.setdefault(kind, (begin + len(data), len(contents)))
            head += struct.pack("<IIQ", kind, len(contents), begin + len(data))
            data += contents
            data += bytes(-len(data) % 8)
        return bytearray(struct.pack("<II", len(self.buffers), self.version)) + head + data, places

    def bytes(self, key: Key) -> bytes:
        own = {17: 15, 18: 16, 19: 19, 20: 20}[key.etype]
        size = {15: 12, 16: 12, 19: 16, 20: 24}[own]
        kinds = [kind for kind, _ in self.buffers]
        if not self.sign or SERVER not in kinds or KDC not in kinds:
            return bytes(self.twist(self._laid_out()[0]))
        self.buffer(SERVER)[1] = struct.pack("<I", own if self.kind is None else self.kind) + bytes(size)
        written, places = self._laid_out()
        written = bytearray(self.twist(written))
        at, _ = places[SERVER]
        zeroed = bytearray(written)
        for begin, length in (places[SERVER], places[KDC]):
            room = max(0, min(length, len(zeroed) - begin) - 4)
            zeroed[begin + 4 : begin + 4 + room] = bytes(room)
        written[at + 4 : at + 4 + size] = key.checksum(PAC_SIGNATURE, own, bytes(zeroed))
        return bytes(written)


class Opened:
    """The parts of a token. `close` puts them together with a proof of now."""

    def __init__(self, token: bytes, keys: list[tuple[str, int, Key]]) -> None:
        tree = der.read(token)
        self.spnego = None
        if isinstance(tree.contents, list):
            self.spnego = tree
            token = self.mech_token().contents
            tree = der.read(token)
        # A frame: the mechanism, two bytes, the request.
        assert tree.contents[1] == len(KERBEROS) and tree.contents[2 : 2 + len(KERBEROS)] == KERBEROS
        self.mechanism = KERBEROS
        self.kind = tree.contents[2 + len(KERBEROS) : 4 + len(KERBEROS)]
        self.request = der.read(tree.contents[4 + len(KERBEROS) :])
        cipher = self.request[SEQUENCE, 0xA3, 0x61, SEQUENCE, 0xA3, SEQUENCE]
        etype = cipher[0xA0, der.INTEGER].contents[-1]
        self.service_key, ticket = self._opened(keys, etype, cipher[ENCRYPTED].contents)
        self.ticket = der.read(ticket)
        own = self.ticket[0x30, 0xA1, 0x30]
        self.session_key = Key(own[0xA0, der.INTEGER].contents[-1], own[0xA1, OCTETS].contents)
        proof = self.request[SEQUENCE, 0xA4, SEQUENCE][ENCRYPTED].contents
        self.proof = der.read(self.session_key.decrypt(AUTHENTICATOR, proof))
        self.relevant: Element | None = der.read(self.ticket[RELEVANT_PATH].contents)
        self.pac: Pac | None = Pac(self.relevant[0x30, 0xA1, OCTETS].contents)
        # Later changes, of what the parts are put into.
        self.after_seal = []

    @staticmethod
    def _opened(keys, etype: int, cipher: bytes) -> tuple[Key, bytes]:
        for _, _, key in keys:
            if key.etype == etype:
                try:
                    return key, key.decrypt(TICKET, cipher)
                except OSError:
                    continue
        raise SystemExit("no key opens the honest ticket")

    def copy(self) -> Opened:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict) -> Opened:
        new = Opened.__new__(Opened)
        memo[id(self)] = new
        for name, value in self.__dict__.items():
            # Keys hold what the library made; they are never changed.
            keep = isinstance(value, (Key, bytes))
            setattr(new, name, value if keep else copy.deepcopy(value, memo))
        return new

    def mech_token(self) -> Element:
        return self.spnego[0xA0, SEQUENCE, 0xA2, OCTETS]

    def mechanisms(self) -> Element:
        return self.spnego[0xA0, SEQUENCE, 0xA0, SEQUENCE]

    def fields(self, of: str) -> list[Element]:
        """The fields of `ticket` or `proof`."""
        return getattr(self, of)[0x30].contents

    def set_time(self, of: str, field: int, seconds: float) -> None:
        text = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode()
        getattr(self, of)[0x30, field, 0x18].contents = text

    def time(self, of: str, field: int) -> float:
        text = getattr(self, of)[0x30, field, 0x18].contents.decode()
        return time.mktime(time.strptime(text, "%Y%m%d%H%M%SZ")) - time.timezone

    def renew(self) -> None:
        """A proof of now."""
        now = time.time()
        self.set_time("proof", 0xA5, now)
        self.proof[0x30, 0xA4].contents = [der.number(int(now % 1 * 1_000_000))]

    def settle_pac(self) -> None:
        """Writes the PAC where it belongs; from then on it is bytes there."""
        if self.pac is not None:
            self.relevant[0x30, 0xA1, OCTETS].contents = self.pac.bytes(self.service_key)
        self.pac = None

    def settle(self) -> None:
        """The same, with what is around it."""
        self.settle_pac()
        if self.relevant is not None:
            self.ticket[RELEVANT_PATH].contents = self.relevant.bytes()
        self.relevant = None

    def close(self) -> bytes:
        self.settle()
        sealed = self.service_key.encrypt(TICKET, self.ticket.bytes())
        self.request[SEQUENCE, 0xA3, 0x61, SEQUENCE, 0xA3, SEQUENCE][ENCRYPTED].contents = sealed
        sealed = self.session_key.encrypt(AUTHENTICATOR, self.proof.bytes())
        self.request[SEQUENCE, 0xA4, SEQUENCE][ENCRYPTED].contents = sealed
        for change in self.after_seal:
            change(self)
        oid = Element(OID, self.mechanism).bytes()
        token = Element(0x60, oid + self.kind + self.request.bytes()).bytes()
        if self.spnego is None:
            return token
        try:
            self.mech_token().contents = token
        except StopIteration:
            pass
        return self.spnego.bytes()

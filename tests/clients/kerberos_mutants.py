"""Changes of a client's first token, in every layer of it: each gives the token, and what was changed.

What is inside the encryption is changed as somebody would who knows the service's key, and sealed and signed again
as a KDC does it. So the parsers behind the ciphers are reached, which damage from outside never does.
"""

from __future__ import annotations

import random
import struct
import time

import der
from der import OCTETS, OID, SEQUENCE, Element
from kerberos_ticket import KDC, KERBEROS, KERBEROS_OF_WINDOWS, NEGOEX, NTLM, SERVER, SPNEGO, Opened
from mit_crypto import AUTHENTICATOR, Key

# Seconds, none of them near an edge: two programs look at their clocks one after the other.
SHIFTS = (-86_400, -3_600, -400, -330, -270, -60, -1, 0, 1, 60, 270, 330, 400, 3_600, 86_400)


class Mutants:
    def __init__(self, honest: list[Opened], seed: int) -> None:
        """Of tokens of several accounts, raw and inside SPNEGO."""
        self.honest = honest
        self.numbers = random.Random(seed)

    def next(self) -> tuple[str, bytes]:
        """What was changed, and the token."""
        change = self.numbers.choices(list(KINDS), [weight for weight in KINDS.values()])[0]
        opened = self.numbers.choice(self.honest).copy()
        opened.renew()
        changed = change(self, opened)
        return change.__name__, opened.close() if changed is None else changed

    def untouched(self, opened: Opened) -> bytes:
        opened = opened.copy()
        opened.renew()
        return opened.close()

    # ---- Bytes. ----

    def bytes_anywhere(self, opened: Opened) -> bytes:
        return self.damaged(opened.close(), None)

    def bytes_in_clear(self, opened: Opened) -> bytes:
        """Where the frames, names and numbers are that nothing proves; behind are the ciphers."""
        return self.damaged(opened.close(), 220)

    def tail(self, opened: Opened) -> bytes:
        return opened.close() + self.numbers.choice([b"\0", bytes(8), b"\x30\0", b"\x05\0", self.noise(40)])

    def cut(self, opened: Opened) -> bytes:
        token = opened.close()
        return token[: self.numbers.randrange(len(token))]

    def damaged(self, honest: bytes, within: int | None) -> bytes:
        mutant = bytearray(honest)
        for _ in range(self.numbers.choice([1, 1, 1, 2, 4])):
            at = self.numbers.randrange(min(within or len(mutant), len(mutant)))
            kind = self.numbers.randrange(8)
            if kind < 5:
                mutant[at] ^= 1 << self.numbers.randrange(8)
            elif kind == 5:
                mutant[at] = self.numbers.randrange(256)
            elif kind == 6:
                del mutant[at]
            else:
                mutant.insert(at, self.numbers.randrange(256))
        return bytes(mutant)

    def noise(self, most: int) -> bytes:
        return self.numbers.randbytes(self.numbers.randrange(1, most))

    # ---- Trees of DER. ----

    def tree(self, root: Element) -> None:
        """Something about the form of it."""
        elements = root.all()
        parents = [element for element in elements if isinstance(element.contents, list) and element.contents]
        parent, element = self.numbers.choice(parents), self.numbers.choice(elements)
        inner, at = parent.contents, self.numbers.randrange(len(parent.contents))
        change = self.numbers.randrange(10)
        if change == 0:
            del inner[at]
        elif change == 1:
            inner.insert(at, inner[at])
        elif change == 2:
            self.numbers.shuffle(inner)
        elif change == 3:
            inner.append(Element(0xA0 | self.numbers.randrange(16), [Element(OCTETS, self.noise(9))]))
        elif change == 4:
            element.tag ^= 1 << self.numbers.randrange(8)
        elif change == 5:
            off = self.numbers.choice([-1, 1, 2, 128, 1 << 16])
            element.length = lambda length: der.minimal(max(0, length + off))
        elif change == 6:
            # The same length in more digits, or none.
            element.length = self.numbers.choice(
                [
                    lambda length: b"\x84" + length.to_bytes(4, "big"),
                    lambda length: b"\x83" + length.to_bytes(3, "big"),
                    lambda length: b"\x80",
                ]
            )
        elif change == 7:
            other = self.numbers.choice(elements)
            # One inside the other would have no end.
            if element not in other.all() and other not in element.all():
                element.tag, other.tag = other.tag, element.tag
                element.contents, other.contents = other.contents, element.contents
        else:
            self.value(element)

    def value(self, element: Element) -> None:
        if isinstance(element.contents, list):
            element.contents = self.numbers.choice([[], element.contents * 2, element.contents[:-1]])
        elif not element.contents:
            element.contents = self.noise(5)
        else:
            mutant = bytearray(element.contents)
            mutant[self.numbers.randrange(len(mutant))] ^= 1 << self.numbers.randrange(8)
            element.contents = self.numbers.choice(
                [bytes(mutant), b"", element.contents[:-1], element.contents + b"\0", b"\0" + element.contents,
                 b"\xff" * len(element.contents)]
            )

    def form_of_request(self, opened: Opened) -> None:
        def change(sealed: Opened) -> None:
            self.tree(sealed.request)

        opened.after_seal.append(change)

    def form_of_ticket(self, opened: Opened) -> None:
        opened.settle()
        self.tree(opened.ticket)

    def form_of_proof(self, opened: Opened) -> None:
        self.tree(opened.proof)

    def form_of_authorization(self, opened: Opened) -> None:
        opened.settle_pac()
        self.tree(opened.relevant)

    # ---- SPNEGO and the frame. ----

    def mechanisms(self, opened: Opened) -> bytes | None:
        known = [KERBEROS, KERBEROS_OF_WINDOWS, NTLM, NEGOEX, SPNEGO, b"\x2a", b""]
        offer = [Element(OID, self.numbers.choice(known)) for _ in range(self.numbers.randrange(5))]
        if self.numbers.randrange(2):
            offer.insert(0, Element(OID, self.numbers.choice([KERBEROS, KERBEROS_OF_WINDOWS])))
        if opened.spnego is None:
            return self.offered(offer, opened.close())
        opened.mechanisms().contents = offer
        return None

    def offered(self, offer: list[Element], token: bytes) -> bytes:
        """SPNEGO around a token that had none."""
        fields = [
            Element(0xA0, [Element(SEQUENCE, offer)]),
            Element(0xA2, [Element(OCTETS, token)]),
        ]
        more = self.numbers.randrange(4)
        if more == 0:
            fields.insert(1, Element(0xA1, [Element(0x03, b"\x01\x40")]))
        elif more == 1:
            fields.append(Element(0xA3, [Element(OCTETS, self.noise(20))]))
        elif more == 2:
            fields.append(fields[-1])
        body = Element(0xA0, [Element(SEQUENCE, fields)])
        return Element(0x60, [Element(OID, SPNEGO), body]).bytes()

    def form_of_offer(self, opened: Opened) -> bytes:
        if opened.spnego is None:
            offer = [Element(OID, KERBEROS), Element(OID, NTLM)]
            tree = der.read(self.offered(offer, opened.close()))
        else:
            tree = der.read(opened.close())
        self.tree(tree)
        return tree.bytes()

    def frame(self, opened: Opened) -> None:
        if self.numbers.randrange(2):
            opened.mechanism = self.numbers.choice([KERBEROS_OF_WINDOWS, NTLM, SPNEGO, b"", KERBEROS + b"\3"])
        else:
            opened.kind = self.numbers.choice([b"\2\0", b"\3\0", b"\0\1", b"", b"\1", b"\1\0\0", b"\x60\0"])

    def answer(self, opened: Opened) -> bytes:
        """As if a negotiation had gone on already."""
        token = [Element(0xA2, [Element(OCTETS, opened.close())])]
        if self.numbers.randrange(2):
            token.insert(0, Element(0xA1, [Element(OID, KERBEROS)]))
        if self.numbers.randrange(2):
            token.insert(0, Element(0xA0, [Element(0x0A, bytes([self.numbers.randrange(4)]))]))
        return Element(0xA1, [Element(SEQUENCE, token)]).bytes()

    # ---- The request, in clear. ----

    def request(self, opened: Opened) -> None:
        body = opened.request[SEQUENCE]
        sealed = body[0xA3, 0x61, SEQUENCE]
        choice = self.numbers.randrange(7)
        if choice == 0:
            flags = self.numbers.choice([0, 0x2000_0000, 0x4000_0000, 0x6000_0000, 0xFFFF_FFFF, 1])
            body[0xA2, 0x03].contents = b"\0" + struct.pack(">I", flags)
        elif choice == 1:
            parts = sealed[0xA2, SEQUENCE, 0xA1, SEQUENCE].contents
            part = self.numbers.choice(parts)
            part.contents = self.numbers.choice(
                [part.contents.upper(), part.contents + b".", b"cifs", b"localhost", b"rms-old.contoso.test", b"x" * 300]
            )
        elif choice == 2:
            sealed[0xA2, SEQUENCE, 0xA0, der.INTEGER].contents = bytes([self.numbers.randrange(128)])
        elif choice == 3:
            sealed[0xA1, 0x1B].contents = self.numbers.choice([b"CONTOSO.TES", b"contoso.test", b"FABRIKAM.TEST", b"\n"])
        elif choice == 4:
            seal = self.numbers.choice([sealed[0xA3, SEQUENCE], body[0xA4, SEQUENCE]])
            seal[0xA0, der.INTEGER].contents = bytes([self.numbers.choice([1, 3, 17, 18, 19, 20, 23, 26, 127])])
        elif choice == 5:
            seal = self.numbers.choice([sealed[0xA3, SEQUENCE], body[0xA4, SEQUENCE]])
            version = Element(0xA1, [der.number(self.numbers.choice([0, 1, 3, 255, 65_536, -1]))])
            seal.contents[:] = [field for field in seal.contents if field.tag != 0xA1]
            seal.contents.insert(1, version)
        else:
            place = self.numbers.choice([body, sealed])
            place[0xA0, der.INTEGER].contents = bytes([self.numbers.randrange(8)])

    def cipher(self, opened: Opened) -> None:
        def change(sealed: Opened) -> None:
            path = self.numbers.choice([(0xA3, 0x61, SEQUENCE, 0xA3, SEQUENCE), (0xA4, SEQUENCE)])
            octets = sealed.request[(SEQUENCE, *path, 0xA2, OCTETS)]
            if self.numbers.randrange(4):
                mutant = bytearray(octets.contents)
                mutant[self.numbers.randrange(len(mutant))] ^= 1 << self.numbers.randrange(8)
                octets.contents = bytes(mutant)
            else:
                cut = self.numbers.choice([1, 12, 16, 28, len(octets.contents) - 29, len(octets.contents)])
                octets.contents = octets.contents[:-cut]

        opened.after_seal.append(change)

    # ---- Parts of two logins. ----

    def exchanged(self, opened: Opened) -> None:
        """The ticket of one login, and the proof, or a part of it, of another."""
        own = opened.session_key.contents
        other = self.numbers.choice([it for it in self.honest if it.session_key.contents != own]).copy()
        other.renew()
        pac = other.pac
        other.close()
        choice = self.numbers.randrange(4)
        if choice == 0:
            seal = other.request[SEQUENCE, 0xA4]
            opened.after_seal.append(lambda sealed: setattr(sealed.request[SEQUENCE, 0xA4], "contents", seal.contents))
        elif choice == 1:
            ticket = other.request[SEQUENCE, 0xA3]
            opened.after_seal.append(lambda sealed: setattr(sealed.request[SEQUENCE, 0xA3], "contents", ticket.contents))
        elif choice == 2:
            # Whoever has the key of the one says to be the other.
            opened.proof[0x30, 0xA2].contents = other.proof[0x30, 0xA2].contents
        else:
            opened.pac = pac

    def other_key(self, opened: Opened) -> None:
        """Sealed with a key that is not the right one."""
        wrong = Key(18, self.numbers.randbytes(32))
        if self.numbers.randrange(2):
            opened.service_key = self.numbers.choice([wrong, opened.session_key])
        else:
            opened.session_key = wrong

    def other_use(self, opened: Opened) -> None:
        """The right keys, as for something else."""
        usage = self.numbers.choice([1, 2, 3, 7, 11, 12, 13, 17, 22])

        def change(sealed: Opened) -> None:
            cipher = sealed.session_key.encrypt(usage, sealed.proof.bytes())
            sealed.request[SEQUENCE, 0xA4, SEQUENCE, 0xA2, OCTETS].contents = cipher

        opened.after_seal.append(change)

    # ---- Inside the ticket. ----

    def times_of_ticket(self, opened: Opened) -> None:
        for _ in range(self.numbers.choice([1, 1, 2])):
            field = self.numbers.choice([0xA5, 0xA6, 0xA7])
            if any(found.tag == field for found in opened.fields("ticket")):
                base = time.time() if self.numbers.randrange(3) else opened.time("ticket", field)
                opened.set_time("ticket", field, base + self.numbers.choice(SHIFTS))
        if self.numbers.randrange(6) == 0:
            fields = opened.ticket[0x30]
            fields.contents[:] = [field for field in fields.contents if field.tag != 0xA6]

    def flags_of_ticket(self, opened: Opened) -> None:
        bits = bytearray(opened.ticket[0x30, 0xA0, 0x03].contents)
        bits[1 + self.numbers.randrange(4)] ^= 1 << self.numbers.randrange(8)
        opened.ticket[0x30, 0xA0, 0x03].contents = bytes(bits)

    def client(self, opened: Opened) -> None:
        """Another name or realm, in the ticket, in the proof, or in both."""
        realm = self.numbers.randrange(3) == 0
        new = self.numbers.choice([b"EXCH02$", b"alice", b"EXCH01$", b"", b"Administrator", b"EXCH01$\0"])
        new_realm = self.numbers.choice([b"FABRIKAM.TEST", b"contoso.test", b"", b"CONTOSO.TEST\0"])
        places = [(opened.ticket, 0xA2, 0xA3), (opened.proof, 0xA1, 0xA2)]
        for tree, realm_field, name_field in self.numbers.choice([places, places[:1], places[1:]]):
            if realm:
                tree[0x30, realm_field, 0x1B].contents = new_realm
            else:
                names = tree[0x30, name_field, SEQUENCE, 0xA1, SEQUENCE]
                names.contents = self.numbers.choice([[Element(0x1B, new)], names.contents * 2])

    def key_of_ticket(self, opened: Opened) -> None:
        etype = self.numbers.choice([17, 18, 19, 20, 23, 1, 0, 127])
        key = opened.ticket[0x30, 0xA1, 0x30]
        if self.numbers.randrange(2) and etype in (17, 19, 18, 20):
            # A right one of another type.
            contents = self.numbers.randbytes({17: 16, 19: 16, 18: 32, 20: 32}[etype])
            key[0xA1, OCTETS].contents = contents
            opened.session_key = Key(etype, contents)
            opened.request[SEQUENCE, 0xA4, SEQUENCE, 0xA0, der.INTEGER].contents = bytes([etype])
        else:
            key[0xA1, OCTETS].contents = self.numbers.choice([b"", bytes(16), bytes(33), opened.session_key.contents])
        key[0xA0, der.INTEGER].contents = bytes([etype])

    def rest_of_ticket(self, opened: Opened) -> None:
        """What an acceptor hardly looks at: where it came through, until when it can be renewed, addresses."""
        fields = opened.ticket[0x30]
        choice = self.numbers.randrange(5)
        if choice == 0:
            kind, data = self.numbers.choice([(1, b"FABRIKAM.TEST"), (0, b""), (1, b",,"), (5, self.noise(20))])
            transited = Element(SEQUENCE, [Element(0xA0, [der.number(kind)]), Element(0xA1, [Element(OCTETS, data)])])
            fields[0xA4].contents = [transited]
        elif choice == 1:
            address = [Element(0xA0, [der.number(2)]), Element(0xA1, [Element(OCTETS, bytes([10, 0, 0, 1]))])]
            addresses = Element(0xA9, [Element(SEQUENCE, [Element(SEQUENCE, address)])])
            fields.contents[-1:-1] = [addresses]
        elif choice == 2:
            self.tree(fields[0xA4])
        elif choice == 3:
            fields.contents[:] = [field for field in fields.contents if field.tag != 0xA8]
        else:
            # An account with a longer name, as a cross-realm ticket of MIT's may have.
            fields[0xA3, SEQUENCE, 0xA0].contents = [der.number(self.numbers.choice([0, 2, 10, 11, -1]))]

    def authorization(self, opened: Opened) -> None:
        held = opened.ticket[0x30, 0xAA, 0x30]
        relevant = held.contents[0]
        choice = self.numbers.randrange(6)
        if choice == 4:
            opened.relevant.contents.append(opened.relevant[0x30])
        elif choice == 5:
            opened.relevant[0x30, 0xA0].contents = [der.number(self.numbers.choice([0, 127, 129, 1]))]
        opened.settle()

        def element(kind: int, data: bytes) -> Element:
            return Element(SEQUENCE, [Element(0xA0, [der.number(kind)]), Element(0xA1, [Element(OCTETS, data)])])

        if choice == 0:
            held.contents.append(element(self.numbers.choice([1, 2, 4, 8, 64, 96, 128, 141, 142, 512, -1]), self.noise(30)))
        elif choice == 1:
            held.contents.insert(0, element(self.numbers.choice([1, 2, 4, 8, 64, 141]), self.noise(30)))
        elif choice == 2:
            held.contents.append(relevant)
        elif choice == 3:
            relevant[0xA0].contents = [der.number(self.numbers.choice([0, 2, 4, 5, 128]))]

    # ---- The PAC, signed again as a KDC does it. ----

    def buffers_of_pac(self, opened: Opened) -> None:
        buffers = opened.pac.buffers
        at = self.numbers.randrange(len(buffers))
        choice = self.numbers.randrange(6)
        if choice == 0:
            del buffers[at]
        elif choice == 1:
            buffers.insert(at, list(buffers[at]))
        elif choice == 2:
            self.numbers.shuffle(buffers)
        elif choice == 3:
            buffers[at][0] = self.numbers.choice([0, 1, 2, 6, 7, 10, 11, 12, 13, 16, 19, 99])
        elif choice == 4:
            buffers.append([self.numbers.choice([2, 11, 13, 14, 15, 99]), self.noise(60)])
        else:
            buffers[at][1] = self.numbers.choice([b"", buffers[at][1][:-1], buffers[at][1] + bytes(8)])

    def inside_of_pac(self, opened: Opened) -> None:
        buffer = self.numbers.choice([it for it in opened.pac.buffers if it[1] and it[0] != SERVER])
        contents = bytearray(buffer[1])
        for _ in range(self.numbers.choice([1, 1, 3])):
            contents[self.numbers.randrange(len(contents))] = self.numbers.choice([0, 1, 0x7F, 0x80, 0xFF])
        buffer[1] = bytes(contents)

    def table_of_pac(self, opened: Opened) -> None:
        """Counts, sizes and offsets that are wrong."""
        rows = len(opened.pac.buffers)
        at = self.numbers.choice([0, 4, *range(8, 8 + 16 * rows, 4)])
        new = self.numbers.choice([0, 1, 8, 0x48, 0x400, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFF8])

        def twist(written: bytearray) -> bytearray:
            (old,) = struct.unpack_from("<I", written, at)
            struct.pack_into("<I", written, at, self.numbers.choice([new, (old + 8) & 0xFFFF_FFFF, old ^ 1]))
            return written

        opened.pac.twist = twist

    def signature_of_pac(self, opened: Opened) -> None:
        choice = self.numbers.randrange(4)
        if choice == 0:
            # Changed after it was signed.
            opened.pac.sign = False
            self.inside_of_pac(opened)
        elif choice == 1:
            signature = opened.pac.buffer(self.numbers.choice([SERVER, KDC]))
            opened.pac.sign = False
            contents = bytearray(signature[1])
            contents[self.numbers.randrange(len(contents))] ^= 1 << self.numbers.randrange(8)
            signature[1] = bytes(contents)
        elif choice == 2:
            opened.pac.kind = self.numbers.choice([0, 1, 7, 12, 15, 16, 19, 20, 0x8003, 0xFFFF_FF76])
        else:
            kdc = opened.pac.buffer(KDC)
            kdc[1] = struct.pack("<I", self.numbers.choice([15, 16, 19, 20, 0xFFFF_FF76, 3])) + kdc[1][4:]

    def times_of_pac(self, opened: Opened) -> None:
        """The login that it is of, the name, or both."""
        info = opened.pac.buffer(10)
        when, rest = info[1][:8], info[1][8:]
        (ticks,) = struct.unpack("<Q", when)
        choice = self.numbers.randrange(3)
        if choice < 2:
            ticks = max(0, ticks + self.numbers.choice([-1, 1, 10_000_000, -10_000_000, 9_999_999, -ticks]))
        if choice > 0:
            name = self.numbers.choice(["alice", "EXCH01$", "exch01$", "", "EXCH01$@CONTOSO.TEST", "Administrator"])
            rest = struct.pack("<H", 2 * len(name)) + name.encode("utf-16-le")
        info[1] = struct.pack("<Q", ticks) + rest

    # ---- Inside the proof. ----

    def time_of_proof(self, opened: Opened) -> None:
        opened.set_time("proof", 0xA5, time.time() + self.numbers.choice(SHIFTS))
        if self.numbers.randrange(3) == 0:
            opened.proof[0x30, 0xA4].contents = [der.number(self.numbers.choice([-1, 0, 999_999, 1_000_000, 1 << 31]))]

    def checksum_of_proof(self, opened: Opened) -> None:
        checksum = opened.proof[0x30, 0xA3, SEQUENCE]
        octets = checksum[0xA1, OCTETS]
        choice = self.numbers.randrange(6)
        if choice == 0:
            checksum[0xA0].contents = [der.number(self.numbers.choice([0, 1, 7, 15, 16, 0x8002, 0x8004, -138]))]
        elif choice == 1:
            octets.contents = octets.contents[: self.numbers.randrange(len(octets.contents))]
        elif choice == 2:
            octets.contents += self.noise(60)
        elif choice == 3:
            octets.contents = struct.pack("<I", self.numbers.choice([0, 15, 17, 20, 0xFFFF_FFFF])) + octets.contents[4:]
        elif choice == 4:
            flags = 1 << self.numbers.randrange(32) | 2
            octets.contents = octets.contents[:20] + struct.pack("<I", flags) + octets.contents[24:]
        else:
            fields = opened.proof[0x30]
            fields.contents[:] = [field for field in fields.contents if field.tag != 0xA3]

    def subkey_of_proof(self, opened: Opened) -> None:
        fields = opened.proof[0x30]
        etype = self.numbers.choice([17, 18, 18, 19, 20, 23, 3, 0, -1])
        contents = self.numbers.randbytes(self.numbers.choice([0, 8, 16, 24, 32, 32, 33]))
        key = Element(SEQUENCE, [Element(0xA0, [der.number(etype)]), Element(0xA1, [Element(OCTETS, contents)])])
        number = self.numbers.choice([0, 1, -1, 1 << 31, (1 << 32) - 1, 1 << 32, -(1 << 31)])
        kept = [field for field in fields.contents if field.tag not in (0xA6, 0xA7)]
        more = [Element(0xA6, [key])] if self.numbers.randrange(2) else []
        more += [Element(0xA7, [der.number(number)])] if self.numbers.randrange(2) else []
        at = next((at for at, field in enumerate(kept) if field.tag == 0xA8), len(kept))
        fields.contents[:] = kept[:at] + more + kept[at:]

    def authorization_of_proof(self, opened: Opened) -> None:
        def element(kind: int, data: bytes) -> Element:
            return Element(SEQUENCE, [Element(0xA0, [der.number(kind)]), Element(0xA1, [Element(OCTETS, data)])])

        target = "HTTP/rms.contoso.test@CONTOSO.TEST".encode("utf-16-le")
        known = [(143, bytes(4)), (143, b"\0\x40\0\0"), (143, b"\0\x40"), (4, b"x"), (96, b"\x30\0"), (144, target), (144, target + b"\0"), (129, self.noise(8)),
                 (141, self.noise(48)), (1, self.noise(8)), (-1, b""), (2, b"x"), (99, b"")]
        inner = [element(*self.numbers.choice(known)) for _ in range(self.numbers.randrange(4))]
        held = inner if self.numbers.randrange(2) else [element(1, Element(SEQUENCE, inner).bytes())]
        fields = opened.proof[0x30]
        fields.contents[:] = [field for field in fields.contents if field.tag != 0xA8]
        fields.contents.append(Element(0xA8, [Element(SEQUENCE, held)]))


KINDS = {
    Mutants.bytes_anywhere: 4,
    Mutants.bytes_in_clear: 12,
    Mutants.tail: 1,
    Mutants.cut: 1,
    Mutants.form_of_request: 6,
    Mutants.form_of_ticket: 5,
    Mutants.form_of_proof: 5,
    Mutants.form_of_authorization: 3,
    Mutants.mechanisms: 4,
    Mutants.form_of_offer: 5,
    Mutants.frame: 2,
    Mutants.answer: 1,
    Mutants.request: 6,
    Mutants.cipher: 3,
    Mutants.exchanged: 4,
    Mutants.other_key: 2,
    Mutants.other_use: 2,
    Mutants.times_of_ticket: 4,
    Mutants.flags_of_ticket: 2,
    Mutants.client: 4,
    Mutants.key_of_ticket: 3,
    Mutants.rest_of_ticket: 3,
    Mutants.authorization: 3,
    Mutants.buffers_of_pac: 4,
    Mutants.inside_of_pac: 5,
    Mutants.table_of_pac: 4,
    Mutants.signature_of_pac: 4,
    Mutants.times_of_pac: 3,
    Mutants.time_of_proof: 3,
    Mutants.checksum_of_proof: 4,
    Mutants.subkey_of_proof: 3,
    Mutants.authorization_of_proof: 3,
}

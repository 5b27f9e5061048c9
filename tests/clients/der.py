"""DER as a tree that can be changed, and that may be written wrongly on purpose ([X.690])."""

from __future__ import annotations

CONSTRUCTED = 0x20
SEQUENCE, OCTETS, INTEGER, OID = 0x30, 0x04, 0x02, 0x06


class Element:
    """An element: its tag, and its contents: elements, or bytes.

    `length` gives the length that is written, where it is not the true one.
    """

    def __init__(self, tag: int, contents: list[Element] | bytes) -> None:
        self.tag = tag
        self.contents = contents
        self.length = minimal

    def bytes(self) -> bytes:
        contents = self.contents
        if isinstance(contents, list):
            contents = b"".join(inner.bytes() for inner in contents)
        return bytes([self.tag]) + self.length(len(contents)) + contents

    def __getitem__(self, path: tuple[int, ...] | int) -> Element:
        """The first element behind a path of tags."""
        found = self
        for tag in path if isinstance(path, tuple) else (path,):
            found = next(inner for inner in found.contents if inner.tag == tag)
        return found

    def all(self) -> list[Element]:
        """This one and all that are in it."""
        inner = self.contents if isinstance(self.contents, list) else []
        return [self] + [element for child in inner for element in child.all()]


def minimal(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def read(data: bytes) -> Element:
    """The one element that the bytes are; they were written by a real client or KDC."""
    element, rest = first(data)
    assert not rest, rest
    return element


def first(data: bytes) -> tuple[Element, bytes]:
    tag, length, begin = data[0], data[1], 2
    if length >= 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin], "big")
    contents, rest = data[begin : begin + length], data[begin + length :]
    if not tag & CONSTRUCTED:
        return Element(tag, contents), rest
    inner = []
    # A GSS frame has bytes that are no DER behind its mechanism.
    while contents:
        if inner and tag == 0x60 and inner[0].tag == OID and contents[0] == 1:
            return Element(tag, data[begin : begin + length]), rest
        child, contents = first(contents)
        inner.append(child)
    return Element(tag, inner), rest


def number(value: int) -> Element:
    return Element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))

"""Reads messages as lxml does, and prints those that it reads as another operation than they were relayed as.

usage: readings.py FILE
Each line of the file: what it was relayed as ("{namespace}name", or empty if it was refused), a space, the message in
base64. Every Body of the envelope counts: what one of them could be taken for is a reading.
"""

import base64
import json
import sys

from lxml import etree

SOAP = ["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"]


def readings(message: bytes) -> list[str]:
    """The operations that a parser could find; none if it takes the message for broken."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(message, parser)
    except (etree.XMLSyntaxError, ValueError):
        return []
    found = []
    for soap in SOAP:
        if root.tag == f"{{{soap}}}Envelope":
            for body in root.findall(f"{{{soap}}}Body"):
                found += [child.tag for child in body if isinstance(child.tag, str)]
    return found


def main() -> None:
    relayed = read = 0
    wrong = []
    with open(sys.argv[1], encoding="ascii") as file:
        for line in file:
            operation, _, encoded = line.rstrip("\n").partition(" ")
            message = base64.b64decode(encoded)
            found = readings(message)
            relayed += bool(operation)
            read += bool(found)
            if operation and any(tag != operation for tag in found):
                wrong.append({"relayed": operation, "read": found, "message": message.decode("utf-8", "replace")})
    print(json.dumps({"relayed": relayed, "read": read, "wrong": wrong}))


main()

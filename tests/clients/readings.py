"""Reads messages as lxml does, and their headers as ASP.NET does, and prints those that it reads as another operation than
they were relayed as.

usage: readings.py FILE
Each line of the file: what it was relayed as ("{namespace}name", or empty if it was refused), the content type and the
SOAPAction that the service was sent, the message, these three in base64. Every Body of the envelope counts: what one
of them could be taken for is a reading.
"""

import base64
import json
import sys

from lxml import etree

SOAP = ["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"]


def parameter(content_type: str, name: str) -> str:
    """What System.Web.Services.Protocols.ContentType.GetParameter finds: no quotes count, names only begin so."""
    for part in content_type.split(";")[1:]:
        part = part.lstrip()
        if part[: len(name)].lower() == name:
            return part.partition("=")[2].strip().strip("\"'")
    return ""


def readings(message: bytes, charset: str) -> list[str]:
    """The operations that a parser could find; none if it takes the message for broken."""
    try:
        text = message.decode(charset or "utf-8").encode("utf-8")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, encoding="utf-8")
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return []
    found = []
    for soap in SOAP:
        if root.tag == f"{{{soap}}}Envelope":
            for body in root.findall(f"{{{soap}}}Body"):
                found += [child.tag for child in body if isinstance(child.tag, str)]
    return found


def actions(content_type: str, soap_action: str) -> list[str]:
    """The operations that the headers name."""
    named = [parameter(content_type, "action"), soap_action.strip("\"")]
    return ["{%s}%s" % tuple(action.rsplit("/", 1)) for action in named if "/" in action]


def main() -> None:
    relayed = read = 0
    wrong = []
    with open(sys.argv[1], encoding="ascii") as file:
        for line in file:
            operation, *encoded = line.rstrip("\n").split(" ")
            content_type, soap_action, message = (base64.b64decode(text) for text in encoded)
            content_type, soap_action = content_type.decode(), soap_action.decode()
            found = readings(message, parameter(content_type, "charset"))
            relayed += bool(operation)
            read += bool(found)
            if not operation:
                continue
            found += actions(content_type, soap_action)
            if not content_type or any(tag != operation for tag in found):
                shown = message.decode("utf-8", "replace")[-2000:]
                wrong.append({"relayed": operation, "read": found, "as": content_type, "message": shown})
    print(json.dumps({"relayed": relayed, "read": read, "wrong": wrong}))


main()

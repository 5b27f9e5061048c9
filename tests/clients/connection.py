"""One connection to a front, and the legs of a handshake on it."""

import base64
import hashlib
import http.client
import ssl
import urllib.parse

PATH = "/_wmcs/certification/servercertification.asmx"
# What the service's page says: proof that a request got past authentication.
PROOF = b"ServerCertificationWebService"


class Connection:
    def __init__(self, url: str, ca_file: str, source: str | None = None) -> None:
        """SOURCE: the address to call from, one of 127.0.0.0/8."""
        parts = urllib.parse.urlsplit(url)
        own = (source, 0) if source else None
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            self.http = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, source_address=own, context=context)
        else:
            self.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30, source_address=own)
        self.http.connect()

    def certificate_hash(self) -> bytes:
        return hashlib.sha256(self.http.sock.getpeercert(binary_form=True)).digest()

    def leg(self, scheme: str, token: bytes) -> tuple[int, bytes | None]:
        """Sends a token: gives the status and the token that came back. 200 is only taken with the page."""
        authorization = f"{scheme} {base64.b64encode(token).decode()}"
        self.http.request("GET", PATH, headers={"Authorization": authorization})
        answer = self.http.getresponse()
        body = answer.read()
        if answer.status == 200 and PROOF not in body:
            raise SystemExit(f"200, but not the page: {body!r}")
        offers = answer.headers.get_all("WWW-Authenticate") or []
        tokens = [offer.split(" ", 1)[1] for offer in offers if " " in offer]
        return answer.status, base64.b64decode(tokens[0]) if tokens else None

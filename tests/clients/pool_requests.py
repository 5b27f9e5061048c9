"""Sends requests through a proxy, on one connection to it, each with a proof of its own; counts what came.

usage: pool_requests.py URL CA_FILE HOW COUNT PATH BODY_FILE SOAP_ACTION
HOW: kerberos:SPN (a fresh proof each), silent (no word about who it is), ntlm:ACCOUNT:PASSWORD (a handshake each). All
are bound to the certificate that the proxy shows. Prints how often each status came, and the
kind of answer with it: what was asked for, a fault, or neither. A handshake counts by its last leg, or as `broken`.
"""

import base64
import collections
import json
import sys

import gssapi
import spnego
from spnego.channel_bindings import GssChannelBindings

from connection import Connection

TLS = b"tls-server-end-point:"


class Requests:
    def __init__(self, url: str, ca_file: str, path: str, body_file: str, action: str) -> None:
        self.connection = Connection(url, ca_file)
        self.binding = TLS + self.connection.certificate_hash()
        with open(body_file, "rb") as file:
            self.body = file.read()
        self.path, self.headers = path, {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action}

    def send(self, authorization: str | None) -> tuple[str, bytes | None]:
        """What came, and the token with it."""
        headers = dict(self.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        self.connection.http.request("POST", self.path, body=self.body, headers=headers)
        answer = self.connection.http.getresponse()
        text = answer.read()
        kind = "fault" if b"Fault>" in text else "answer" if b"Response" in text else "nothing"
        offers = answer.headers.get_all("WWW-Authenticate") or []
        tokens = [offer.split(" ", 1)[1] for offer in offers if " " in offer]
        return f"{answer.status} {kind}", base64.b64decode(tokens[0]) if tokens else None

    def ntlm(self, account: str, password: str) -> str:
        client = spnego.client(
            account,
            password,
            hostname="localhost",
            service="HTTP",
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
            channel_bindings=GssChannelBindings(application_data=self.binding),
        )
        came, challenge = self.send("NTLM " + base64.b64encode(client.step()).decode())
        if challenge is None:
            return f"broken {came}"
        return self.send("NTLM " + base64.b64encode(client.step(challenge)).decode())[0]


def main() -> None:
    url, ca_file, how, count, *what = sys.argv[1:]
    requests = Requests(url, ca_file, *what)
    kind, *rest = how.split(":")
    if kind == "kerberos":
        service = gssapi.Name(rest[0], gssapi.NameType.kerberos_principal)
        tickets = gssapi.Credentials(usage="initiate")
        bindings = gssapi.raw.ChannelBindings(application_data=requests.binding)
    came: collections.Counter[str] = collections.Counter()
    for _ in range(int(count)):
        if kind == "kerberos":
            context = gssapi.SecurityContext(name=service, usage="initiate", creds=tickets, channel_bindings=bindings)
            proof = base64.b64encode(bytes(context.step())).decode()
            came[requests.send(f"Negotiate {proof}")[0]] += 1
        elif kind == "silent":
            came[requests.send(None)[0]] += 1
        else:
            came[requests.ntlm(*rest)] += 1
    print(json.dumps(came))


main()

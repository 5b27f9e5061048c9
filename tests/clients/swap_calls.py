"""Calls on and on over https, each handshake bound to the server's certificate, while that may be changed.

usage: swap_calls.py URL ACCOUNT PASSWORD BODY_FILE SOAP_ACTION CA_FILE
One session stays open; every second call is on a new connection. Ends when standard input does, and prints what came.
"""

import hashlib
import json
import ssl
import sys
import threading
import urllib.parse

import requests
from requests_ntlm import HttpNtlmAuth


class Calls:
    def __init__(self) -> None:
        self.url, self.account, self.password, file, self.action, self.ca = sys.argv[1:]
        with open(file, "rb") as opened:
            self.body = opened.read()
        self.report = {"kept": 0, "new": 0, "failures": [], "certificates": []}

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.auth = HttpNtlmAuth(self.account, self.password)
        return session

    def call(self, session: requests.Session, kind: str) -> None:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": self.action}
        try:
            answer = session.post(self.url, data=self.body, headers=headers, verify=self.ca, timeout=30)
            if answer.status_code == 200:
                self.report[kind] += 1
            else:
                self.report["failures"].append(f"{kind}: {answer.status_code} {answer.text[:200]}")
        except requests.RequestException as error:
            self.report["failures"].append(f"{kind}: {error}")

    def seen(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        pem = ssl.get_server_certificate((parts.hostname, parts.port))
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def main() -> None:
    calls, stop = Calls(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    kept = calls.session()
    while not stop.is_set():
        calls.call(kept, "kept")
        with calls.session() as new:
            calls.call(new, "new")
        seen = calls.seen()
        if seen not in calls.report["certificates"]:
            calls.report["certificates"].append(seen)
            print(json.dumps({"seen": seen}), flush=True)
    print(json.dumps(calls.report), flush=True)


main()

"""POSTs a message with requests and requests-ntlm, as a Windows server would, and prints what came.

usage: requests_call.py URL ACCOUNT PASSWORD BODY_FILE SOAP_ACTION CA_FILE|-
Over https requests-ntlm binds the authentication to the server's certificate.
"""

import json
import sys

import requests
from requests_ntlm import HttpNtlmAuth


def main() -> None:
    url, account, password, body_file, soap_action, ca_file = sys.argv[1:]
    with open(body_file, "rb") as file:
        body = file.read()
    with requests.Session() as session:
        session.trust_env = False
        session.auth = HttpNtlmAuth(account, password)
        answers = [
            session.post(
                url,
                data=body,
                headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": soap_action},
                verify=ca_file if ca_file != "-" else True,
                timeout=30,
            )
            for _ in range(2)
        ]
    print(json.dumps([{"status": answer.status_code, "text": answer.text} for answer in answers]))


main()

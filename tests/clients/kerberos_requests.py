"""POSTs a message twice with requests and a Kerberos ticket, and prints what came.

usage: kerberos_requests.py URL BODY_FILE SOAP_ACTION CA_FILE|- CLIENT HOST
CLIENT: requests-kerberos or requests-gssapi. Both ask the server to prove itself, and fail if it does not.
HOST: of the service that the ticket is for.
"""

import json
import sys

import requests


def authentication(client: str, url: str, host: str) -> requests.auth.AuthBase:
    if client == "requests-kerberos":
        import requests_kerberos

        return requests_kerberos.HTTPKerberosAuth(
            mutual_authentication=requests_kerberos.REQUIRED, hostname_override=host
        )
    import gssapi
    import requests_gssapi

    # Without TLS it would look for a certificate all the same.
    bindings = "tls-server-end-point" if url.startswith("https:") else None
    return requests_gssapi.HTTPSPNEGOAuth(
        mutual_authentication=requests_gssapi.REQUIRED,
        channel_bindings=bindings,
        target_name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
    )


def main() -> None:
    url, body_file, soap_action, ca_file, client, host = sys.argv[1:]
    with open(body_file, "rb") as file:
        body = file.read()
    answers = []
    for _ in range(2):
        # One each: on a connection to which it is bound, a client need not prove itself again, and
        # requests-gssapi fails where the server does not either.
        with requests.Session() as session:
            session.trust_env = False
            session.auth = authentication(client, url, host)
            answer = session.post(
                url,
                data=body,
                headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": soap_action},
                verify=ca_file if ca_file != "-" else True,
                timeout=30,
            )
        answers.append(answer)
    print(json.dumps([{"status": answer.status_code, "text": answer.text} for answer in answers]))


main()

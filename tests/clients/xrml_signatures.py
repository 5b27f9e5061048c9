"""Checks certificates of a service with a library that is not ours: xrml_signatures.py URL FILE PATH ACTION...

Each request (a file, its path and its action) is sent once. Of every XrML that comes back the digest and the
signature over the bytes of its BODY are verified, then that a changed byte is noticed. In every chain the key of
an issuer must be the one that the next certificate is about. Prints what was found as JSON.
"""

import base64
import hashlib
import html
import json
import re
import sys
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY = re.compile(r'<PARAMETER name="modulus"><VALUE encoding="base64" size="2048">([^<]*)</VALUE>')


def key_in(part):
    return KEY.search(part).group(1)


def verify(issuer, body, signature):
    modulus = int.from_bytes(base64.b64decode(issuer), "little")
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    big_endian = base64.b64decode(signature)[::-1]
    key.verify(big_endian, body.encode(), padding.PKCS1v15(), hashes.SHA256())


def check(xrml):
    body = re.search(r"<BODY.*</BODY>", xrml, re.S).group(0)
    issuer = key_in(re.search(r"<ISSUER>.*?</ISSUER>", body, re.S).group(0))
    subject = key_in(re.search(r"<ISSUEDPRINCIPALS>.*?</ISSUEDPRINCIPALS>", body, re.S).group(0))
    digest, signature = re.search(
        r'size="256">([^<]*)</VALUE></DIGEST><ALGORITHM>[^<]*</ALGORITHM><VALUE [^>]*>([^<]*)<', xrml
    ).groups()
    assert base64.b64decode(digest) == hashlib.sha256(body.encode()).digest(), "digest"
    verify(issuer, body, signature)
    try:
        verify(issuer, body.replace("imulated", "imulates", 1), signature)
        raise AssertionError("a changed body verifies")
    except InvalidSignature:
        pass
    return {
        "type": re.search(r'<OBJECT type="([^"]*)"', body).group(1),
        "simulated": "imulated" in body,
        "issuer": issuer,
        "subject": subject,
    }


def answer(url, file, action):
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    with open(file, "rb") as opened:
        request = urllib.request.Request(url, opened.read(), headers)
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


def main():
    base, requests = sys.argv[1], sys.argv[2:]
    found = []
    for file, path, action in zip(requests[0::3], requests[1::3], requests[2::3]):
        text = html.unescape(answer(base + path, file, action.strip('"')))
        chains = re.findall(r"<CertificateChain>(.*?)</CertificateChain>", text, re.S)
        linked = []
        for chain in chains:
            certificates = [check(xrml) for xrml in re.findall(r"<XrML.*?</XrML>", chain, re.S)]
            for certificate, above in zip(certificates, certificates[1:]):
                assert certificate["issuer"] == above["subject"], "the chain is broken"
            linked.append([certificate["type"] for certificate in certificates])
        all_of_it = [check(xrml) for xrml in re.findall(r"<XrML.*?</XrML>", text, re.S)]
        assert all(certificate["simulated"] for certificate in all_of_it)
        found.append({"certificates": len(all_of_it), "chains": linked})
    print(json.dumps(found))


main()

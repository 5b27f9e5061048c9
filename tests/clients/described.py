"""Builds itself from the WSDL of every service, and calls every operation of every port; prints what was called.

usage: described.py URL ACCOUNT PASSWORD
zeep knows nothing of the protocol but what the WSDL says: a call that it cannot make, or an answer that does not fit,
is an exception.
"""

import json
import sys

import requests
from lxml import etree
from requests_ntlm import HttpNtlmAuth
from zeep import Client, Settings
from zeep.transports import Transport

PATHS = [
    "certification/servercertification.asmx",
    "certification/Certification.asmx",
    "certification/server.asmx",
    "certification/ServiceLocator.asmx",
    "licensing/license.asmx",
    "Licensing/Publish.asmx",
    "licensing/TemplateDistribution.asmx",
    "licensing/server.asmx",
    "licensing/servicelocator.asmx",
]


def certificates(count: int) -> dict:
    """A chain: XrML in no namespace."""
    xrml = '<XrML version="1.2" purpose="Certificate"><BODY type="LICENSE"><ISSUEDTIME>2026-01-05T09:30</ISSUEDTIME></BODY></XrML>'
    return {"Certificate": [{"_value_1": etree.fromstring(xrml)} for _ in range(count)]}


def arguments(operation: str) -> dict:
    unsigned = etree.fromstring('<XrML version="1.2" purpose="Microsoft Rights Label"><BODY/></XrML>')
    return {
        "Certify": {"requestParams": {"MachineCertificateChain": certificates(2), "Persistent": True}},
        "GetClientLicensorCert": {
            "RequestParams": {"GetClientLicensorCertParams": [{"PersonaCerts": certificates(5)}]}
        },
        "AcquireIssuanceLicense": {
            "RequestParams": {
                "AcquireIssuanceLicenseParams": [{"UnsignedIssuanceLicense": {"_value_1": unsigned}}]
            }
        },
        "AcquireLicense": {
            "RequestParams": {
                "AcquireLicenseParams": [
                    {"LicenseeCerts": certificates(5), "IssuanceLicense": certificates(2)} for _ in range(2)
                ]
            }
        },
        "AcquirePreLicense": {
            "RequestParams": {
                "AcquirePreLicenseParams": [
                    {
                        "LicenseeIdentities": {"string": ["anna@example.com", "bob@unknown.example"]},
                        "IssuanceLicense": certificates(1),
                    }
                ]
            }
        },
        "AcquireTemplateInformation": {},
        "AcquireTemplates": {"guids": {"string": ["{5f2c0a51-73d4-4c5e-9d2b-4f1c00000001}", "{0}"]}},
        "GetServerInfo": {
            "requests": {"ServerInfoRequest": [{"Type": "ServerFeatureInfo"}, {"Type": "VersionInfo"}]}
        },
        "GetLicensorCertificate": {},
        "FindServiceLocations": {
            "ServiceNames": {"ServiceLocationRequest": [{"Type": "LicensingService"}, {"Type": "ServerService"}]}
        },
        "FindServiceLocationsForUser": {
            "ServiceNames": {
                "ServiceLocationRequest": [{"Type": "CertificationInternalService"}, {"Type": "ActivationService"}]
            }
        },
    }[operation]


def check(operation: str, result: object) -> None:
    """What a client needs of the answer."""
    body = getattr(result, "body", result)
    if operation != "GetServerInfo":
        # With headers bound, zeep gives header and body.
        versions = result.header.VersionData
        assert (versions.MinimumVersion, versions.MaximumVersion) == ("1.0.0.0", "1.2.0.0"), versions
    answer = body[f"{operation}Result"] if hasattr(body, f"{operation}Result") else body
    if operation == "Certify":
        assert len(answer.CertificateChain.Certificate) == 5 and answer.Quota.Maximum == 10, answer
        assert answer.CertificateChain.Certificate[0]._value_1.tag == "XrML", answer
    elif operation == "GetClientLicensorCert":
        assert len(answer.GetClientLicensorCertResponse) == 1, answer
    elif operation == "AcquireIssuanceLicense":
        assert len(answer.AcquireIssuanceLicenseResponse) == 1, answer
    elif operation == "AcquireLicense":
        assert len(answer.AcquireLicenseResponse) == 2, answer
    elif operation == "AcquirePreLicense":
        (only,) = answer.AcquirePreLicenseResponse
        assert len(only.Licenses.Certificate) == 2 and only.CertificateChain.Certificate, answer
    elif operation == "AcquireTemplateInformation":
        assert answer.GuidHashCount == len(answer.GuidHash) == 3, answer
    elif operation == "AcquireTemplates":
        known, unknown = answer.GuidTemplate
        assert known.Template.startswith("<XrML") and unknown.Template is None, answer
    elif operation == "GetServerInfo":
        features = {feature.get("Name"): feature.get("Value") for feature in answer.iter("Feature")}
        assert features["CryptoMode"] == "2", features
    elif operation == "GetLicensorCertificate":
        assert answer.CertificateChain.Certificate, answer
    else:
        first, second = answer.ServiceLocationResponse
        assert "/_wmcs/" in first.URL and not second.URL, answer


def main() -> None:
    url, account, password = sys.argv[1:]
    called = []
    for path in PATHS:
        session = requests.Session()
        session.trust_env = False
        session.auth = HttpNtlmAuth(account, password)
        address = f"{url}/_wmcs/{path}"
        client = Client(f"{address}?wsdl", transport=Transport(session=session), settings=Settings(strict=True))
        for service in client.wsdl.services.values():
            for name, port in service.ports.items():
                assert port.binding_options["address"] == address, port.binding_options
                proxy = client.bind(service.name, name)
                for operation, definition in port.binding.all().items():
                    headers = {}
                    if operation != "GetServerInfo":
                        versions = {"MinimumVersion": "1.1.0.0", "MaximumVersion": "1.1.0.0"}
                        headers = {"_soapheaders": {"VersionData": versions}}
                    check(operation, getattr(proxy, operation)(**arguments(operation), **headers))
                    called.append([path, name, operation])
    print(json.dumps(called))


main()

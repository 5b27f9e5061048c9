"""Does what Exchange does, in its order, and checks what it checks; prints each step with what came of it.

usage: exchange.py CONNECTOR_URL ACCOUNT PASSWORD FOLDER first-use|test-irm
FOLDER has the requests. Every call goes to the tenant's URL, redirected to the connector as the registry
keys of Exchange say, and authenticates by itself.
"""

import json
import sys
from pathlib import Path

import requests
from lxml import etree
from requests_ntlm import HttpNtlmAuth

DRM = "http://microsoft.com/DRM/"
AGENT = "Mozilla/4.0 (compatible; MSIE 6.0; MS Web Services Client Protocol 4.0.30319.42000)"
BATCH = 25


class Exchange:
    def __init__(self, connector: str, account: str, password: str, folder: str) -> None:
        self.connector = connector.lower()
        self.folder = Path(folder)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = HttpNtlmAuth(account, password)
        self.session.headers["User-Agent"] = AGENT
        # The keys name the tenant; the script that writes them asks for it here.
        answer = self.session.get(f"{connector}/_wmcs/GetRmsoUri.aspx", timeout=30)
        assert answer.status_code == 200, answer
        self.tenant = answer.text
        self.steps: list[list] = []

    def redirected(self, url: str, path: str) -> str:
        """CertificationServerRedirection and LicenseServerRedirection: every occurrence, in lower case."""
        url = url.lower().replace(self.tenant.lower(), self.connector)
        parts = requests.utils.urlparse(url)
        return f"{parts.scheme}://{parts.netloc}/_wmcs/{path}"

    def call(self, path: str, service: str, operation: str, change=lambda text: text) -> etree._Element:
        """One try, 30 s, and a second more for each recipient."""
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)
        body = change((self.folder / f"exchange{name}.xml").read_text())
        answer = self.session.post(
            self.redirected(f"{self.tenant}/_wmcs/{path.split('/')[0]}", path),
            data=body.encode(),
            headers={
                "Content-Type": "text/xml; charset=utf-8",
                "SOAPAction": f'"{DRM}{service}/{operation}"',
            },
            timeout=30 + body.count("<string>"),
            allow_redirects=False,
        )
        assert answer.status_code == 200, (operation, answer.status_code, answer.text)
        assert answer.headers["Content-Type"].startswith("text/xml"), answer.headers
        root = etree.fromstring(answer.content)
        result = root.find(f".//{{{DRM}{service}}}{operation}Result")
        assert result is not None, answer.text
        self.steps.append([operation, path])
        return result

    def server_info(self, path: str) -> dict[str, str]:
        result = self.call(path, "ServerService", "GetServerInfo")
        results = result.find("Results")
        assert results is not None, etree.tostring(result)
        return {feature.get("Name"): feature.get("Value") for feature in results.iter("Feature")}

    def crypto_mode(self) -> None:
        # Without it Exchange goes on in mode 1 until it is restarted, and says nothing.
        assert self.server_info("certification/server.asmx").get("CryptoMode") == "2"

    def version(self, path: str, feature: str) -> None:
        assert self.server_info(path).get(feature, "").lower() == "true", feature

    def certify(self) -> None:
        chain = self.call("certification/servercertification.asmx", "CertificationService", "Certify")
        check_chain(chain, "CertificationService", 5)

    def client_licensor(self) -> None:
        result = self.call("licensing/publish.asmx", "PublishingService", "GetClientLicensorCert")
        (only,) = result
        check_chain(only, "PublishingService", 5)

    def templates(self) -> list[str]:
        service = "TemplateDistributionService"
        path = "licensing/templatedistribution.asmx"
        result = self.call(path, service, "AcquireTemplateInformation")
        guids = [guid.text for guid in result.iter(f"{{{DRM}{service}}}Guid")]
        assert int(result.findtext(f"{{{DRM}{service}}}GuidHashCount")) == len(guids), guids
        texts = []
        for begin in range(0, len(guids), BATCH):
            wanted = "".join(f"<string>{guid}</string>" for guid in guids[begin : begin + BATCH])
            result = self.call(path, service, "AcquireTemplates", lambda text, wanted=wanted: between(text, "guids", wanted))
            texts += [template.text for template in result.iter(f"{{{DRM}{service}}}Template")]
        assert len(texts) == len(guids) and all(etree.fromstring(text).tag == "XrML" for text in texts)
        return texts

    def prelicense(self, recipients: list[str]) -> None:
        wanted = "".join(f"<string>{recipient}</string>" for recipient in recipients)
        service = "LicensingService"
        result = self.call(
            "licensing/license.asmx",
            service,
            "AcquirePreLicense",
            lambda text: between(text, "LicenseeIdentities", wanted),
        )
        (only,) = result
        licenses = only.find(f"{{{DRM}{service}}}Licenses")
        assert len(licenses) == len(recipients), (len(licenses), len(recipients))
        check_chain(only, service, 1)

    def license(self) -> None:
        result = self.call("licensing/license.asmx", "LicensingService", "AcquireLicense")
        (only,) = result
        check_chain(only, "LicensingService", 5)


def check_chain(parent: etree._Element, service: str, least: int) -> None:
    """The name of each certificate's element is compared as it is written."""
    chain = parent.find(f"{{{DRM}{service}}}CertificateChain")
    assert chain is not None and len(chain) >= least, etree.tostring(parent)
    for certificate in chain:
        (xrml,) = certificate
        assert xrml.tag == "XrML" and xrml.prefix is None, xrml.tag


def between(text: str, name: str, content: str) -> str:
    before, _, rest = text.partition(f"<{name}>")
    _, _, after = rest.partition(f"</{name}>")
    return f"{before}<{name}>{content}</{name}>{after}"


def first_use(exchange: Exchange) -> None:
    exchange.crypto_mode()
    exchange.certify()
    exchange.client_licensor()
    exchange.templates()
    exchange.prelicense([f"recipient{number}@example.com" for number in range(100)])
    exchange.license()


def test_irm(exchange: Exchange) -> None:
    exchange.version("certification/server.asmx", "ServerCertificationSharedIdentity")
    exchange.certify()
    exchange.client_licensor()
    exchange.templates()
    exchange.version("licensing/server.asmx", "MultiForestAcquirePreLicense")
    for recipient in ["anna@example.com", "bob@example.com"]:
        exchange.prelicense([recipient])
    exchange.license()


def main() -> None:
    connector, account, password, folder, sequence = sys.argv[1:]
    exchange = Exchange(connector, account, password, folder)
    {"first-use": first_use, "test-irm": test_irm}[sequence](exchange)
    print(json.dumps(exchange.steps))


main()

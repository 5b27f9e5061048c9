//! The simulated service over a real socket: what each operation answers, counted and named.

use super::web::BODY_BYTES_MAX;
use super::*;
use crate::rms::document::{Document, Element, LIMITS};
use crate::rms::{Operation, SoapVersion, namespace};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests/", $name, ".xml"))
    };
}

const SCHEMA: &str = "xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"";

struct Service {
    address: SocketAddr,
    counts: Arc<Counts>,
    tasks: Tasks,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// A run has its own keys; they take a while to make where nothing is optimized.
static LICENSOR: LazyLock<Arc<Licensor>> = LazyLock::new(Arc::default);

async fn start() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    let config = Config { licensor: Arc::clone(&LICENSOR), ..Config::default() };
    let (counts, inner) = (Arc::clone(&config.counts), tasks.clone());
    tasks.spawn("simulator", async move { serve(listener, config, &inner).await });
    Service { address, counts, tasks }
}

impl Service {
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{head}\r\nHost: s\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: answer[split + 4..].to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1"), b"").await
    }

    async fn post(&self, path: &str, action: &str, headers: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"{action}\"{headers}"
        );
        self.send(&head, body.as_bytes()).await
    }

    /// Calls an operation at its first path with its action in this namespace.
    async fn call(&self, operation: Operation, namespace: &str, body: &str) -> Answer {
        let path = operation.endpoints()[0].path();
        self.post(path, &operation.action(namespace), "\r\nx-rmsc-entry-sid: S-1-5-21-7", body).await
    }

    /// Calls with a golden request, changed.
    async fn change(&self, operation: Operation, body: &str, from: &str, to: &str) -> Answer {
        assert!(body.contains(from), "{from}");
        self.call(operation, operation.namespaces()[0], &body.replace(from, to)).await
    }
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    fn check_fault(&self, exception: &str) {
        assert_eq!(self.status, 500, "{}", self.text());
        assert!(self.head.contains("content-type: text/xml; charset=utf-8"), "{}", self.head);
        let document = Document::parse(&self.body, &LIMITS).unwrap();
        let fault = down(&document, &["Body", "Fault", "faultstring"]);
        let expected = format!(
            "System.Web.Services.Protocols.SoapException: Server was unable to process request. ---> {exception}: "
        );
        assert!(fault.text().starts_with(&expected), "{}", fault.text());
    }

    /// The answer's tree, after the checks that every good answer passes.
    #[track_caller]
    fn parse(&self, operation: Operation, namespace: &str) -> Document<'_> {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(self.head.contains("content-type: text/xml; charset=utf-8"), "{}", self.head);
        let document = Document::parse(&self.body, &LIMITS).unwrap();
        assert_eq!(document.root().namespace(), SoapVersion::V1_1.namespace());
        let response = down(&document, &["Body"]).children().next().unwrap();
        assert_eq!(response.name(), format!("{operation}Response"));
        assert_eq!(response.namespace(), namespace);
        let header = document.root().child("Header");
        assert_eq!(header.is_some(), operation.has_version_data());
        if let Some(header) = header {
            let version = header.child("VersionData").unwrap();
            assert_eq!(version.namespace(), namespace);
            assert_eq!(version.child("MinimumVersion").unwrap().text(), "1.0.0.0");
            assert_eq!(version.child("MaximumVersion").unwrap().text(), "1.2.0.0");
        }
        document
    }
}

#[track_caller]
fn down<'d, 'a>(document: &'d Document<'a>, path: &[&str]) -> Element<'d, 'a> {
    below(document.root(), path)
}

#[track_caller]
fn below<'d, 'a>(mut element: Element<'d, 'a>, path: &[&str]) -> Element<'d, 'a> {
    for name in path {
        element = element.child(name).unwrap_or_else(|| panic!("no {name} in {}", element.name()));
    }
    element
}

/// What the certificates of a chain say that they are, in order; each as the clients want it.
#[track_caller]
fn chain(array: Element<'_, '_>) -> Vec<String> {
    array
        .children()
        .map(|certificate| {
            assert_eq!(certificate.name(), "Certificate");
            let xrml = certificate.child("XrML").unwrap();
            assert_eq!(xrml.namespace(), "");
            below(xrml, &["BODY", "DESCRIPTOR", "OBJECT", "NAME"]).text().into_owned()
        })
        .collect()
}

fn result<'d, 'a>(document: &'d Document<'a>) -> Element<'d, 'a> {
    let response = down(document, &["Body"]).children().next().unwrap();
    response.children().next().unwrap()
}

const SERVER_CHAIN: [&str; 4] = ["simulated"; 4];

#[tokio::test]
async fn certify_gives_a_chain_of_five_and_a_quota() {
    let service = start().await;
    for body in [golden!("exchange_certify"), golden!("msipc_certify")] {
        let answer = service.call(Operation::Certify, namespace::CERTIFICATION, body).await;
        let document = answer.parse(Operation::Certify, namespace::CERTIFICATION);
        let names = chain(below(result(&document), &["CertificateChain"]));
        assert_eq!(names, [&["S-1-5-21-7"], &SERVER_CHAIN[..]].concat());
        let quota = below(result(&document), &["Quota"]);
        let numbers: Vec<_> = quota.children().map(|child| child.text().into_owned()).collect();
        assert_eq!(numbers, ["true", "5", "10"]);
        assert!(answer.text().contains("<XrML xmlns=\"\" version=\"1.2\">"));
        assert!(answer.text().contains("https://simulated.rms.example.net/_wmcs/certification"));
    }
    let none =
        service.change(Operation::Certify, golden!("exchange_certify"), "Certificate>", "Other>").await;
    none.check_fault("Microsoft.DigitalRightsManagement.Core.VerifyMachineCertificateChainFailedException");
    let none =
        service.change(Operation::Certify, golden!("exchange_certify"), "requestParams", "Other").await;
    none.check_fault("System.ArgumentNullException");
}

#[tokio::test]
async fn get_client_licensor_cert_gives_one_response_for_each_params() {
    let service = start().await;
    let operation = Operation::GetClientLicensorCert;
    let one = golden!("exchange_get_client_licensor_cert");
    let start = one.find("<GetClientLicensorCertParams>").unwrap();
    let end = one.find("</RequestParams>").unwrap();
    for count in [1, 3] {
        let body = one.replace(&one[start..end], &one[start..end].repeat(count));
        let answer = service.call(operation, namespace::PUBLISHING, &body).await;
        let document = answer.parse(operation, namespace::PUBLISHING);
        let responses: Vec<_> = result(&document).children().collect();
        assert_eq!(responses.len(), count);
        for response in responses {
            assert_eq!(response.name(), "GetClientLicensorCertResponse");
            assert_eq!(chain(below(response, &["CertificateChain"])).len(), 5);
        }
    }
    let without = service.change(operation, one, "PersonaCerts", "Other").await;
    without.check_fault("Microsoft.DigitalRightsManagement.Licensing.InvalidPersonaCertSignatureException");
}

#[tokio::test]
async fn acquire_issuance_license_signs_but_not_with_des() {
    let service = start().await;
    let (operation, body) = (Operation::AcquireIssuanceLicense, golden!("msdrm_acquire_issuance_license"));
    let answer = service.call(operation, namespace::PUBLISHING, body).await;
    let document = answer.parse(operation, namespace::PUBLISHING);
    let responses: Vec<_> = result(&document).children_named("AcquireIssuanceLicenseResponse").collect();
    assert_eq!(responses.len(), 1);
    assert_eq!(chain(below(responses[0], &["CertificateChain"])), ["S-1-5-21-7", "simulated"]);
    let des = service.change(operation, body, "RSA PKCS#1-V1.5", "DES").await;
    des.check_fault("Microsoft.DigitalRightsManagement.Cryptography.CryptoUnsupportedSymKeyException");
    let none = service.change(operation, body, "UnsignedIssuanceLicense", "Other").await;
    none.check_fault("System.ArgumentNullException");
}

#[tokio::test]
async fn acquire_license_keeps_count_and_order_and_inherits_the_license() {
    let service = start().await;
    let operation = Operation::AcquireLicense;
    for body in [golden!("exchange_acquire_license"), golden!("msipc_acquire_license")] {
        let answer = service.call(operation, namespace::LICENSING, body).await;
        let document = answer.parse(operation, namespace::LICENSING);
        let responses: Vec<_> = result(&document).children_named("AcquireLicenseResponse").collect();
        assert_eq!(responses.len(), 1);
        assert_eq!(chain(below(responses[0], &["CertificateChain"])).len(), 5);
        assert_eq!(below(responses[0], &["ReferenceCertificates"]).children().count(), 0);
    }
    let one = golden!("exchange_acquire_license");
    let certs = &one[one.find("<LicenseeCerts>").unwrap()..one.find("<IssuanceLicense>").unwrap()];
    let later = format!(
        "</AcquireLicenseParams><AcquireLicenseParams>{certs}</AcquireLicenseParams><AcquireLicenseParams/></RequestParams>"
    );
    let batch = one.replace("</AcquireLicenseParams></RequestParams>", &later);
    let answer = service.call(operation, namespace::LICENSING, &batch).await;
    let document = answer.parse(operation, namespace::LICENSING);
    let chains: Vec<_> = result(&document).children().map(|r| below(r, &["CertificateChain"])).collect();
    assert_eq!(chains.len(), 3);
    assert_eq!((chain(chains[0]).len(), chain(chains[1]).len()), (5, 5));
    let failed = below(chains[2], &["Certificate", "AcquireLicenseException"]);
    assert_eq!(below(failed, &["batchindex"]).text(), "2");
    assert!(below(failed, &["ExceptionString"]).text().contains("InvalidPersonaCertSignatureException"));
    let old = batch.replace("1.1.0.0", "1.0.0.0");
    service.call(operation, namespace::LICENSING, &old).await.check_fault("System.ArgumentNullException");
    let without = service.change(operation, one, "IssuanceLicense", "Other").await;
    without.check_fault("Microsoft.DigitalRightsManagement.Licensing.InvalidRightsLabelSignatureException");
    let without = service.change(operation, one, "AcquireLicenseParams", "Other").await;
    without.check_fault("System.ArgumentNullException");
    let without = service.change(operation, one, "LicenseeCerts", "Other").await;
    without.check_fault("Microsoft.DigitalRightsManagement.Licensing.InvalidPersonaCertSignatureException");
}

#[tokio::test]
async fn acquire_pre_license_gives_a_license_at_each_index() {
    let service = start().await;
    let (operation, body) = (Operation::AcquirePreLicense, golden!("exchange_acquire_pre_license"));
    let answer = service.call(operation, namespace::LICENSING, body).await;
    let document = answer.parse(operation, namespace::LICENSING);
    let response = below(result(&document), &["AcquirePreLicenseResponse"]);
    assert_eq!(result(&document).children().count(), 1);
    assert_eq!(
        chain(below(response, &["Licenses"])),
        ["anna@example.com", "bob@example.com", "S-1-5-21-1004336348-1177238915-682003330-1107"]
    );
    assert_eq!(chain(below(response, &["CertificateChain"])), SERVER_CHAIN);
    assert_eq!(below(response, &["ReferenceCertificates"]).children().count(), 0);

    let answer = service.change(operation, body, "bob@example.com", "bob@unknown.example").await;
    let document = answer.parse(operation, namespace::LICENSING);
    let licenses: Vec<_> =
        below(result(&document), &["AcquirePreLicenseResponse", "Licenses"]).children().collect();
    assert_eq!(licenses.len(), 3);
    let failed = below(licenses[1], &["AcquirePreLicenseException"]);
    assert_eq!(below(failed, &["batchindex"]).text(), "1");
    assert!(below(failed, &["ExceptionString"]).text().contains("AcquirePreLicenseInvalidLicenseeException"));

    let hundred = "<string>a@example.com</string>".repeat(100);
    let answer = service.change(operation, body, "<string>anna@example.com</string>", &hundred).await;
    let document = answer.parse(operation, namespace::LICENSING);
    assert_eq!(below(result(&document), &["AcquirePreLicenseResponse", "Licenses"]).children().count(), 102);
}

#[tokio::test]
async fn templates_are_listed_and_given_escaped() {
    let service = start().await;
    let operation = Operation::AcquireTemplateInformation;
    let body = golden!("exchange_acquire_template_information");
    let answer = service.call(operation, namespace::TEMPLATE_DISTRIBUTION, body).await;
    let document = answer.parse(operation, namespace::TEMPLATE_DISTRIBUTION);
    let hashes: Vec<_> = result(&document).children_named("GuidHash").collect();
    assert_eq!(below(result(&document), &["GuidHashCount"]).text(), "3");
    assert_eq!(hashes.len(), 3);
    assert!(!below(result(&document), &["ServerPublicKey"]).text().is_empty());
    let first = below(hashes[0], &["Guid"]).text().into_owned();

    let (operation, body) = (Operation::AcquireTemplates, golden!("exchange_acquire_templates"));
    assert!(body.contains(&first), "{first}");
    let answer = service.call(operation, namespace::TEMPLATE_DISTRIBUTION, body).await;
    let document = answer.parse(operation, namespace::TEMPLATE_DISTRIBUTION);
    let given: Vec<_> = result(&document).children_named("GuidTemplate").collect();
    assert_eq!(given.len(), 2);
    assert_eq!(below(given[0], &["Guid"]).text(), first);
    let template = below(given[0], &["Template"]).text().into_owned();
    assert_eq!(Document::parse(template.as_bytes(), &LIMITS).unwrap().root().name(), "XrML");
    assert!(given[1].child("Template").is_none());
    let many = format!("<guids>{}", "<string>x</string>".repeat(24));
    let answer = service.change(operation, body, "<guids>", &many).await;
    answer.check_fault("Microsoft.DigitalRightsManagement.Utilities.UnspecifiedErrorException");
}

#[tokio::test]
async fn get_server_info_has_what_exchange_reads() {
    let service = start().await;
    let (operation, body) = (Operation::GetServerInfo, golden!("exchange_get_server_info"));
    for endpoint in operation.endpoints() {
        let answer = service.post(endpoint.path(), &operation.action(namespace::SERVER), "", body).await;
        let document = answer.parse(operation, namespace::SERVER);
        let results = below(result(&document), &["Results"]);
        assert_eq!(results.namespace(), "");
        let infos: Vec<_> = results.children().map(|info| info.children().next().unwrap().name()).collect();
        assert_eq!(infos, ["ServerFeatureInfo", "VersionInfo"]);
        for expected in [
            "<Results xmlns=\"\">",
            "<ServerInfoRequest Type=\"ServerFeatureInfo\" AdditionalInfo=\"\">",
            "<Feature Name=\"CryptoMode\" Value=\"2\"/>",
            "<Feature Name=\"ServerCertificationSharedIdentity\" Value=\"true\"/>",
            "<Feature Name=\"MultiForestAcquirePreLicense\" Value=\"true\"/>",
            "<VersionInfo Version=\"6.3.0.0\"/>",
        ] {
            assert!(answer.text().contains(expected), "{expected}");
        }
    }
    let answer = service.change(operation, body, "VersionInfo", "ServerLicensorCertificate").await;
    let document = answer.parse(operation, namespace::SERVER);
    let licensor = below(result(&document), &["Results"]).children().nth(1).unwrap();
    assert_eq!(chain(below(licensor, &["ServerLicensorCertificateChain"])), SERVER_CHAIN);
    let answer = service.change(operation, body, "VersionInfo", "ServiceLocations").await;
    assert!(answer.text().contains("<ServiceLocation Type=\"ActivationService\" Url=\"\"/>"));
    let answer = service.change(operation, body, "VersionInfo", "Other").await;
    answer.check_fault("System.ArgumentNullException");
    let answer = service.change(operation, body, "requests", "Other").await;
    answer.check_fault("System.ArgumentNullException");
}

#[tokio::test]
async fn get_licensor_certificate_gives_the_server_chain() {
    let service = start().await;
    let operation = Operation::GetLicensorCertificate;
    let answer = service.call(operation, namespace::SERVER, golden!("msdrm_get_licensor_certificate")).await;
    let document = answer.parse(operation, namespace::SERVER);
    assert_eq!(chain(below(result(&document), &["CertificateChain"])), SERVER_CHAIN);
}

fn locations(document: &Document<'_>) -> Vec<(String, Option<String>)> {
    let text = |element: Element<'_, '_>| element.text().into_owned();
    result(document)
        .children_named("ServiceLocationResponse")
        .map(|location| (text(below(location, &["Type"])), location.child("URL").map(text)))
        .collect()
}

#[tokio::test]
async fn service_locations_echo_every_type() {
    let service = start().await;
    let url = |directory| Some(format!("https://simulated.rms.example.net/_wmcs/{directory}"));
    let operation = Operation::FindServiceLocations;
    let answer = service.call(operation, namespace::SERVER, golden!("exchange_find_service_locations")).await;
    let expected = [
        ("LicensingService".to_owned(), url("licensing")),
        ("ServerLicensingWSService".to_owned(), Some(String::new())),
    ];
    assert_eq!(locations(&answer.parse(operation, namespace::SERVER)), expected);

    let operation = Operation::FindServiceLocationsForUser;
    let body = golden!("msipc_find_service_locations_for_user");
    let answer = service.call(operation, namespace::SERVICE_LOCATOR, body).await;
    let expected = [
        ("CertificationInternalService".to_owned(), url("certification")),
        ("LicensingService".to_owned(), url("licensing")),
        ("ActivationService".to_owned(), None),
    ];
    assert_eq!(locations(&answer.parse(operation, namespace::SERVICE_LOCATOR)), expected);
    let bad = service.change(operation, body, "ActivationService", "NoService").await;
    bad.check_fault("System.InvalidOperationException");

    let body = golden!("msdrm_find_service_locations_for_user");
    let answer = service.call(operation, namespace::SERVER, body).await;
    let expected = [("LicensingInternalService".to_owned(), url("licensing"))];
    assert_eq!(locations(&answer.parse(operation, namespace::SERVER)), expected);
}

#[tokio::test]
async fn versions_are_checked() {
    let service = start().await;
    let body = golden!("exchange_certify");
    let core = "Microsoft.DigitalRightsManagement.Core.";
    for (minimum, maximum, exception) in [
        ("1.0.0.0", "1.3.0.0", "UnsupportedDataVersionException"),
        ("2.0.0.0", "2.0.0.0", "UnsupportedDataVersionException"),
        ("1.2.0.0", "1.1.0.0", "MalformedDataVersionException"),
        ("1.0.0", "1.0.0.0", "MalformedDataVersionException"),
        ("1.0.0.x", "1.0.0.0", "MalformedDataVersionException"),
        ("", "1.0.0.0", "MalformedDataVersionException"),
    ] {
        let body = body
            .replace("<MinimumVersion>1.1.0.0", &format!("<MinimumVersion>{minimum}"))
            .replace("<MaximumVersion>1.1.0.0", &format!("<MaximumVersion>{maximum}"));
        let answer = service.call(Operation::Certify, namespace::CERTIFICATION, &body).await;
        answer.check_fault(&format!("{core}{exception}"));
    }
    for (from, to) in [("VersionData", "Other"), ("1.1.0.0", "1.0.0.0"), ("1.1.0.0", "1.2.0.0")] {
        let answer = service.change(Operation::Certify, body, from, to).await;
        assert_eq!(answer.status, 200, "{to}");
    }
}

#[tokio::test]
async fn refuses_what_is_no_request() {
    let service = start().await;
    let body = golden!("exchange_certify");
    let invalid = "System.InvalidOperationException";
    for (from, to) in [
        ("<soap:Envelope", "<!DOCTYPE a [<!ENTITY b \"c\">]><soap:Envelope"),
        ("<Certify ", "<Other "),
        ("</soap:Body>", "<Certify/></soap:Body>"),
        ("</soap:Body>", "</soap:Body><soap:Body/>"),
        ("</soap:Envelope>", ""),
        ("CertificationService\"", "LicensingService\""),
    ] {
        service.change(Operation::Certify, body, from, to).await.check_fault(invalid);
    }
    service.call(Operation::Certify, namespace::CERTIFICATION, "").await.check_fault(invalid);
    service.call(Operation::Certify, namespace::CERTIFICATION, "{}").await.check_fault(invalid);
    service.call(Operation::AcquireLicense, namespace::LICENSING, body).await.check_fault(invalid);
    let path = Operation::Certify.endpoints()[0].path();
    service
        .post(path, "http://microsoft.com/DRM/CertificationService/Other", "", body)
        .await
        .check_fault(invalid);
    // Ten megabytes of nesting, in the body and in the header.
    let nested = "<a>".repeat(4 << 20);
    for place in ["Body", "Header"] {
        let message = format!("<soap:Envelope {SCHEMA}><soap:{place}>{nested}");
        let answer = service.call(Operation::Certify, namespace::CERTIFICATION, &message).await;
        answer.check_fault(invalid);
        assert!(answer.text().contains("more than 256 elements inside one another"));
    }
    assert_eq!(service.counts.snapshot().by_operation["malformed"], 12);
}

#[tokio::test]
async fn answers_the_other_soap_version_in_kind() {
    let service = start().await;
    let body = golden!("soap12_acquire_license");
    let post = |action: &'static str, body: String| {
        let head = format!(
            "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nContent-Type: application/soap+xml; \
             charset=utf-8; action=\"http://microsoft.com/DRM/LicensingService/{action}\""
        );
        let service = &service;
        async move { service.send(&head, body.as_bytes()).await }
    };
    let answer = post("AcquireLicense", body.to_owned()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/soap+xml; charset=utf-8"));
    let document = Document::parse(&answer.body, &LIMITS).unwrap();
    assert_eq!(document.root().namespace(), SoapVersion::V1_2.namespace());
    let answer = post("AcquirePreLicense", body.to_owned()).await;
    assert_eq!(answer.status, 500);
    let document = Document::parse(&answer.body, &LIMITS).unwrap();
    assert_eq!(down(&document, &["Body", "Fault", "Code", "Value"]).text(), "soap:Receiver");
}

#[tokio::test]
async fn paths_methods_types_and_sizes_are_checked() {
    let service = start().await;
    for path in ["/", "/_wmcs/licensing/other.asmx", "/_wmcs/licensing%2flicense.asmx", "/simulator/other"] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
    }
    let page = service.get("/_wmcs/certification/ServerCertification.asmx?wsdl").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ServerCertificationWebService"));
    assert_eq!(service.get("/_wmcs/licensing/").await.status, 200);
    assert_eq!(service.get("/_wmcs/GetRmsoUri.aspx").await.text(), "https://simulated.rms.example.net");
    let put = service.send("PUT /_wmcs/licensing/license.asmx HTTP/1.1", b"").await;
    assert_eq!(put.status, 405);
    assert!(put.head.contains("allow: get, head, post"));
    assert_eq!(service.send("POST /_wmcs/licensing HTTP/1.1", b"").await.status, 405);
    let head = "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nContent-Type: text/plain";
    assert_eq!(service.send(head, b"x").await.status, 415);
    let large = " ".repeat(BODY_BYTES_MAX);
    let answer = service.call(Operation::AcquireLicense, namespace::LICENSING, &large).await;
    assert_eq!(answer.status, 500);
    // Not a byte of the body is needed to refuse it.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nHost: s\r\nContent-Type: text/xml\r\n";
    stream.write_all(format!("{head}Content-Length: 16777217\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    // Of a body without a length, one byte too much is needed.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream
        .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n1000001\r\n").as_bytes())
        .await
        .unwrap();
    stream.write_all(&vec![b' '; BODY_BYTES_MAX + 1]).await.unwrap();
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    assert_eq!(service.counts.snapshot().total, 1);
}

#[tokio::test]
async fn records_who_sent_what() {
    let service = start().await;
    let (operation, body) = (Operation::GetServerInfo, golden!("exchange_get_server_info"));
    let (path, action) = (operation.endpoints()[0].path(), operation.action(namespace::SERVER));
    let id = "00000000000000000000000000000007";
    for node in ["n1", "n2"] {
        let headers = format!(
            "\r\nx-rmsc-request-id: {id}\r\nx-rmsc-relay-node: {node}\r\nx-rmsc-front-node: n3\
             \r\nx-rmsc-caller-sid: S-1-5-21-1\r\nx-rmsc-entry-sid: S-1-5-21-2\r\nx-rmsc-role: exchange"
        );
        assert_eq!(service.post(path, &action, &headers, body).await.status, 200);
    }
    service.post(path, &action, "", body).await;
    let requests = service.get("/simulator/requests").await;
    assert!(requests.head.contains("content-type: application/json"));
    let found: serde_json::Value = serde_json::from_slice(&requests.body).unwrap();
    let expected = serde_json::json!({
        "total": 3,
        "by_node": {"n1": 1, "n2": 1, "none": 1},
        "by_operation": {"get_server_info": 3},
        "by_role": {"exchange": 2, "none": 1},
        "by_front": {"n3": 2, "none": 1},
        "by_caller": {"S-1-5-21-1": 2, "none": 1},
        "by_entry": {"S-1-5-21-2": 2, "none": 1},
        "by_fault": {},
        "without_id": 1,
        "duplicates": {id: 2},
        "duplicate_requests": 1,
    });
    assert_eq!(found, expected);
    let seen = service.get(&format!("/simulator/requests/{id}")).await;
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let found: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(found, serde_json::json!({"times": 2, "nodes": ["n1", "n2"], "sha256": digest}));
    let never = service.get("/simulator/requests/8").await;
    assert_eq!(never.text(), "{\"times\":0,\"nodes\":[],\"sha256\":null}");
    assert_eq!(service.send("POST /simulator/reset HTTP/1.1", b"").await.status, 200);
    assert_eq!(service.send("DELETE /simulator/requests HTTP/1.1", b"").await.status, 405);
    assert_eq!(service.counts.snapshot(), Snapshot::default());
}

#[tokio::test]
async fn every_sample_is_answered() {
    let service = start().await;
    for sample in sample::Kind::ALL.into_iter().flat_map(sample::requests) {
        let head = format!(
            "POST {} HTTP/1.1\r\nContent-Type: {}\r\nSOAPAction: {}",
            sample.path, sample.content_type, sample.soap_action
        );
        let answer = service.send(&head, &sample.body).await;
        answer.parse(sample.operation, sample.operation.namespaces()[0]);
    }
    assert_eq!(service.counts.snapshot().total, 8);
}

#[tokio::test]
async fn drains_with_an_idle_connection_open() {
    let service = start().await;
    let mut idle = TcpStream::connect(service.address).await.unwrap();
    idle.write_all(b"GET /_wmcs/licensing HTTP/1.1\r\nHost: s\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    idle.read_exact(&mut status).await.unwrap();
    service.tasks.drain(Duration::from_secs(5)).await.unwrap();
    assert!(TcpStream::connect(service.address).await.is_err());
}

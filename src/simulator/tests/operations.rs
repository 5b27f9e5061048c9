//! What each operation answers.

use super::*;

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

//! Versions that do not fit, what is no request, and the other version of SOAP.

use super::*;

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

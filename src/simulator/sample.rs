//! Requests as the three kinds of servers send them, for lab traffic. Certificates are of real
//! size and simulated.

use crate::rms::{Operation, SoapVersion, envelope_around, namespace};
use bytes::Bytes;

/// A server that calls the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exchange, with its own SOAP client.
    Exchange,
    /// SharePoint with MSIPC.
    SharePoint,
    /// File Classification Infrastructure with MSDRM.
    FileServer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Exchange, Kind::SharePoint, Kind::FileServer];
}

/// A request to send by POST.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it asks for.
    pub operation: Operation,
    /// Where to.
    pub path: &'static str,
    /// The value of `SOAPAction`, in quotes.
    pub soap_action: String,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The envelope.
    pub body: Bytes,
}

/// What a server of this kind sends, in the order in which it starts.
/// FindServiceLocationsForUser is not among them: it never comes as far as the service.
#[must_use]
pub fn requests(kind: Kind) -> Vec<Sample> {
    match kind {
        Kind::Exchange => {
            vec![server_info(), certify(), pre_license(), license(Order::LicenseeFirst, "1.1.0.0")]
        }
        Kind::SharePoint => vec![client_licensor_cert(), license(Order::IssuanceFirst, "1.0.0.0")],
        Kind::FileServer => vec![template_information(), issuance_license()],
    }
}

#[derive(Clone, Copy)]
enum Order {
    LicenseeFirst,
    IssuanceFirst,
}

fn server_info() -> Sample {
    let types = ["ServerFeatureInfo", "VersionInfo"]
        .map(|kind| format!("<ServerInfoRequest><Type>{kind}</Type></ServerInfoRequest>"))
        .concat();
    sample(Operation::GetServerInfo, "", &format!("<requests>{types}</requests>"))
}

fn certify() -> Sample {
    let chain = certificates(5, CERTIFICATE_BYTES);
    let params =
        format!("<MachineCertificateChain>{chain}</MachineCertificateChain><Persistent>true</Persistent>");
    sample(Operation::Certify, "1.1.0.0", &format!("<requestParams>{params}</requestParams>"))
}

fn pre_license() -> Sample {
    let identities: String =
        ["anna", "bob", "carol"].map(|name| format!("<string>{name}@example.com</string>")).concat();
    let license = certificates(1, LICENSE_BYTES);
    let params = format!(
        "<LicenseeIdentities>{identities}</LicenseeIdentities><IssuanceLicense>{license}</IssuanceLicense>"
    );
    sample(Operation::AcquirePreLicense, "1.1.0.0", &request_params("AcquirePreLicenseParams", &params))
}

fn license(order: Order, version: &str) -> Sample {
    let licensee = certificates(5, CERTIFICATE_BYTES);
    let license = certificates(1, LICENSE_BYTES) + &certificates(1, CERTIFICATE_BYTES);
    let licensee = format!("<LicenseeCerts>{licensee}</LicenseeCerts>");
    let license = format!("<IssuanceLicense>{license}</IssuanceLicense>");
    let params = match order {
        Order::LicenseeFirst => licensee + &license,
        Order::IssuanceFirst => license + &licensee,
    };
    sample(Operation::AcquireLicense, version, &request_params("AcquireLicenseParams", &params))
}

fn client_licensor_cert() -> Sample {
    let chain = certificates(5, CERTIFICATE_BYTES);
    let params =
        request_params("GetClientLicensorCertParams", &format!("<PersonaCerts>{chain}</PersonaCerts>"));
    sample(Operation::GetClientLicensorCert, "1.0.0.0", &params)
}

fn template_information() -> Sample {
    sample(Operation::AcquireTemplateInformation, "1.0.0.0", "")
}

fn issuance_license() -> Sample {
    let license = xrml(LICENSE_BYTES);
    let params = format!("<UnsignedIssuanceLicense>{license}</UnsignedIssuanceLicense>");
    sample(
        Operation::AcquireIssuanceLicense,
        "1.0.0.0",
        &request_params("AcquireIssuanceLicenseParams", &params),
    )
}

fn sample(operation: Operation, version: &str, content: &str) -> Sample {
    let namespace = operation.namespaces().first().copied().unwrap_or(namespace::SERVER);
    let name = operation.name();
    let header = if operation.has_version_data() {
        format!(
            "<VersionData xmlns=\"{namespace}\"><MinimumVersion>{version}</MinimumVersion>\
             <MaximumVersion>{version}</MaximumVersion></VersionData>"
        )
    } else {
        String::new()
    };
    let body = format!("<{name} xmlns=\"{namespace}\">{content}</{name}>");
    Sample {
        operation,
        path: operation.endpoints().first().map_or("/", |endpoint| endpoint.path()),
        soap_action: format!("\"{}\"", operation.action(namespace)),
        content_type: SoapVersion::V1_1.content_type(),
        body: envelope_around(SoapVersion::V1_1, &header, &body).into(),
    }
}

fn request_params(name: &str, content: &str) -> String {
    format!("<RequestParams><{name}>{content}</{name}></RequestParams>")
}

fn certificates(count: usize, bytes: usize) -> String {
    format!("<Certificate>{}</Certificate>", xrml(bytes)).repeat(count)
}

fn xrml(bytes: usize) -> String {
    let value = "c2FtcGxl".repeat(bytes / 8);
    format!(
        "<XrML xmlns=\"\" version=\"1.2\"><BODY type=\"LICENSE\" version=\"3.0\"><DESCRIPTOR>\
         <OBJECT type=\"Sample\"><NAME>simulated</NAME></OBJECT></DESCRIPTOR></BODY><SIGNATURE>\
         <VALUE encoding=\"base64\">{value}</VALUE></SIGNATURE></XrML>"
    )
}

/// As measured on the examples of [MS-RMPR] 4.5, with keys of twice the length.
const CERTIFICATE_BYTES: usize = 5_600;
const LICENSE_BYTES: usize = 16_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rms::agreement::{check_agreement, content_type};
    use crate::rms::envelope::{Inspection, inspect};
    use crate::rms::route;

    #[test]
    fn every_sample_is_what_it_says() {
        for sample in Kind::ALL.into_iter().flat_map(requests) {
            let Ok(Inspection::Read(inspected)) = inspect(&sample.body, true) else {
                panic!("cannot read {}", sample.operation)
            };
            assert_eq!(inspected.operation, sample.operation);
            let content_type = content_type(Some(sample.content_type)).unwrap();
            let endpoint = route(sample.path).unwrap();
            check_agreement(endpoint, Some(&sample.soap_action), &content_type, &inspected).unwrap();
        }
    }
}

//! Certificates and licenses that look like XrML from outside and say that they are simulated.

use crate::rms::escape;

/// What a certificate is for. The chains are those of [MS-RMPR] 2.2.9.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rights account certificate.
    RightsAccount,
    /// Client licensor certificate.
    ClientLicensor,
    /// Publishing license.
    PublishingLicense,
    /// Use license.
    UseLicense,
    /// Server licensor certificate.
    ServerLicensor,
    EnrolmentService,
    EnrolmentAuthority,
    CertificationAuthority,
    /// A rights policy template; not in a chain.
    Template,
}

/// A leaf with the chain of the server behind it: five certificates.
pub(super) fn chain(tenant_url: &str, leaf: Kind, subject: &str) -> String {
    wrapped(tenant_url, leaf, subject) + &server_chain(tenant_url)
}

/// The server licensor certificate and what it is signed by: four certificates.
pub(super) fn server_chain(tenant_url: &str) -> String {
    let kinds = [
        Kind::ServerLicensor,
        Kind::EnrolmentService,
        Kind::EnrolmentAuthority,
        Kind::CertificationAuthority,
    ];
    kinds.map(|kind| wrapped(tenant_url, kind, "simulated")).concat()
}

/// A leaf signed online: it and the server licensor certificate.
pub(super) fn short_chain(tenant_url: &str, leaf: Kind, subject: &str) -> String {
    wrapped(tenant_url, leaf, subject) + &wrapped(tenant_url, Kind::ServerLicensor, "simulated")
}

/// One certificate as an item of an array.
pub(super) fn wrapped(tenant_url: &str, kind: Kind, subject: &str) -> String {
    format!("<Certificate>{}</Certificate>", xrml(tenant_url, kind, subject))
}

/// One certificate. Its root has no prefix and no namespace: Exchange tests the written name. Its
/// distribution point is the tenant, which Exchange compares with its own settings. The id is new
/// each time, as keys of the real service are.
pub(super) fn xrml(tenant_url: &str, kind: Kind, subject: &str) -> String {
    let (purpose, id) = (kind.purpose(), rand::random::<u128>());
    let (subject, tenant_url) = (escape(subject), escape(tenant_url));
    let signature = "c2ltdWxhdGVk".repeat(SIGNATURE_REPEATS);
    format!(
        "<XrML xmlns=\"\" version=\"1.2\"><BODY type=\"LICENSE\" version=\"3.0\">\
         <ISSUEDTIME>2026-01-01T00:00</ISSUEDTIME><DESCRIPTOR><OBJECT type=\"Simulated {purpose}\">\
         <ID type=\"MS-GUID\">{{{id:032x}}}</ID><NAME>{subject}</NAME></OBJECT></DESCRIPTOR>\
         <DISTRIBUTIONPOINT><OBJECT type=\"Activation\"><ID type=\"MS-GUID\">{{{id:032x}}}</ID>\
         <NAME>Simulated service</NAME><ADDRESS type=\"URL\">{tenant_url}/_wmcs/certification</ADDRESS>\
         </OBJECT></DISTRIBUTIONPOINT></BODY><SIGNATURE><ALGORITHM>SIMULATED</ALGORITHM>\
         <VALUE encoding=\"base64\" size=\"2048\">{signature}</VALUE></SIGNATURE></XrML>"
    )
}

impl Kind {
    fn purpose(self) -> &'static str {
        match self {
            Kind::RightsAccount => "Group-Identity-Credential",
            Kind::ClientLicensor => "Client-Licensor-Certificate",
            Kind::PublishingLicense => "Publishing-License",
            Kind::UseLicense => "Use-License",
            Kind::ServerLicensor => "Server-Licensor-Certificate",
            Kind::EnrolmentService => "Enrolment-Service",
            Kind::EnrolmentAuthority => "Enrolment-CA",
            Kind::CertificationAuthority => "CA",
            Kind::Template => "Template",
        }
    }
}

/// Makes a certificate some 3 KB, as real ones are.
const SIGNATURE_REPEATS: usize = 200;

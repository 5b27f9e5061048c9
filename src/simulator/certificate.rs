//! Certificates and licenses in the shapes of [MS-RMPR] 2.2.9, chained and signed, and marked as simulated.

use super::licensor::{Holder, Licensor};
use crate::rms::escape;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

/// What a certificate is for. The chains are those of [MS-RMPR] 2.2.9.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rights account certificate.
    RightsAccount,
    /// The same for a few minutes.
    TemporaryRightsAccount,
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

/// Makes certificates for one tenant.
pub(super) struct Mint<'a> {
    pub(super) licensor: &'a Licensor,
    pub(super) tenant_url: &'a str,
}

impl Mint<'_> {
    /// A leaf with the chain of the server behind it: five certificates.
    pub(super) fn chain(&self, leaf: Kind, subject: &str) -> String {
        self.wrapped(leaf, subject) + self.server_chain()
    }

    /// The server licensor certificate and what it is signed by: four certificates, the same in a whole run.
    pub(super) fn server_chain(&self) -> &str {
        let kinds = [
            Kind::ServerLicensor,
            Kind::EnrolmentService,
            Kind::EnrolmentAuthority,
            Kind::CertificationAuthority,
        ];
        let make = || kinds.map(|kind| self.wrapped(kind, "simulated")).concat();
        self.licensor.server_chain.get_or_init(make)
    }

    /// A leaf signed online: it and the server licensor certificate.
    pub(super) fn short_chain(&self, leaf: Kind, subject: &str) -> String {
        let chain = self.server_chain();
        let end = chain.find(CERTIFICATE_END).map_or(chain.len(), |at| at + CERTIFICATE_END.len());
        self.wrapped(leaf, subject) + chain.get(..end).unwrap_or(chain)
    }

    /// One certificate as an item of an array.
    pub(super) fn wrapped(&self, kind: Kind, subject: &str) -> String {
        format!("<Certificate>{}{CERTIFICATE_END}", self.xrml(kind, subject))
    }

    /// One certificate. Its root has no prefix and no namespace: Exchange tests the written name. Its
    /// distribution point is the tenant, which Exchange compares with its own settings. The id is new
    /// each time, as keys of the real service are.
    pub(super) fn xrml(&self, kind: Kind, subject: &str) -> String {
        let body = self.body(kind, subject);
        let signature = self.licensor.signature(kind.issuer(), &body);
        let purpose = kind.purpose().map(|it| format!(" purpose=\"{it}\"")).unwrap_or_default();
        format!("<XrML xmlns=\"\" version=\"1.2\"{purpose}>{body}{signature}</XrML>")
    }

    fn body(&self, kind: Kind, subject: &str) -> String {
        let (now, id, name) = (OffsetDateTime::now_utc(), guid(), escape(subject));
        let name = match kind {
            // [MS-RMPR] 2.2.9.7: the name for each language.
            Kind::Template => format!("LCID 1033:NAME Simulated template {name}:DESCRIPTION Simulated;"),
            _ => name.into_owned(),
        };
        let validity = kind.life().map(|life| {
            let (from, until) = (minute(now - Duration::days(1).min(life)), minute(now + life));
            format!("<VALIDITYTIME><FROM>{from}</FROM><UNTIL>{until}</UNTIL></VALIDITYTIME>")
        });
        format!(
            "<BODY type=\"{}\" version=\"3.0\"><ISSUEDTIME>{}</ISSUEDTIME>{}<DESCRIPTOR>\
             <OBJECT type=\"{}\"><ID type=\"MS-GUID\">{id}</ID><NAME>{name}</NAME></OBJECT></DESCRIPTOR>\
             <ISSUER>{}{}<SECURITYLEVEL name=\"Server-Version\" value=\"6.3.0.0\"/>\
             <SECURITYLEVEL name=\"Server-SKU\" value=\"Simulated\"/></ISSUER>{}{}{}</BODY>",
            kind.body_type(),
            minute(now),
            validity.unwrap_or_default(),
            kind.object_type(),
            self.object(kind.issuer(), ""),
            self.licensor.public_key(kind.issuer()),
            self.distribution_points(kind),
            self.principals(kind, subject),
            work(kind),
        )
    }

    /// Where the licenses come from; a tenant's address is the same in all of them.
    fn distribution_points(&self, kind: Kind) -> String {
        let (point, path) = match kind {
            Kind::RightsAccount | Kind::TemporaryRightsAccount => ("Activation", "certification"),
            Kind::ClientLicensor
            | Kind::PublishingLicense
            | Kind::UseLicense
            | Kind::ServerLicensor
            | Kind::Template => ("License-Acquisition-URL", "licensing"),
            Kind::EnrolmentService | Kind::EnrolmentAuthority | Kind::CertificationAuthority => {
                return String::new();
            }
        };
        format!(
            "<DISTRIBUTIONPOINT><OBJECT type=\"{point}\"><ID type=\"MS-GUID\">{SERVER_ID}</ID>\
             <NAME>Simulated service</NAME><ADDRESS type=\"URL\">{}/_wmcs/{path}</ADDRESS></OBJECT>\
             </DISTRIBUTIONPOINT>",
            escape(self.tenant_url)
        )
    }

    /// Whose key it is about.
    fn principals(&self, kind: Kind, subject: &str) -> String {
        let holder = kind.subject();
        let (object, key) = (self.object(holder, subject), self.licensor.public_key(holder));
        let levels = match kind {
            Kind::RightsAccount | Kind::ClientLicensor | Kind::UseLicense => levels("Persistent"),
            Kind::TemporaryRightsAccount => levels("Temporary"),
            _ => String::new(),
        };
        let bits = match kind {
            Kind::RightsAccount
            | Kind::TemporaryRightsAccount
            | Kind::ClientLicensor
            | Kind::PublishingLicense
            | Kind::UseLicense => format!(
                "<ENABLINGBITS type=\"sealed-key-v2\"><VALUE encoding=\"base64\" size=\"2048\">{}</VALUE>\
                 </ENABLINGBITS>",
                "c2ltdWxhdGVk".repeat(SEALED_REPEATS)
            ),
            _ => String::new(),
        };
        format!(
            "<ISSUEDPRINCIPALS><PRINCIPAL internal-id=\"1\">{object}{key}{levels}{bits}</PRINCIPAL>\
             </ISSUEDPRINCIPALS>"
        )
    }

    fn object(&self, holder: Holder, subject: &str) -> String {
        let (kind, id, name) = match holder {
            Holder::CertificationAuthority => ("MS-DRM-CA", "simulated-ca", "Simulated CA"),
            Holder::EnrolmentAuthority => ("MS-DRM-CA", "simulated-enrolment-ca", "Simulated enrolment CA"),
            Holder::EnrolmentService => {
                ("MS-DRM-Enrollment", "simulated-enrolment", "Simulated enrolment service")
            }
            Holder::Server => {
                return format!(
                    "<OBJECT type=\"MS-DRM-Server\"><ID type=\"MS-GUID\">{SERVER_ID}</ID>\
                     <NAME>Simulated service</NAME><ADDRESS type=\"URL\">{}/_wmcs</ADDRESS></OBJECT>",
                    escape(self.tenant_url)
                );
            }
            Holder::Principal => {
                let subject = escape(subject);
                return format!(
                    "<OBJECT type=\"Group-Identity\"><ID type=\"Windows\">{subject}</ID>\
                     <NAME>{subject}</NAME></OBJECT>"
                );
            }
        };
        format!("<OBJECT type=\"{kind}\"><ID type=\"ascii-tag\">{id}</ID><NAME>{name}</NAME></OBJECT>")
    }
}

/// What may be done with which content.
fn work(kind: Kind) -> String {
    let right = match kind {
        Kind::ClientLicensor => "ISSUE",
        Kind::PublishingLicense | Kind::UseLicense | Kind::Template => "VIEW",
        _ => return String::new(),
    };
    let data = match kind {
        Kind::PublishingLicense => {
            "<AUTHENTICATEDDATA id=\"Encrypted-Rights-Data\">c2ltdWxhdGVk</AUTHENTICATEDDATA>"
        }
        _ => "",
    };
    format!(
        "<WORK><OBJECT type=\"Simulated\"><ID type=\"MS-GUID\">{}</ID></OBJECT><RIGHTSGROUP name=\"Main-Rights\">\
         <RIGHTSLIST><RIGHT name=\"{right}\"><CONDITIONLIST><ACCESS><PRINCIPAL internal-id=\"1\"/></ACCESS>\
         </CONDITIONLIST></RIGHT></RIGHTSLIST></RIGHTSGROUP></WORK>{data}",
        guid()
    )
}

fn levels(credential: &str) -> String {
    format!(
        "<SECURITYLEVEL name=\"Group-Identity-Credential-Type\" value=\"{credential}\"/>\
         <SECURITYLEVEL name=\"Group-Identity-Policy\" value=\"Group-Identity-Credential\"/>\
         <SECURITYLEVEL name=\"Group-Identity-Type\" value=\"Group\"/>"
    )
}

impl Kind {
    fn body_type(self) -> &'static str {
        match self {
            Kind::PublishingLicense | Kind::Template => "Microsoft Rights Label",
            _ => "LICENSE",
        }
    }

    fn object_type(self) -> &'static str {
        match self {
            Kind::RightsAccount | Kind::TemporaryRightsAccount => "Group-Identity-Credential",
            Kind::ClientLicensor => "Client-Licensor-Certificate",
            Kind::PublishingLicense => "Publishing-License",
            Kind::UseLicense => "Content-License",
            Kind::ServerLicensor => "Server-Licensor-Certificate",
            Kind::EnrolmentService => "DRM-Enrollment-Service-Certificate",
            Kind::EnrolmentAuthority | Kind::CertificationAuthority => "DRM-CA-Certificate",
            Kind::Template => "Manager-Template",
        }
    }

    fn purpose(self) -> Option<&'static str> {
        match self {
            Kind::UseLicense => Some("Content-License"),
            Kind::ClientLicensor => Some("Client-Licensor-Certificate"),
            Kind::ServerLicensor => Some("Server-Licensor-Certificate"),
            _ => None,
        }
    }

    fn issuer(self) -> Holder {
        match self {
            Kind::ServerLicensor => Holder::EnrolmentService,
            Kind::EnrolmentService => Holder::EnrolmentAuthority,
            Kind::EnrolmentAuthority | Kind::CertificationAuthority => Holder::CertificationAuthority,
            _ => Holder::Server,
        }
    }

    fn subject(self) -> Holder {
        match self {
            Kind::RightsAccount | Kind::TemporaryRightsAccount | Kind::ClientLicensor | Kind::UseLicense => {
                Holder::Principal
            }
            Kind::PublishingLicense | Kind::ServerLicensor | Kind::Template => Holder::Server,
            Kind::EnrolmentService => Holder::EnrolmentService,
            Kind::EnrolmentAuthority => Holder::EnrolmentAuthority,
            Kind::CertificationAuthority => Holder::CertificationAuthority,
        }
    }

    /// How long it can be used, if that ends ([MS-RMPR] 3.3.4.1: a temporary one for 15 minutes).
    fn life(self) -> Option<Duration> {
        match self {
            Kind::RightsAccount => Some(Duration::days(365)),
            Kind::TemporaryRightsAccount => Some(Duration::minutes(15)),
            _ => None,
        }
    }
}

/// A new id, in braces.
fn guid() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{{{}-{}-{}-{}-{}}}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn minute(time: OffsetDateTime) -> String {
    time.format(MINUTE).unwrap_or_default()
}

/// [MS-RMPR] 2.2.9.1.1.
const MINUTE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]");
const CERTIFICATE_END: &str = "</Certificate>";
const SERVER_ID: &str = "{5f2c0a51-73d4-4c5e-9d2b-4f1c00000000}";
/// As long as a key that is sealed with 2048 bits.
const SEALED_REPEATS: usize = 28;

//! The operations of the service in one table: where each is allowed, how large it may be, who may.

use super::pipeline::{Endpoint, Pipeline};
use std::fmt;
use std::time::Duration;

/// The target namespaces of the services ([MS-RMPR] 6).
pub mod namespace {
    /// Certify.
    pub const CERTIFICATION: &str = "http://microsoft.com/DRM/CertificationService";
    /// AcquireLicense and AcquirePreLicense.
    pub const LICENSING: &str = "http://microsoft.com/DRM/LicensingService";
    /// GetClientLicensorCert and AcquireIssuanceLicense.
    pub const PUBLISHING: &str = "http://microsoft.com/DRM/PublishingService";
    /// The services of `server.asmx`; by [MS-RMPR] 6.5 also FindServiceLocationsForUser.
    pub const SERVER: &str = "http://microsoft.com/DRM/ServerService";
    /// What clients and the cloud use for FindServiceLocationsForUser.
    pub const SERVICE_LOCATOR: &str = "http://microsoft.com/DRM/ServiceLocatorService";
    /// The two template operations.
    pub const TEMPLATE_DISTRIBUTION: &str = "http://microsoft.com/DRM/TemplateDistributionService";
}

/// A web method of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Gives an account its rights account certificate ([MS-RMPR] 3.3.4.1).
    Certify,
    /// Gives an account the certificate it publishes with ([MS-RMPR] 3.5.4.2).
    GetClientLicensorCert,
    /// Signs a publishing license online ([MS-RMPR] 3.5.4.1).
    AcquireIssuanceLicense,
    /// Gives use licenses ([MS-RMPR] 3.4.4.1).
    AcquireLicense,
    /// Gives use licenses for others, ahead of time ([MS-RMSI] 3.5.4.1).
    AcquirePreLicense,
    /// Lists templates and their hashes ([MS-RMPR] 3.4.4.2).
    AcquireTemplateInformation,
    /// Gives templates ([MS-RMPR] 3.4.4.3).
    AcquireTemplates,
    /// Tells version, features and locations ([MS-RMPR] 3.7.4.3).
    GetServerInfo,
    /// Gives the server licensor certificate chain ([MS-RMPR] 3.7.4.1).
    GetLicensorCertificate,
    /// Tells where services are, to servers ([MS-RMPRS] 3.2.4.1).
    FindServiceLocations,
    /// Tells where services are, to an account ([MS-RMPR] 3.7.4.2).
    FindServiceLocationsForUser,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 11] = [
        Operation::Certify,
        Operation::GetClientLicensorCert,
        Operation::AcquireIssuanceLicense,
        Operation::AcquireLicense,
        Operation::AcquirePreLicense,
        Operation::AcquireTemplateInformation,
        Operation::AcquireTemplates,
        Operation::GetServerInfo,
        Operation::GetLicensorCertificate,
        Operation::FindServiceLocations,
        Operation::FindServiceLocationsForUser,
    ];

    /// The operation whose request is this element.
    #[must_use]
    pub fn from_element(namespace: &str, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name && operation.namespaces().contains(&namespace))
    }

    /// The name of its request element.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The label of metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// The namespaces its request may be in; all have one but FindServiceLocationsForUser.
    #[must_use]
    pub fn namespaces(self) -> &'static [&'static str] {
        self.row().namespaces
    }

    /// The SOAPAction of its request in a namespace.
    #[must_use]
    pub fn action(self, namespace: &str) -> String {
        format!("{namespace}/{}", self.name())
    }

    /// Where it is allowed.
    #[must_use]
    pub fn endpoints(self) -> &'static [Endpoint] {
        self.row().endpoints
    }

    /// The pipeline it belongs to.
    #[must_use]
    pub fn pipeline(self) -> Pipeline {
        self.row().pipeline
    }

    /// The largest request body, in bytes.
    #[must_use]
    pub fn body_bytes_max(self) -> usize {
        self.row().body_bytes_max
    }

    /// What a second try does, when it is not known whether the first one arrived.
    #[must_use]
    pub fn retry(self) -> Retry {
        self.row().retry
    }

    /// Whether only an entry with the Exchange role may call it: it acts for other accounts.
    #[must_use]
    pub fn needs_exchange_role(self) -> bool {
        self == Operation::AcquirePreLicense
    }

    /// Whether its messages carry a VersionData header ([MS-RMPR] 6.5: all but GetServerInfo).
    #[must_use]
    pub fn has_version_data(self) -> bool {
        self != Operation::GetServerInfo
    }

    /// The span in which it must be answered: the clients give up after 30 seconds, and must
    /// read our answer before.
    #[must_use]
    pub fn deadline(self) -> Duration {
        Duration::from_secs(25)
    }

    fn row(self) -> Row {
        match self {
            Operation::Certify => Row {
                name: "Certify",
                word: "certify",
                endpoints: &[Endpoint::ServerCertification, Endpoint::Certification],
                retry: Retry::CreatesOnce,
                ..Row::of(Pipeline::Certification, &[namespace::CERTIFICATION], CHAINS_BYTES_MAX)
            },
            Operation::GetClientLicensorCert => Row {
                name: "GetClientLicensorCert",
                word: "get_client_licensor_cert",
                endpoints: &[Endpoint::Publish],
                retry: Retry::AnswerDiffers,
                ..Row::of(Pipeline::Publishing, &[namespace::PUBLISHING], CHAINS_BYTES_MAX)
            },
            Operation::AcquireIssuanceLicense => Row {
                name: "AcquireIssuanceLicense",
                word: "acquire_issuance_license",
                endpoints: &[Endpoint::Publish],
                retry: Retry::AnswerDiffers,
                ..Row::of(Pipeline::Publishing, &[namespace::PUBLISHING], LICENSES_BYTES_MAX)
            },
            Operation::AcquireLicense => Row {
                name: "AcquireLicense",
                word: "acquire_license",
                endpoints: &[Endpoint::License],
                ..Row::of(Pipeline::Licensing, &[namespace::LICENSING], LICENSES_BYTES_MAX)
            },
            Operation::AcquirePreLicense => Row {
                name: "AcquirePreLicense",
                word: "acquire_pre_license",
                endpoints: &[Endpoint::License],
                ..Row::of(Pipeline::Licensing, &[namespace::LICENSING], LICENSES_BYTES_MAX)
            },
            Operation::AcquireTemplateInformation => {
                Row { name: "AcquireTemplateInformation", word: "acquire_template_information", ..TEMPLATES }
            }
            Operation::AcquireTemplates => {
                Row { name: "AcquireTemplates", word: "acquire_templates", ..TEMPLATES }
            }
            Operation::GetServerInfo => Row { name: "GetServerInfo", word: "get_server_info", ..SERVER },
            Operation::GetLicensorCertificate => {
                Row { name: "GetLicensorCertificate", word: "get_licensor_certificate", ..SERVER }
            }
            Operation::FindServiceLocations => {
                Row { name: "FindServiceLocations", word: "find_service_locations", ..SERVER }
            }
            Operation::FindServiceLocationsForUser => Row {
                name: "FindServiceLocationsForUser",
                word: "find_service_locations_for_user",
                endpoints: &[Endpoint::CertificationServiceLocator, Endpoint::LicensingServiceLocator],
                ..Row::of(
                    Pipeline::ServiceLocation,
                    &[namespace::SERVICE_LOCATOR, namespace::SERVER],
                    SMALL_BYTES_MAX,
                )
            },
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a second try does. Every operation may be tried twice; more is nobody's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing that the first one did not do.
    Same,
    /// The answer has another key or signature; the caller keeps the one it gets.
    AnswerDiffers,
    /// The first try made something; the second finds it.
    CreatesOnce,
}

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    word: &'static str,
    pipeline: Pipeline,
    namespaces: &'static [&'static str],
    endpoints: &'static [Endpoint],
    body_bytes_max: usize,
    retry: Retry,
}

impl Row {
    const fn of(pipeline: Pipeline, namespaces: &'static [&'static str], body_bytes_max: usize) -> Row {
        Row { name: "", word: "", pipeline, namespaces, endpoints: &[], body_bytes_max, retry: Retry::Same }
    }
}

const TEMPLATES: Row = Row {
    endpoints: &[Endpoint::TemplateDistribution],
    ..Row::of(Pipeline::TemplateDistribution, &[namespace::TEMPLATE_DISTRIBUTION], SMALL_BYTES_MAX)
};

const SERVER: Row = Row {
    endpoints: &[Endpoint::CertificationServer, Endpoint::LicensingServer],
    ..Row::of(Pipeline::Server, &[namespace::SERVER], SMALL_BYTES_MAX)
};

/// A publishing license may be 8 MiB ([MS-RMPR] note 43), a chain of persona certificates 3 MB.
const LICENSES_BYTES_MAX: usize = 16 << 20;
/// 100 certificates of 30,720 bytes ([MS-RMPR] note 42) with their envelope.
const CHAINS_BYTES_MAX: usize = 4 << 20;
/// Names and numbers only: the largest, 200 template ids, is 20 KB.
const SMALL_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_filled_in() {
        for operation in Operation::ALL {
            assert_eq!(format!("{operation:?}"), operation.name());
            assert!(!operation.endpoints().is_empty(), "{operation}");
            assert!(operation.body_bytes_max() <= 16 << 20, "{operation}");
            assert!(
                operation.endpoints().iter().all(|e| e.pipeline() == operation.pipeline()),
                "{operation}"
            );
        }
        let words: BTreeSet<_> = Operation::ALL.into_iter().map(Operation::word).collect();
        assert_eq!(words.len(), Operation::ALL.len());
    }

    #[test]
    fn a_request_element_names_its_operation() {
        for operation in Operation::ALL {
            for namespace in operation.namespaces() {
                assert_eq!(Operation::from_element(namespace, operation.name()), Some(operation));
            }
        }
        assert_eq!(Operation::from_element(namespace::LICENSING, "Certify"), None);
        assert_eq!(Operation::from_element(namespace::CERTIFICATION, "certify"), None);
        assert_eq!(Operation::from_element("", "Certify"), None);
    }

    #[test]
    fn only_acquire_pre_license_needs_the_exchange_role() {
        let needing: Vec<_> = Operation::ALL.into_iter().filter(|o| o.needs_exchange_role()).collect();
        assert_eq!(needing, [Operation::AcquirePreLicense]);
    }
}

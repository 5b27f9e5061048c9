//! The operations of the service in one table: where each is allowed, how large it may be, who may.

use super::pipeline::{Endpoint, Pipeline};
use super::shape::{self, Field, Kind};
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

    /// The operation that a SOAPAction names, quoted or not.
    #[must_use]
    pub fn from_action(action: &str) -> Option<Self> {
        let action = action.trim().trim_matches('"');
        let (namespace, name) = action.rsplit_once('/')?;
        Self::from_element(namespace, name)
    }

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

    /// How often it may be sent in all, when it is not known whether the first one arrived.
    #[must_use]
    pub fn attempts_max(self) -> u32 {
        match self.row().retry {
            Retry::Same | Retry::AnswerDiffers | Retry::CreatesOnce => 2,
        }
    }

    /// Whether its answer is kept for the caller, and given again while the service is away: it tells what the service
    /// is and has.
    #[must_use]
    pub fn is_kept(self) -> bool {
        self.row().is_kept
    }

    /// Whether only an entry with the Exchange role may call it: it acts for other accounts.
    #[must_use]
    pub fn needs_exchange_role(self) -> bool {
        self.row().exchange_only
    }

    /// Whether its messages carry a VersionData header ([MS-RMPR] 6.5: all but GetServerInfo).
    #[must_use]
    pub fn has_version_data(self) -> bool {
        self.row().version_data
    }

    /// The span in which it must be answered: the clients give up after 30 seconds, and must read our answer
    /// before. Exchange waits a second longer for each recipient of a batch.
    #[must_use]
    pub fn deadline(self, recipients: usize) -> Duration {
        let recipients = u32::try_from(recipients.min(RECIPIENTS_MAX)).unwrap_or(u32::MAX);
        ANSWER_WITHIN.saturating_add(self.row().more_for_each_recipient.saturating_mul(recipients))
    }

    /// The span in which it must be answered if it is not known how many recipients it has.
    #[must_use]
    pub fn deadline_max(self) -> Duration {
        self.deadline(RECIPIENTS_MAX)
    }

    /// The fields of its request.
    pub(super) fn request(self) -> &'static [Field] {
        self.row().request
    }

    /// What its `…Result` is.
    pub(super) fn result(self) -> Kind {
        self.row().result
    }

    /// The table.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    fn row(self) -> Row {
        match self {
            Operation::Certify => Row {
                name: "Certify",
                word: "certify",
                endpoints: &[Endpoint::ServerCertification, Endpoint::Certification],
                retry: Retry::CreatesOnce,
                request: shape::CERTIFY,
                result: shape::CERTIFY_RESULT,
                ..Row::of(Pipeline::Certification, &[namespace::CERTIFICATION], CHAINS_BYTES_MAX)
            },
            Operation::GetClientLicensorCert => Row {
                name: "GetClientLicensorCert",
                word: "get_client_licensor_cert",
                endpoints: &[Endpoint::Publish],
                retry: Retry::AnswerDiffers,
                request: shape::GET_CLIENT_LICENSOR_CERT,
                result: shape::GET_CLIENT_LICENSOR_CERT_RESULT,
                ..Row::of(Pipeline::Publishing, &[namespace::PUBLISHING], CHAINS_BYTES_MAX)
            },
            Operation::AcquireIssuanceLicense => Row {
                name: "AcquireIssuanceLicense",
                word: "acquire_issuance_license",
                endpoints: &[Endpoint::Publish],
                retry: Retry::AnswerDiffers,
                request: shape::ACQUIRE_ISSUANCE_LICENSE,
                result: shape::ACQUIRE_ISSUANCE_LICENSE_RESULT,
                ..Row::of(Pipeline::Publishing, &[namespace::PUBLISHING], LICENSES_BYTES_MAX)
            },
            Operation::AcquireLicense => Row {
                name: "AcquireLicense",
                word: "acquire_license",
                endpoints: &[Endpoint::License],
                request: shape::ACQUIRE_LICENSE,
                result: shape::ACQUIRE_LICENSE_RESULT,
                ..Row::of(Pipeline::Licensing, &[namespace::LICENSING], LICENSES_BYTES_MAX)
            },
            Operation::AcquirePreLicense => Row {
                name: "AcquirePreLicense",
                word: "acquire_pre_license",
                endpoints: &[Endpoint::License],
                exchange_only: true,
                more_for_each_recipient: Duration::from_secs(1),
                request: shape::ACQUIRE_PRE_LICENSE,
                result: shape::ACQUIRE_PRE_LICENSE_RESULT,
                ..Row::of(Pipeline::Licensing, &[namespace::LICENSING], LICENSES_BYTES_MAX)
            },
            Operation::AcquireTemplateInformation => Row {
                name: "AcquireTemplateInformation",
                word: "acquire_template_information",
                result: shape::ACQUIRE_TEMPLATE_INFORMATION_RESULT,
                ..TEMPLATES
            },
            Operation::AcquireTemplates => Row {
                name: "AcquireTemplates",
                word: "acquire_templates",
                request: shape::ACQUIRE_TEMPLATES,
                result: shape::ACQUIRE_TEMPLATES_RESULT,
                ..TEMPLATES
            },
            Operation::GetServerInfo => Row {
                name: "GetServerInfo",
                word: "get_server_info",
                is_kept: true,
                version_data: false,
                request: shape::GET_SERVER_INFO,
                result: Kind::Any,
                ..SERVER
            },
            Operation::GetLicensorCertificate => Row {
                name: "GetLicensorCertificate",
                word: "get_licensor_certificate",
                is_kept: true,
                result: shape::GET_LICENSOR_CERTIFICATE_RESULT,
                ..SERVER
            },
            Operation::FindServiceLocations => Row {
                name: "FindServiceLocations",
                word: "find_service_locations",
                request: shape::FIND_SERVICE_LOCATIONS,
                result: shape::FIND_SERVICE_LOCATIONS_RESULT,
                ..SERVER
            },
            Operation::FindServiceLocationsForUser => Row {
                name: "FindServiceLocationsForUser",
                word: "find_service_locations_for_user",
                endpoints: &[Endpoint::CertificationServiceLocator, Endpoint::LicensingServiceLocator],
                request: shape::FIND_SERVICE_LOCATIONS,
                result: shape::FIND_SERVICE_LOCATIONS_RESULT,
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

/// What a second try does.
#[derive(Clone, Copy)]
enum Retry {
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
    is_kept: bool,
    exchange_only: bool,
    version_data: bool,
    more_for_each_recipient: Duration,
    request: &'static [Field],
    result: Kind,
}

impl Row {
    const fn of(pipeline: Pipeline, namespaces: &'static [&'static str], body_bytes_max: usize) -> Row {
        Row {
            name: "",
            word: "",
            pipeline,
            namespaces,
            endpoints: &[],
            body_bytes_max,
            retry: Retry::Same,
            is_kept: false,
            exchange_only: false,
            version_data: true,
            more_for_each_recipient: Duration::ZERO,
            request: &[],
            result: Kind::Any,
        }
    }
}

const TEMPLATES: Row = Row {
    endpoints: &[Endpoint::TemplateDistribution],
    is_kept: true,
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
/// Exchange waits 30 s for an answer, and should see ours instead of its own time-out.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// The recipients of one message.
pub const RECIPIENTS_MAX: usize = 100;

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
    fn an_action_names_its_operation() {
        for operation in Operation::ALL {
            for namespace in operation.namespaces() {
                let action = operation.action(namespace);
                assert_eq!(Operation::from_action(&action), Some(operation));
                assert_eq!(Operation::from_action(&format!(" \"{action}\"")), Some(operation));
            }
        }
        for none in ["", "\"\"", "Certify", "http://microsoft.com/DRM/LicensingService/Certify"] {
            assert_eq!(Operation::from_action(none), None, "{none}");
        }
    }

    #[test]
    fn only_acquire_pre_license_needs_the_exchange_role_and_has_a_second_for_each_recipient() {
        for operation in Operation::ALL {
            let alone = operation == Operation::AcquirePreLicense;
            assert_eq!(operation.needs_exchange_role(), alone, "{operation}");
            let seconds = |recipients| operation.deadline(recipients).as_secs();
            let expected = if alone { [25, 28, 125, 125] } else { [25; 4] };
            assert_eq!([0, 3, 100, 1_000_000].map(seconds), expected, "{operation}");
        }
    }

    #[test]
    fn what_is_about_the_service_itself_may_be_kept() {
        let kept: Vec<_> = Operation::ALL.into_iter().filter(|operation| operation.is_kept()).collect();
        assert_eq!(
            kept,
            [
                Operation::AcquireTemplateInformation,
                Operation::AcquireTemplates,
                Operation::GetServerInfo,
                Operation::GetLicensorCertificate
            ]
        );
        let without: Vec<_> = Operation::ALL.into_iter().filter(|o| !o.has_version_data()).collect();
        assert_eq!(without, [Operation::GetServerInfo]);
    }
}

//! Where services are ([MS-RMPR] 3.7.4.2, [MS-RMPRS] 3.2.4.1): read here, and answered with our own URLs, so that
//! callers stay with the connector.

use super::SoapVersion;
use super::document::Document;
use super::malformed::Malformed;
use super::operation::Operation;
use super::request::Request;
use super::scanner::Limits;
use super::version::{BadVersion, Versions, version_data};
use super::write::{envelope_around, escape};

/// What somebody asks who wants to know where services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The service types, in their order and as they were written.
    pub service_types: Vec<String>,
    /// What its VersionData says.
    pub versions: Result<Versions, BadVersion>,
}

/// Reads a question: a message of FindServiceLocationsForUser or FindServiceLocations, which have the same fields.
///
/// # Errors
/// What is wrong with the message: it is read whole, with the limits of an inspection.
pub fn question(message: &[u8]) -> Result<Question, Malformed> {
    let document = Document::parse(message, &LIMITS)?;
    let request = Request::read(&document)?;
    let (Operation::FindServiceLocations | Operation::FindServiceLocationsForUser) =
        request.inspected.operation
    else {
        return Err(Malformed::Misplaced {
            found: request.element.name().to_owned(),
            place: "Body",
            expected: "a question where services are",
        });
    };
    let mut types = Vec::new();
    let names = request.element.children_named("ServiceNames");
    for requested in names.flat_map(|names| names.children_named("ServiceLocationRequest")) {
        let Some(service_type) = requested.child("Type") else { continue };
        types.push(service_type.text().trim().to_owned());
        if types.len() > TYPES_MAX {
            return Err(Malformed::TooMany { max: TYPES_MAX, what: "service types" });
        }
    }
    Ok(Question { service_types: types, versions: Versions::of(&request) })
}

/// A service type that is in no list ([MS-RMPR] 3.7.4.2.4.1). To be answered with the fault
/// [`INVALID_OPERATION`](super::fault::exception::INVALID_OPERATION).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{service_type:?} is not a service type")]
pub struct BadServiceType {
    service_type: String,
}

/// Every service type ([MS-RMPR] 3.7.4.2.4.1), and the one that the cloud has added.
pub(super) const SERVICE_TYPES: [&str; 12] = [
    "EnrollmentService",
    "LicensingService",
    "PublishingService",
    "CertificationService",
    "ActivationService",
    "PrecertificationService",
    "ServerService",
    "DrmRemoteDirectoryServices",
    "GroupExpansionService",
    "LicensingInternalService",
    "CertificationInternalService",
    "AdminV2Service",
];

/// The URL of a service for callers of the connector at `base` (`https://connector.example`);
/// nothing for a service that exists elsewhere only.
///
/// # Errors
/// [`BadServiceType`] for a type that does not exist at all.
pub fn service_url(base: &str, service_type: &str) -> Result<Option<String>, BadServiceType> {
    let base = base.strip_suffix('/').unwrap_or(base);
    match service_type {
        "CertificationInternalService" | "CertificationService" => {
            Ok(Some(format!("{base}/_wmcs/certification")))
        }
        "LicensingInternalService" | "LicensingService" => Ok(Some(format!("{base}/_wmcs/licensing"))),
        _ if SERVICE_TYPES.contains(&service_type) => Ok(None),
        _ => Err(BadServiceType { service_type: super::malformed::shorten(service_type) }),
    }
}

/// Where each of these services is for callers of the connector at `base`, as `operation` answers it: for accounts
/// ([MS-RMPR] 3.7.4.2) a service that is not here has no URL, and one that cannot be is a fault; for servers
/// ([MS-RMPRS] 3.2.4.1) both have an empty one. Exchange asks for types of its own.
///
/// # Errors
/// [`BadServiceType`], of an account's question.
pub fn service_locations(
    operation: Operation,
    base: &str,
    service_types: Vec<String>,
) -> Result<Vec<(String, Option<String>)>, BadServiceType> {
    let for_servers = operation == Operation::FindServiceLocations;
    let located = service_types.into_iter().map(|service_type| {
        let url = match service_url(base, &service_type) {
            Ok(url) if for_servers => Some(url.unwrap_or_default()),
            Err(_) if for_servers => Some(String::new()),
            other => other?,
        };
        Ok((service_type, url))
    });
    located.collect()
}

/// The whole answer: a URL, an empty one or none for each type that was asked for, in that order. `namespace` is
/// the request's ([`Inspected`](super::envelope::Inspected)).
#[must_use]
pub fn service_locations_response(
    operation: Operation,
    namespace: &str,
    soap: SoapVersion,
    locations: &[(String, Option<String>)],
) -> Vec<u8> {
    let mut result = String::new();
    for (service_type, url) in locations {
        result.push_str("<ServiceLocationResponse>");
        if let Some(url) = url {
            result.push_str(&format!("<URL>{}</URL>", escape(url)));
        }
        result.push_str(&format!("<Type>{}</Type></ServiceLocationResponse>", escape(service_type)));
    }
    let (header, namespace) = (version_data(namespace), escape(namespace));
    let body = format!(
        "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{result}</{operation}Result>\
         </{operation}Response>"
    );
    envelope_around(soap, &header, &body)
}

/// Clients ask for one to four.
const TYPES_MAX: usize = 64;

/// As for an inspection, and as many elements as 64 types and a large header need.
const LIMITS: Limits = Limits {
    depth_max: 64,
    elements_max: 2_000,
    attributes_max: 64,
    namespaces_max: 64,
    name_bytes_max: 256,
};

#[cfg(test)]
mod tests {
    use super::super::operation::namespace;
    use super::*;

    const MSIPC: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/requests/msipc_find_service_locations_for_user.xml"
    ));
    const MSDRM: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/requests/msdrm_find_service_locations_for_user.xml"
    ));

    fn request(types: usize) -> String {
        let types =
            "<ServiceLocationRequest><Type>LicensingService</Type></ServiceLocationRequest>".repeat(types);
        String::from_utf8(MSDRM.to_vec())
            .unwrap()
            .replace("<ServiceNames>", &format!("<ServiceNames>{types}"))
    }

    fn types(message: &[u8]) -> Result<Vec<String>, Malformed> {
        question(message).map(|question| question.service_types)
    }

    #[test]
    fn reads_the_types_of_both_clients() {
        assert_eq!(
            types(MSIPC).unwrap(),
            ["CertificationInternalService", "LicensingService", "ActivationService"]
        );
        assert_eq!(types(MSDRM).unwrap(), ["LicensingInternalService"]);
        let none = String::from_utf8(MSDRM.to_vec()).unwrap().replace("ServiceNames", "Other");
        assert!(types(none.as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn refuses_too_many_types_and_a_second_operation() {
        assert_eq!(types(request(63).as_bytes()).unwrap().len(), 64);
        assert_eq!(
            types(request(64).as_bytes()).unwrap_err().to_string(),
            "the message has more than 64 service types"
        );
        assert!(matches!(
            types(request(2_000).as_bytes()),
            Err(Malformed::TooMany { max: 2_000, what: "elements" })
        ));
        let one = String::from_utf8(MSDRM.to_vec()).unwrap();
        for (from, to) in [
            ("</Body>", "<Certify/></Body>"),
            ("</Body>", "</Body><Body/>"),
            ("</Envelope>", "</Envelope><Envelope/>"),
            ("<Body>", "<!DOCTYPE a><Body>"),
            ("FindServiceLocationsForUser", "GetServerInfo"),
        ] {
            assert!(types(one.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn knows_every_service_type() {
        let url = |service_type| service_url("https://rms.example.com/", service_type);
        let certification = Ok(Some("https://rms.example.com/_wmcs/certification".to_owned()));
        assert_eq!(url("CertificationInternalService"), certification);
        assert_eq!(url("CertificationService"), certification);
        assert_eq!(url("LicensingService"), Ok(Some("https://rms.example.com/_wmcs/licensing".to_owned())));
        assert_eq!(url("LicensingInternalService"), url("LicensingService"));
        assert_eq!(url("ActivationService"), Ok(None));
        assert_eq!(url("AdminV2Service"), Ok(None));
        assert_eq!(
            url("licensingservice").unwrap_err().to_string(),
            "\"licensingservice\" is not a service type"
        );
    }

    #[test]
    fn a_server_gets_an_empty_url_for_what_is_not_here_and_an_account_a_fault_for_what_cannot_be() {
        let asked = || vec!["LicensingService".to_owned(), "ActivationService".into(), "MexService".into()];
        let here = || Some("https://rms/_wmcs/licensing".to_owned());
        let for_servers = service_locations(Operation::FindServiceLocations, "https://rms", asked()).unwrap();
        let urls: Vec<_> = for_servers.into_iter().map(|(_, url)| url).collect();
        assert_eq!(urls, [here(), Some(String::new()), Some(String::new())]);
        let locate = |asked| service_locations(Operation::FindServiceLocationsForUser, "https://rms", asked);
        assert!(locate(asked()).is_err());
        let urls: Vec<_> = locate(asked()[..2].to_vec()).unwrap().into_iter().map(|(_, url)| url).collect();
        assert_eq!(urls, [here(), None]);
    }

    #[test]
    fn answers_in_the_namespace_and_order_of_the_request() {
        for namespace in [namespace::SERVICE_LOCATOR, namespace::SERVER] {
            let locations = [
                ("A&B".to_owned(), Some("https://x/?a&b".to_owned())),
                ("ActivationService".to_owned(), None),
            ];
            let operation = Operation::FindServiceLocationsForUser;
            let message = service_locations_response(operation, namespace, SoapVersion::V1_1, &locations);
            let document = Document::parse(&message, &LIMITS).unwrap();
            let response = document.root().child("Body").unwrap().children().next().unwrap();
            assert_eq!(
                (response.namespace(), response.name()),
                (namespace, "FindServiceLocationsForUserResponse")
            );
            let result = response.child("FindServiceLocationsForUserResult").unwrap();
            let found: Vec<_> = result
                .children_named("ServiceLocationResponse")
                .map(|location| {
                    let url = location.child("URL").map(|url| url.text().into_owned());
                    (location.child("Type").unwrap().text().into_owned(), url)
                })
                .collect();
            assert_eq!(found, locations);
            let header = document.root().child("Header").unwrap().child("VersionData").unwrap();
            assert_eq!(header.namespace(), namespace);
        }
    }
}

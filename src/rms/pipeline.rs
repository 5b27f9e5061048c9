//! The paths of the service: what is found at each, and to which pipeline it belongs.

use super::operation::Operation;
use std::fmt;

/// A group of web methods with its own limits and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pipeline {
    /// Rights account certificates for accounts.
    Certification,
    /// Use licenses.
    Licensing,
    /// Client licensor certificates and publishing licenses.
    Publishing,
    /// Facts about the service itself.
    Server,
    /// Rights policy templates.
    TemplateDistribution,
    /// Where the services are.
    ServiceLocation,
}

impl Pipeline {
    /// Every pipeline.
    pub const ALL: [Pipeline; 6] = [
        Pipeline::Certification,
        Pipeline::Licensing,
        Pipeline::Publishing,
        Pipeline::Server,
        Pipeline::TemplateDistribution,
        Pipeline::ServiceLocation,
    ];

    /// The label of metrics and events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Pipeline::Certification => "certification",
            Pipeline::Licensing => "licensing",
            Pipeline::Publishing => "publishing",
            Pipeline::Server => "server",
            Pipeline::TemplateDistribution => "template_distribution",
            Pipeline::ServiceLocation => "service_location",
        }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A path that the service answers at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `certification/servercertification.asmx`: Certify for servers ([MS-RMPR] 3.1.4.2).
    ServerCertification,
    /// `certification/certification.asmx`: Certify.
    Certification,
    /// `certification/server.asmx`: facts about the service.
    CertificationServer,
    /// `certification/ServiceLocator.asmx`.
    CertificationServiceLocator,
    /// `licensing/license.asmx`: use licenses.
    License,
    /// `licensing/publish.asmx`: client licensor certificates, publishing licenses.
    Publish,
    /// `licensing/templatedistribution.asmx`.
    TemplateDistribution,
    /// `licensing/server.asmx`: the same as under `certification`.
    LicensingServer,
    /// `licensing/ServiceLocator.asmx`: the same as under `certification`.
    LicensingServiceLocator,
    /// `GetRmsoUri.aspx`: the tenant's URL as text, for the configuration script.
    TenantUrl,
    /// The directory `certification`: people open it to see whether anything answers.
    CertificationDirectory,
    /// The directory `licensing`.
    LicensingDirectory,
}

/// What an endpoint answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// POST with SOAP, GET with a help page.
    Service,
    /// GET with the tenant's URL.
    TenantUrl,
    /// GET with a page for people.
    Directory,
}

/// The endpoint at a path, without its query. Matches whole known paths, in any ASCII case as
/// IIS does, and decodes nothing: `%2f`, `..` and `;` are never part of a known path.
/// Only a directory may end in a slash.
#[must_use]
pub fn route(path: &str) -> Option<Endpoint> {
    Endpoint::ALL.into_iter().find(|endpoint| endpoint.is_at(path))
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 12] = [
        Endpoint::ServerCertification,
        Endpoint::Certification,
        Endpoint::CertificationServer,
        Endpoint::CertificationServiceLocator,
        Endpoint::License,
        Endpoint::Publish,
        Endpoint::TemplateDistribution,
        Endpoint::LicensingServer,
        Endpoint::LicensingServiceLocator,
        Endpoint::TenantUrl,
        Endpoint::CertificationDirectory,
        Endpoint::LicensingDirectory,
    ];

    /// The path as we write it, upstream too.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::ServerCertification => "/_wmcs/certification/servercertification.asmx",
            Endpoint::Certification => "/_wmcs/certification/certification.asmx",
            Endpoint::CertificationServer => "/_wmcs/certification/server.asmx",
            Endpoint::CertificationServiceLocator => "/_wmcs/certification/ServiceLocator.asmx",
            Endpoint::License => "/_wmcs/licensing/license.asmx",
            Endpoint::Publish => "/_wmcs/licensing/publish.asmx",
            Endpoint::TemplateDistribution => "/_wmcs/licensing/templatedistribution.asmx",
            Endpoint::LicensingServer => "/_wmcs/licensing/server.asmx",
            Endpoint::LicensingServiceLocator => "/_wmcs/licensing/ServiceLocator.asmx",
            Endpoint::TenantUrl => "/_wmcs/GetRmsoUri.aspx",
            Endpoint::CertificationDirectory => "/_wmcs/certification",
            Endpoint::LicensingDirectory => "/_wmcs/licensing",
        }
    }

    /// The name on the help page. Administrators are told to look for
    /// `ServerCertificationWebService`; the others are the names of the WSDL ([MS-RMPR] 6).
    #[must_use]
    pub fn service_name(self) -> &'static str {
        match self {
            Endpoint::ServerCertification => "ServerCertificationWebService",
            Endpoint::Certification => "CertificationWebService",
            Endpoint::CertificationServer | Endpoint::LicensingServer => "Server",
            Endpoint::CertificationServiceLocator | Endpoint::LicensingServiceLocator => "ServiceLocator",
            Endpoint::License => "License",
            Endpoint::Publish => "Publish",
            Endpoint::TemplateDistribution => "TemplateDistributionWebService",
            Endpoint::TenantUrl => "GetRmsoUri",
            Endpoint::CertificationDirectory => "Certification",
            Endpoint::LicensingDirectory => "Licensing",
        }
    }

    /// The pipeline it belongs to.
    #[must_use]
    pub fn pipeline(self) -> Pipeline {
        match self {
            Endpoint::ServerCertification | Endpoint::Certification | Endpoint::CertificationDirectory => {
                Pipeline::Certification
            }
            Endpoint::License | Endpoint::LicensingDirectory => Pipeline::Licensing,
            Endpoint::Publish => Pipeline::Publishing,
            Endpoint::TemplateDistribution => Pipeline::TemplateDistribution,
            Endpoint::CertificationServer | Endpoint::LicensingServer => Pipeline::Server,
            Endpoint::CertificationServiceLocator
            | Endpoint::LicensingServiceLocator
            | Endpoint::TenantUrl => Pipeline::ServiceLocation,
        }
    }

    /// What it answers to.
    #[must_use]
    pub fn kind(self) -> EndpointKind {
        match self {
            Endpoint::ServerCertification
            | Endpoint::Certification
            | Endpoint::CertificationServer
            | Endpoint::CertificationServiceLocator
            | Endpoint::License
            | Endpoint::Publish
            | Endpoint::TemplateDistribution
            | Endpoint::LicensingServer
            | Endpoint::LicensingServiceLocator => EndpointKind::Service,
            Endpoint::TenantUrl => EndpointKind::TenantUrl,
            Endpoint::CertificationDirectory | Endpoint::LicensingDirectory => EndpointKind::Directory,
        }
    }

    /// The operations it takes; none where there is no service.
    pub fn operations(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| operation.endpoints().contains(&self))
    }

    /// The namespaces of its operations, each once.
    #[must_use]
    pub fn namespaces(self) -> Vec<&'static str> {
        let mut namespaces = Vec::new();
        for namespace in self.operations().flat_map(Operation::namespaces) {
            if !namespaces.contains(namespace) {
                namespaces.push(*namespace);
            }
        }
        namespaces
    }

    /// The largest request body that any of its operations takes, in bytes; 0 where nothing is posted.
    #[must_use]
    pub fn body_bytes_max(self) -> usize {
        self.operations().map(Operation::body_bytes_max).max().unwrap_or(0)
    }

    fn is_at(self, path: &str) -> bool {
        let path = match self.kind() {
            EndpointKind::Directory => path.strip_suffix('/').unwrap_or(path),
            EndpointKind::Service | EndpointKind::TenantUrl => path,
        };
        path.eq_ignore_ascii_case(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_route(path: &str, expected: Option<Endpoint>) {
        assert_eq!(route(path), expected, "{path}");
    }

    #[test]
    fn finds_every_path_in_any_case() {
        for endpoint in Endpoint::ALL {
            check_route(endpoint.path(), Some(endpoint));
            check_route(&endpoint.path().to_ascii_lowercase(), Some(endpoint));
            check_route(&endpoint.path().to_ascii_uppercase(), Some(endpoint));
        }
    }

    #[test]
    fn finds_the_spellings_of_real_callers() {
        check_route("/_wmcs/certification/ServerCertification.asmx", Some(Endpoint::ServerCertification));
        check_route("/_wmcs/Licensing/License.asmx", Some(Endpoint::License));
        check_route("/_wmcs/licensing/templateDistribution.asmx", Some(Endpoint::TemplateDistribution));
        check_route("/_WMCS/Certification/servicelocator.asmx", Some(Endpoint::CertificationServiceLocator));
        check_route("/_wmcs/Licensing/", Some(Endpoint::LicensingDirectory));
        check_route("/_wmcs/certification/", Some(Endpoint::CertificationDirectory));
        check_route("/_wmcs/getrmsouri.aspx", Some(Endpoint::TenantUrl));
    }

    #[test]
    fn finds_nothing_elsewhere() {
        for path in [
            "",
            "/",
            "*",
            "/_wmcs",
            "/_wmcs/",
            "/_wmcs/licensing//",
            "//_wmcs/licensing",
            "_wmcs/licensing",
            "/_wmcs//licensing",
            "/_wmcs/licensing/license.asmx/",
            "/_wmcs/licensing/license.asmx/mex",
            "/_wmcs/licensing/license.asmx;jsessionid=1",
            "/_wmcs/licensing;x/license.asmx",
            "/_wmcs/licensing%2flicense.asmx",
            "/_wmcs/licensing%2Flicense.asmx",
            "/_wmcs/licensing%5clicense.asmx",
            "/_wmcs/licensing\\license.asmx",
            "/_wmcs/licensing/%6cicense.asmx",
            "/_wmcs/licensing/license.asmx%00",
            "/_wmcs/licensing/license.asmx ",
            "/_wmcs/licensing/license.asmx.",
            "/_wmcs/licensing/license.asmx?wsdl",
            "/_wmcs/certification/../licensing/license.asmx",
            "/_wmcs/./licensing/license.asmx",
            "/_wmcs/licensing/../certification",
            "/_wmcs/licensing/.",
            "/_wmcs/decommission/decommission.asmx",
            "/_wmcs/groupexpansion/GroupExpansion.asmx",
            "/_wmcs/certification/SubEnrollService.asmx",
            "/_wmcs/licensingexternal/license.asmx",
            "/_wmcs/certification/Activation.asmx",
            "/_wmcs/oauth2/licensing/license.asmx",
            // Unicode letters that a careless fold takes for k and s.
            "/_wmc\u{17f}/licensing/license.asmx",
            "/_wmcs/licensing/licen\u{17f}e.asmx",
            "/_wmcs/licens\u{131}ng",
        ] {
            check_route(path, None);
        }
    }

    #[test]
    fn services_take_operations_and_pages_take_none() {
        for endpoint in Endpoint::ALL {
            let operations = endpoint.operations().count();
            assert_eq!(operations > 0, endpoint.kind() == EndpointKind::Service, "{endpoint:?}");
            assert_eq!(endpoint.body_bytes_max() > 0, operations > 0, "{endpoint:?}");
        }
        assert_eq!(
            Endpoint::LicensingServiceLocator.namespaces(),
            ["http://microsoft.com/DRM/ServiceLocatorService", "http://microsoft.com/DRM/ServerService"]
        );
    }
}

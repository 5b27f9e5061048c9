//! Requests in the shape of each client's, as its documentation shows it, with path and action.

use super::program::manifest_dir;
use std::path::PathBuf;

/// A request to send by POST.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub file: &'static str,
    pub path: &'static str,
    pub operation: &'static str,
    namespace: &'static str,
    pub content_type: &'static str,
}

impl Message {
    pub fn file(&self) -> PathBuf {
        manifest_dir().join("tests/golden/requests").join(self.file)
    }

    pub fn body(&self) -> Vec<u8> {
        std::fs::read(self.file()).expect("the requests are part of the source")
    }

    pub fn action(&self) -> String {
        format!("\"http://microsoft.com/DRM/{}/{}\"", self.namespace, self.operation)
    }

    /// Its operation as lxml writes it.
    pub fn tag(&self) -> String {
        format!("{{http://microsoft.com/DRM/{}}}{}", self.namespace, self.operation)
    }

    /// The element that a good answer has.
    pub fn response_element(&self) -> String {
        format!("{}Response", self.operation)
    }
}

const fn message(
    file: &'static str,
    path: &'static str,
    namespace: &'static str,
    operation: &'static str,
) -> Message {
    Message { file, path, operation, namespace, content_type: "text/xml; charset=utf-8" }
}

const LICENSE: &str = "/_wmcs/licensing/license.asmx";
const PUBLISH: &str = "/_wmcs/licensing/publish.asmx";
const TEMPLATES: &str = "/_wmcs/licensing/templatedistribution.asmx";
const SERVER: &str = "/_wmcs/certification/server.asmx";
const LICENSING_SERVER: &str = "/_wmcs/licensing/server.asmx";

pub const CERTIFY: Message = message(
    "exchange_certify.xml",
    "/_wmcs/certification/servercertification.asmx",
    "CertificationService",
    "Certify",
);
pub const ACQUIRE_LICENSE: Message =
    message("exchange_acquire_license.xml", LICENSE, "LicensingService", "AcquireLicense");
pub const ACQUIRE_PRE_LICENSE: Message =
    message("exchange_acquire_pre_license.xml", LICENSE, "LicensingService", "AcquirePreLicense");
pub const SERVER_INFO: Message =
    message("exchange_get_server_info.xml", SERVER, "ServerService", "GetServerInfo");
pub const LOCATIONS_MSDRM: Message = message(
    "msdrm_find_service_locations_for_user.xml",
    "/_wmcs/certification/ServiceLocator.asmx",
    "ServerService",
    "FindServiceLocationsForUser",
);
pub const LOCATIONS_MSIPC: Message = message(
    "msipc_find_service_locations_for_user.xml",
    "/_wmcs/licensing/ServiceLocator.asmx",
    "ServiceLocatorService",
    "FindServiceLocationsForUser",
);

pub const LOCATIONS_EXCHANGE: Message =
    message("exchange_find_service_locations.xml", LICENSING_SERVER, "ServerService", "FindServiceLocations");

/// All of them.
pub const ALL: [Message; 27] = [
    CERTIFY,
    ACQUIRE_LICENSE,
    ACQUIRE_PRE_LICENSE,
    SERVER_INFO,
    LOCATIONS_MSDRM,
    LOCATIONS_MSIPC,
    message(
        "exchange_acquire_template_information.xml",
        TEMPLATES,
        "TemplateDistributionService",
        "AcquireTemplateInformation",
    ),
    message("exchange_acquire_templates.xml", TEMPLATES, "TemplateDistributionService", "AcquireTemplates"),
    LOCATIONS_EXCHANGE,
    message("exchange_get_client_licensor_cert.xml", PUBLISH, "PublishingService", "GetClientLicensorCert"),
    message("msdrm_acquire_issuance_license.xml", PUBLISH, "PublishingService", "AcquireIssuanceLicense"),
    message("msdrm_get_licensor_certificate.xml", SERVER, "ServerService", "GetLicensorCertificate"),
    message("msipc_acquire_license.xml", LICENSE, "LicensingService", "AcquireLicense"),
    message(
        "msipc_certify.xml",
        "/_wmcs/certification/certification.asmx",
        "CertificationService",
        "Certify",
    ),
    message("msipc_get_client_licensor_cert.xml", PUBLISH, "PublishingService", "GetClientLicensorCert"),
    message("msipc_acquire_issuance_license.xml", PUBLISH, "PublishingService", "AcquireIssuanceLicense"),
    message(
        "msipc_acquire_template_information.xml",
        TEMPLATES,
        "TemplateDistributionService",
        "AcquireTemplateInformation",
    ),
    message("msipc_acquire_templates.xml", TEMPLATES, "TemplateDistributionService", "AcquireTemplates"),
    message("msipc_get_server_info.xml", SERVER, "ServerService", "GetServerInfo"),
    message(
        "msipc_get_licensor_certificate.xml",
        LICENSING_SERVER,
        "ServerService",
        "GetLicensorCertificate",
    ),
    message(
        "msdrm_certify.xml",
        "/_wmcs/certification/ServerCertification.asmx",
        "CertificationService",
        "Certify",
    ),
    message("msdrm_get_client_licensor_cert.xml", PUBLISH, "PublishingService", "GetClientLicensorCert"),
    message("msdrm_acquire_license.xml", LICENSE, "LicensingService", "AcquireLicense"),
    message(
        "msdrm_acquire_template_information.xml",
        TEMPLATES,
        "TemplateDistributionService",
        "AcquireTemplateInformation",
    ),
    message("msdrm_acquire_templates.xml", TEMPLATES, "TemplateDistributionService", "AcquireTemplates"),
    message("msdrm_get_server_info.xml", LICENSING_SERVER, "ServerService", "GetServerInfo"),
    Message {
        content_type: "application/soap+xml; charset=utf-8",
        ..message("soap12_acquire_license.xml", LICENSE, "LicensingService", "AcquireLicense")
    },
];

/// One of them by the name of its file.
#[track_caller]
pub fn named(file: &str) -> Message {
    *ALL.iter().find(|message| message.file == file).unwrap_or_else(|| panic!("no {file}"))
}

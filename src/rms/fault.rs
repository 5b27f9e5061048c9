//! SOAP faults, worded as the service words them: clients look for the exception's name
//! anywhere in the fault string ([MS-RMPR] 3.1.4.5).

use super::SoapVersion;
use super::write::{envelope_around, escape};

/// Exceptions that callers know by name. All but [`UNAUTHORIZED`](exception::UNAUTHORIZED) are for
/// the simulated service: real ones pass through as they came.
pub mod exception {
    /// The caller may not. Permanent for Exchange, known to MSDRM.
    pub const UNAUTHORIZED: &str = "System.UnauthorizedAccessException";
    /// The body is no valid request of the operation.
    pub const ARGUMENT_NULL: &str = "System.ArgumentNullException";
    /// A service type that does not exist.
    pub const INVALID_OPERATION: &str = "System.InvalidOperationException";
    /// A newer VersionData than the service has.
    pub const UNSUPPORTED_DATA_VERSION: &str =
        "Microsoft.DigitalRightsManagement.Core.UnsupportedDataVersionException";
    /// A VersionData that is no pair of versions.
    pub const MALFORMED_DATA_VERSION: &str =
        "Microsoft.DigitalRightsManagement.Core.MalformedDataVersionException";
    /// A machine certificate chain that does not verify.
    pub const VERIFY_MACHINE_CERTIFICATE_CHAIN: &str =
        "Microsoft.DigitalRightsManagement.Core.VerifyMachineCertificateChainFailedException";
    /// A rights account certificate that does not verify.
    pub const INVALID_PERSONA_SIGNATURE: &str =
        "Microsoft.DigitalRightsManagement.Licensing.InvalidPersonaCertSignatureException";
    /// A publishing license that does not verify.
    pub const INVALID_RIGHTS_LABEL_SIGNATURE: &str =
        "Microsoft.DigitalRightsManagement.Licensing.InvalidRightsLabelSignatureException";
    /// An unsigned publishing license with a cipher that is not allowed any more.
    pub const UNSUPPORTED_SYMMETRIC_KEY: &str =
        "Microsoft.DigitalRightsManagement.Cryptography.CryptoUnsupportedSymKeyException";
    /// The license grants that principal nothing.
    pub const NO_RIGHTS: &str =
        "Microsoft.DigitalRightsManagement.Licensing.NoRightsForRequestedPrincipalException";
    /// A recipient that nobody knows.
    pub const INVALID_LICENSEE: &str =
        "Microsoft.DigitalRightsManagement.Licensing.AcquirePreLicenseInvalidLicenseeException";
    /// Anything else.
    pub const UNSPECIFIED: &str = "Microsoft.DigitalRightsManagement.Utilities.UnspecifiedErrorException";
}

/// The status of every fault, in both versions ([SOAP 1.1] 6.2).
pub const STATUS: u16 = 500;

/// The fault string for an exception of the service.
#[must_use]
pub fn text(exception: &str, message: &str) -> String {
    format!(
        "System.Web.Services.Protocols.SoapException: Server was unable to process request. \
         ---> {exception}: {message}"
    )
}

/// A whole fault message with this exception. Its content type is [`SoapVersion::content_type`].
#[must_use]
pub fn message(soap: SoapVersion, exception: &str, message: &str) -> Vec<u8> {
    let text = text(exception, message);
    let text = escape(&text);
    let body = match soap {
        SoapVersion::V1_1 => format!(
            "<soap:Fault><faultcode>soap:Server</faultcode><faultstring>{text}</faultstring>\
             <detail/></soap:Fault>"
        ),
        SoapVersion::V1_2 => format!(
            "<soap:Fault><soap:Code><soap:Value>soap:Receiver</soap:Value></soap:Code>\
             <soap:Reason><soap:Text xml:lang=\"en\">{text}</soap:Text></soap:Reason>\
             <soap:Detail/></soap:Fault>"
        ),
    };
    envelope_around(soap, "", &body)
}

/// The fault for a caller who may not; what an unlisted account gets.
#[must_use]
pub fn unauthorized(soap: SoapVersion, reason: &str) -> Vec<u8> {
    message(soap, exception::UNAUTHORIZED, reason)
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn fault_text(message: &[u8], path: &[&str]) -> String {
        let document = Document::parse(message, &super::super::document::LIMITS).unwrap();
        let mut element = document.root();
        for name in path {
            element = element.child(name).unwrap();
        }
        element.text().into_owned()
    }

    #[test]
    fn an_unlisted_account_reads_the_name_that_clients_look_for() {
        let expected = "System.Web.Services.Protocols.SoapException: Server was unable to process request. \
                        ---> System.UnauthorizedAccessException: no entry for <S-1-5-21-1>";
        let reason = "no entry for <S-1-5-21-1>";
        let old = unauthorized(SoapVersion::V1_1, reason);
        assert_eq!(fault_text(&old, &["Body", "Fault", "faultstring"]), expected);
        assert_eq!(fault_text(&old, &["Body", "Fault", "faultcode"]), "soap:Server");
        let new = unauthorized(SoapVersion::V1_2, reason);
        assert_eq!(fault_text(&new, &["Body", "Fault", "Reason", "Text"]), expected);
        assert_eq!(fault_text(&new, &["Body", "Fault", "Code", "Value"]), "soap:Receiver");
    }
}

//! The vocabulary of the RMS service: its paths, operations, envelopes, faults and pages.
//! Pure: bytes in, values out. The only user of `quick-xml`.

pub mod agreement;
pub mod content;
pub mod document;
pub mod envelope;
pub mod fault;
pub mod location;
pub mod page;
pub mod passing;
pub mod request;
pub mod version;
pub mod wsdl;

mod malformed;
mod operation;
mod pipeline;
mod scanner;
mod shape;
mod write;

pub use malformed::Malformed;
pub use operation::{ANSWER_WITHIN, Operation, RECIPIENTS_MAX, namespace};
pub use pipeline::{Endpoint, EndpointKind, Pipeline, route};
pub use scanner::Limits;
pub use write::{envelope_around, escape};

/// The two bindings that every service of [MS-RMPR] has (2.1, and the WSDL in 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoapVersion {
    /// SOAP 1.1: what the clients use.
    V1_1,
    /// SOAP 1.2.
    V1_2,
}

impl SoapVersion {
    /// The version whose envelope is in this namespace.
    #[must_use]
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        [SoapVersion::V1_1, SoapVersion::V1_2].into_iter().find(|version| version.namespace() == namespace)
    }

    /// The namespace of the envelope.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            SoapVersion::V1_1 => "http://schemas.xmlsoap.org/soap/envelope/",
            SoapVersion::V1_2 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    /// The media type of its messages, without parameters.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            SoapVersion::V1_1 => "text/xml",
            SoapVersion::V1_2 => "application/soap+xml",
        }
    }

    /// The value of `Content-Type` for an answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            SoapVersion::V1_1 => "text/xml; charset=utf-8",
            SoapVersion::V1_2 => "application/soap+xml; charset=utf-8",
        }
    }
}

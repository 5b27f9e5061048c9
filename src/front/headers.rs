//! What the headers of a request say.

use crate::relay::Failure;
use crate::rms::{Endpoint, Operation};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};

/// A header's text; empty if there is none.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The operation that the SOAPAction names, if the endpoint has it.
pub(super) fn claimed(endpoint: Endpoint, soap_action: &str) -> Option<Operation> {
    let name = soap_action.trim_matches('"').rsplit('/').next()?;
    endpoint.operations().find(|operation| operation.name() == name)
}

/// What is said twice could be read in two ways, and a body that is packed cannot be inspected.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Failure> {
    for name in ["content-type", "soapaction", "host"] {
        if headers.get_all(name).iter().count() > 1 {
            return Err(Failure::Malformed(format!("there is more than one {name} header")));
        }
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Failure::UnsupportedMedia("a request must not have a content encoding".into()));
    }
    Ok(())
}

/// The authority that the client used, if it said one and only one.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let authority: Authority = host.parse().ok()?;
    (hosts.next().is_none() && authority.as_str() == host && !host.contains('@')).then_some(host)
}

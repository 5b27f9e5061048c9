//! What a request for a new certificate asks for, and the one that waits. Pure.

use super::certificate_of;
use crate::enrolment::{Front, KeptRequest};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use tonic::Status;

/// The names that a new request asks for.
pub(super) struct Names {
    /// The service's first.
    pub(super) all: Vec<String>,
    /// Those out of the certificate that there is.
    pub(super) of_certificate: Vec<String>,
    /// That certificate is not for the service.
    pub(super) other_name: bool,
}

/// The request that waits, if one does. A key that cannot be read here may be read elsewhere, and somebody may be
/// signing its request.
pub(super) fn waiting(now: &Front) -> Result<Option<proto::RenewCertificateResponse>, Status> {
    let answer = |waiting: &KeptRequest| proto::RenewCertificateResponse {
        request: waiting.request.clone(),
        already: true,
        by: waiting.by.clone(),
        at_ms: waiting.at.0,
        ..Default::default()
    };
    match &now.request {
        Ok(waiting) => Ok(waiting.as_ref().map(answer)),
        Err(error) => Err(Status::failed_precondition(format!(
            "a key waits for its certificate already, and cannot be read on this node: {}; ask another node \
             (--endpoint HOST:PORT), or make another key in its place: rmsc cert renew --anew",
            with_causes(error)
        ))),
    }
}

/// The service's name, then what the certificate of now is for besides.
pub(super) fn names(service_name: &str, now: &Front) -> Names {
    let about = certificate_of(now).and_then(|kept| kept.certificate.about().into_iter().next());
    let other_name = about.as_ref().is_some_and(|about| !about.is_for(service_name));
    let of_certificate = about.map(|about| about.names).unwrap_or_default();
    let others = of_certificate.iter().filter(|name| !name.eq_ignore_ascii_case(service_name));
    let all = std::iter::once(service_name.to_owned()).chain(others.cloned()).collect();
    Names { all, of_certificate, other_name }
}

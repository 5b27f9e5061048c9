//! Every outcome to status, words and event: the only place that words an answer to a client.
//!
//! Exchange takes 3xx, 401, 403, 404, 502, 503, 504 and unknown faults as permanent, and mail bounces;
//! 500 without SOAP, 429 and other 4xx as passing. So trouble behind us is `500 text/plain`.

use super::metrics;
use super::strict::Kind;
use crate::relay::{Answered, Failure};
use crate::rms::{SoapVersion, fault};
use crate::upstream::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

/// What came of a request.
pub enum Outcome {
    /// An answer, of the service or of the connector itself.
    Answered(Answered),
    /// The caller must say who it is: the challenges to offer, in order.
    Unauthenticated(Vec<String>),
    /// There is no room for one more login of the caller.
    Overloaded,
    /// There is no room for the request.
    Full,
    /// What came is no good HTTP.
    NotHttp(Kind),
    /// The request has come back to the cluster that sent it.
    Loop,
    /// The path is none of ours.
    NotFound,
    /// The path is, but not with this method.
    MethodNotAllowed(&'static str),
    /// The relaying node gave a reason.
    Failed(Failure),
    /// No node could take it, or it was lost on the way.
    NoNode,
}

impl Outcome {
    /// As it is counted.
    pub fn label(&self) -> metrics::Outcome {
        match self {
            Outcome::Answered(_) => metrics::Outcome::Answered,
            Outcome::Unauthenticated(_) => metrics::Outcome::Challenged,
            Outcome::Failed(
                Failure::NotAuthorized(_) | Failure::RoleRefused(_) | Failure::NtlmRefused(_),
            ) => metrics::Outcome::Refused,
            Outcome::NotFound
            | Outcome::MethodNotAllowed(_)
            | Outcome::Failed(
                Failure::Malformed(_)
                | Failure::UnsupportedMedia(_)
                | Failure::TooLarge { .. }
                | Failure::OverLimit(_)
                | Failure::BrokenOff,
            )
            | Outcome::NotHttp(_) => metrics::Outcome::Malformed,
            Outcome::Full => metrics::Outcome::Shed,
            Outcome::NoNode
            | Outcome::Loop
            | Outcome::Overloaded
            | Outcome::Failed(
                Failure::Upstream { .. }
                | Failure::Unsent { .. }
                | Failure::Lasting { .. }
                | Failure::Throttled { .. }
                | Failure::Overdue
                | Failure::NotReady(_),
            ) => metrics::Outcome::Failed,
        }
    }
}

/// Words an outcome.
#[must_use]
pub fn response(outcome: Outcome, soap: SoapVersion) -> Response<Body> {
    match outcome {
        Outcome::Answered(answered) => self::answered(answered),
        Outcome::Unauthenticated(challenges) => unauthenticated(&challenges),
        Outcome::Overloaded => {
            later("The connector cannot take this login now. Try again later.", LOGIN_AFTER_SECONDS)
        }
        // Whose limit it is, and how high, is the administrator's to know.
        Outcome::Full => later("The connector has too much to do. Try again later.", ROOM_AFTER_SECONDS),
        Outcome::NotHttp(Kind::TooSlow) => {
            text(StatusCode::REQUEST_TIMEOUT, "The head of the request did not come in time.")
        }
        Outcome::NotHttp(kind) => text(StatusCode::BAD_REQUEST, &sentence("Bad request", kind.reason())),
        // Only another connector is told so, by whose mark it is known.
        Outcome::Loop => text(
            StatusCode::LOOP_DETECTED,
            "The request has come back to the connector: its upstream leads to itself.",
        ),
        Outcome::NotFound => text(StatusCode::NOT_FOUND, "The connector has nothing at this path."),
        Outcome::MethodNotAllowed(allowed) => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("This path takes {allowed}."));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            response
        }
        Outcome::Failed(failure) => failed(&failure, soap),
        Outcome::NoNode => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "No node of the connector can take the request now. Try again.",
        ),
    }
}

fn failed(failure: &Failure, soap: SoapVersion) -> Response<Body> {
    match failure {
        Failure::NotAuthorized(_) | Failure::NtlmRefused(_) => {
            soap_fault(soap, "the account is not authorized to use the connector")
        }
        Failure::RoleRefused(_) => soap_fault(soap, "the account's role does not allow this operation"),
        Failure::Malformed(reason) => text(StatusCode::BAD_REQUEST, &sentence("Bad request", reason)),
        Failure::BrokenOff => {
            text(StatusCode::BAD_REQUEST, "Bad request: the body broke off, or did not come in time.")
        }
        Failure::UnsupportedMedia(reason) => {
            text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &sentence("Unsupported media type", reason))
        }
        Failure::TooLarge { .. } | Failure::OverLimit(_) => {
            text(StatusCode::PAYLOAD_TOO_LARGE, &sentence("Too large", &failure.to_string()))
        }
        Failure::Upstream { .. } | Failure::Unsent { .. } | Failure::Lasting { .. } => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The rights management service cannot be reached now. Try again.",
        ),
        Failure::Throttled { retry_after } => throttled(retry_after),
        Failure::Overdue | Failure::NotReady(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The connector could not send the request on in time. Try again.",
        ),
    }
}

/// The service's own word on when to come again is passed on.
fn throttled(retry_after: &str) -> Response<Body> {
    let words = "The rights management service asks for fewer requests. Try again later.";
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, words);
    if let Ok(value) = HeaderValue::from_str(retry_after)
        && !retry_after.is_empty()
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn sentence(what: &str, reason: &str) -> String {
    format!("{what}: {reason}.")
}

fn soap_fault(soap: SoapVersion, reason: &str) -> Response<Body> {
    let fault = fault::unauthorized(soap, reason);
    with_type(StatusCode::INTERNAL_SERVER_ERROR, soap.content_type(), fault.into())
}

fn answered(answered: Answered) -> Response<Body> {
    let mut response = Response::new(answered.body);
    *response.status_mut() = status_for_clients(answered.status);
    let mut put = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, &answered.content_type);
    put(header::CONTENT_ENCODING, &answered.content_encoding);
    response
}

/// A status that a calling server would take for final, when it only tells of trouble behind us, becomes 500.
fn status_for_clients(status: StatusCode) -> StatusCode {
    match status.as_u16() {
        200 | 400 | 408 | 413 | 415 | 429 | 500 => status,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn unauthenticated(challenges: &[String]) -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "The connector takes Windows authentication.");
    for challenge in challenges {
        if let Ok(value) = HeaderValue::from_str(challenge) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    }
    response
}

fn later(words: &str, seconds: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    response
}

fn text(status: StatusCode, words: &str) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", format!("{words}\n").into())
}

fn with_type(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Logins are remembered by the minute.
const LOGIN_AFTER_SECONDS: &str = "60";
/// What is in flight has mostly ended by then.
const ROOM_AFTER_SECONDS: &str = "2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_makes_mail_bounce() {
        let passing = [400, 408, 413, 415, 429, 500];
        for status in 300..600 {
            let status = status_for_clients(StatusCode::from_u16(status).unwrap()).as_u16();
            assert!(passing.contains(&status), "{status}");
        }
        for failure in [
            Failure::Upstream { reason: String::new() },
            Failure::Unsent { reason: String::new() },
            Failure::Lasting { reason: String::new() },
            Failure::Throttled { retry_after: "7".into() },
            Failure::Overdue,
            Failure::BrokenOff,
            Failure::TooLarge { bytes_max: 1 },
            Failure::OverLimit(String::new()),
            Failure::NotReady(String::new()),
            Failure::Malformed(String::new()),
            Failure::UnsupportedMedia(String::new()),
        ] {
            let response = response(Outcome::Failed(failure), SoapVersion::V1_1);
            assert!(passing.contains(&response.status().as_u16()));
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        }
    }

    #[test]
    fn a_caller_that_logs_in_too_often_is_told_to_wait_and_not_to_prove_itself() {
        let response = response(Outcome::Overloaded, SoapVersion::V1_1);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "60");
        assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    }

    #[test]
    fn every_challenge_is_a_header_of_its_own() {
        let challenges = vec!["Negotiate".to_owned(), "NTLM".to_owned()];
        let response = response(Outcome::Unauthenticated(challenges), SoapVersion::V1_1);
        let offered: Vec<_> = response.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
        assert_eq!(offered, ["Negotiate", "NTLM"]);
    }
}

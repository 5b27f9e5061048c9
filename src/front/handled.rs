//! A request that was handled: what came of it, and the answer to it.

use super::admission::Held;
use super::answer::{self, Outcome};
use super::authenticate::Connection;
use super::times::{BODY_TIMEOUT, TURNED_AWAY_TIMEOUT};
use super::{audit, expect, payload};
use crate::rms::SoapVersion;
use crate::upstream::Body;
use http::{HeaderMap, HeaderValue, Response};

/// What a request is known by while it is handled.
pub(super) struct Handled {
    pub(super) outcome: Outcome,
    pub(super) soap: SoapVersion,
    pub(super) token: Option<String>,
    pub(super) served_by: Option<String>,
    pub(super) close: bool,
    /// What it takes of the limits, until its answer has ended.
    pub(super) held: Vec<Held>,
    /// For the audit record of a SOAP request.
    pub(super) told: Option<Box<audit::Told>>,
}

pub(super) fn plain(outcome: Outcome) -> Handled {
    Handled {
        outcome,
        soap: SoapVersion::V1_1,
        token: None,
        served_by: None,
        close: false,
        held: Vec::new(),
        told: None,
    }
}

pub(super) fn finish(handled: Handled, request_id: &str) -> Response<Body> {
    let mut response = answer::response(handled.outcome, handled.soap);
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("x-rmsc-request-id", request_id);
    // Every answer is for one caller, and names the host by which it came.
    put("cache-control", "no-store");
    put("vary", "Authorization, Host");
    if let Some(node) = handled.served_by {
        put("x-rmsc-served-by", &node);
    }
    if let Some(token) = handled.token {
        put("www-authenticate", &token);
    }
    if handled.close {
        put("connection", "close");
    }
    response
}

/// Before a challenge the body is read and thrown away, or the connection could not go on, and NTLM needs it to. A client
/// that waits for 100 Continue gets it in the midst of a handshake alone, which would end with its connection; otherwise
/// the challenge comes at once and is the last answer (`expect`), and whoever logs on begins on a new connection.
pub(super) async fn turned_away(
    outcome: Outcome,
    connection: &Connection,
    headers: &HeaderMap,
    body: Body,
) -> Handled {
    let waits = expect::waits(headers) && !connection.is_shaking_hands();
    let close = !waits && !payload::discard(body, BODY_TIMEOUT).await;
    Handled { close, ..plain(outcome) }
}

/// There is no room for a request: it is told so at once, whatever of its body is still to come. Who waits for 100
/// Continue must not be asked for it now.
pub(super) async fn full(headers: &HeaderMap, body: Body) -> Handled {
    let close = !expect::waits(headers) && !payload::discard(body, TURNED_AWAY_TIMEOUT).await;
    Handled { close, ..plain(Outcome::Full) }
}

//! A body that can be sent a second time, where it is short enough to be kept. It is asked each time whether it may.

use super::gated::gated;
use super::{Body, BodyError, Gate};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};

/// A request's bytes.
pub(super) struct Kept {
    bytes: Left,
    gate: Gate,
}

enum Left {
    /// All of them, as often as needed.
    Whole(Bytes),
    /// Once, as they come; nothing when that was done.
    Once(Option<Body>),
}

impl Kept {
    /// Keeps a body that says that it is short.
    pub(super) async fn of(body: Body, gate: Gate) -> Result<Self, BodyError> {
        if body.size_hint().exact().is_some_and(|bytes| bytes <= KEPT_BYTES_MAX) {
            let bytes = Left::Whole(body.collect().await?.to_bytes());
            return Ok(Kept { bytes, gate });
        }
        Ok(Kept { bytes: Left::Once(Some(body)), gate })
    }

    /// Whether there is something to send (again).
    pub(super) fn is_left(&self) -> bool {
        match &self.bytes {
            Left::Whole(_) => true,
            Left::Once(body) => body.is_some(),
        }
    }

    /// The bytes to send, if they can be sent (again).
    pub(super) fn take(&mut self) -> Option<Body> {
        let body = match &mut self.bytes {
            Left::Whole(bytes) => {
                Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync())
            }
            Left::Once(body) => body.take(),
        };
        body.map(|body| gated(body, self.gate.clone()))
    }
}

/// As much as a front keeps for its own retry; ordinary requests have some ten KiB.
const KEPT_BYTES_MAX: u64 = 1 << 20;

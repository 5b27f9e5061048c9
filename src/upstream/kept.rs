//! A body that can be sent a second time, where it is short enough to be kept.

use super::{Body, BodyError};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};

/// A request's bytes.
pub(super) enum Kept {
    /// All of them, as often as needed.
    Whole(Bytes),
    /// Once, as they come; nothing when that was done.
    Once(Option<Body>),
}

impl Kept {
    /// Keeps a body that says that it is short.
    pub(super) async fn of(body: Body) -> Result<Self, BodyError> {
        if body.size_hint().exact().is_some_and(|bytes| bytes <= KEPT_BYTES_MAX) {
            return Ok(Kept::Whole(body.collect().await?.to_bytes()));
        }
        Ok(Kept::Once(Some(body)))
    }

    /// Whether there is something to send (again).
    pub(super) fn is_left(&self) -> bool {
        match self {
            Kept::Whole(_) => true,
            Kept::Once(body) => body.is_some(),
        }
    }

    /// The bytes to send, if they can be sent (again).
    pub(super) fn take(&mut self) -> Option<Body> {
        match self {
            Kept::Whole(bytes) => {
                Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync())
            }
            Kept::Once(body) => body.take(),
        }
    }
}

/// As much as a front keeps for its own retry; ordinary requests have some ten KiB.
const KEPT_BYTES_MAX: u64 = 1 << 20;

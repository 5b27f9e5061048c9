//! Reads a request's bytes as far as they can be kept for a second attempt.

use super::peers::Payload;
use super::upload::Upload;
use crate::relay::{Failure, Head, Prefixed, REQUEST_BYTES_MAX};
use crate::rms::agreement::content_type;
use crate::rms::envelope::{Inspection, inspect};
use crate::rms::passing::Passing;
use crate::rms::{ANSWER_WITHIN, Operation};
use crate::upstream::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;
use tokio::time::timeout;

/// Reads up to what is kept; a longer body passes through from there on. Gives the bytes that were read, too. The client
/// may let its bytes be waited for that long, in all.
pub async fn read(body: Body, within: Duration) -> Result<(Payload, Bytes), Failure> {
    let body = Limited::new(body, REQUEST_BYTES_MAX).boxed_unsync();
    let mut body: Body = Upload::new(body, within).boxed_unsync();
    let mut bytes = BytesMut::new();
    let whole = fill(&mut body, &mut bytes).await?;
    let bytes = bytes.freeze();
    let payload = if whole {
        Payload::Kept(bytes.clone())
    } else {
        Payload::Streamed(Some(Prefixed::new(bytes.clone(), body, None).boxed_unsync()))
    };
    Ok((payload, bytes))
}

/// How long the answer to a request may take, by the bytes that were read of it: a batch for many recipients has
/// longer. What the request says of itself wrongly is refused where it is inspected.
pub fn answer_within(asked: Option<Operation>, beginning: &[u8], whole: bool) -> Duration {
    let Some(operation) = asked else { return ANSWER_WITHIN };
    if operation.deadline_max() == operation.deadline(0) {
        return operation.deadline(0);
    }
    let mut passing = Passing::default();
    if passing.read(beginning).is_ok() && !whole && passing.may_have_more_recipients() {
        return operation.deadline_max();
    }
    operation.deadline(passing.recipients())
}

/// What is asked for: as the action says, or else the body.
pub fn operation(head: &Head, beginning: &[u8], whole: bool) -> Option<Operation> {
    let in_content_type = || content_type(Some(&head.content_type)).ok()?.action;
    let named = Operation::from_action(&head.soap_action);
    named.or_else(|| Operation::from_action(&in_content_type()?)).or_else(|| {
        match inspect(beginning, whole) {
            Ok(Inspection::Read(inspected)) => Some(inspected.operation),
            Ok(Inspection::NeedMore) | Err(_) => None,
        }
    })
}

/// Whether the body ended before the limit of what is kept.
async fn fill(body: &mut Body, bytes: &mut BytesMut) -> Result<bool, Failure> {
    while bytes.len() < KEPT_BYTES_MAX {
        let Some(frame) = body.frame().await else { return Ok(true) };
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::TooLarge { bytes_max: REQUEST_BYTES_MAX }
            } else {
                Failure::BrokenOff
            }
        })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(body.is_end_stream())
}

/// Reads a body to throw it away. Whether it ended within its limits, so that the connection can go on.
pub async fn discard(mut body: Body, within: Duration) -> bool {
    let read = async {
        let mut bytes: usize = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > REQUEST_BYTES_MAX {
                return false;
            }
        }
        true
    };
    timeout(within, read).await.unwrap_or(false)
}

/// What is kept of a request for a second attempt: more than any but the largest license has.
const KEPT_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    fn body(bytes: usize) -> Body {
        Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn keeps_short_bodies_and_refuses_long_ones() {
        let within = Duration::from_secs(60);
        assert!(
            matches!(read(body(1_000), within).await, Ok((Payload::Kept(bytes), _)) if bytes.len() == 1_000)
        );
        assert!(matches!(read(body(REQUEST_BYTES_MAX + 1), within).await, Err(Failure::TooLarge { .. })));
        assert!(discard(body(REQUEST_BYTES_MAX), within).await);
        assert!(!discard(body(REQUEST_BYTES_MAX + 1), within).await);
    }
}

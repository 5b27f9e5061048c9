//! A request's bytes, for as many attempts as they allow: what is short is kept, and of what is long the beginning, until
//! the rest of it leaves for the service.

use super::upload::Upload;
use crate::relay::{Failure, Head, Prefixed, REQUEST_BYTES_MAX};
use crate::rms::agreement::content_type;
use crate::rms::envelope::{Inspection, inspect};
use crate::rms::passing::Passing;
use crate::rms::{ANSWER_WITHIN, Operation};
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A request's bytes.
pub enum Payload {
    /// All of them: they can be sent again.
    Kept(Bytes),
    /// The beginning of a long request, and the rest, which passes through once.
    Streamed(Arc<Mutex<Option<Long>>>),
}

/// A long request of which nothing but the beginning was read.
pub struct Long {
    beginning: Bytes,
    rest: Body,
}

/// Lets the rest of a long request pass. Without it, it never does in this attempt, and is left for another.
pub struct Release(Option<oneshot::Sender<()>>);

/// The rest of a long request, once it may pass.
enum Rest {
    Waiting {
        released: oneshot::Receiver<()>,
        long: Arc<Mutex<Option<Long>>>,
    },
    Passing(Body),
    /// The attempt is over, and whoever reads it is about to hear that.
    GivenUp,
}

impl Payload {
    /// The bytes for one more attempt, and what lets all of them pass; nothing once they are spent.
    pub fn take(&self) -> Option<(Body, Release)> {
        match self {
            Payload::Kept(bytes) => Some((full(bytes.clone()), Release(None))),
            Payload::Streamed(long) => {
                let beginning = left(long)?;
                let (release, released) = oneshot::channel();
                let rest = Rest::Waiting { released, long: long.clone() }.boxed_unsync();
                Some((Prefixed::new(beginning, rest, None).boxed_unsync(), Release(Some(release))))
            }
        }
    }

    /// Whether another attempt could send the bytes.
    #[must_use]
    pub fn is_left(&self) -> bool {
        match self {
            Payload::Kept(_) => true,
            Payload::Streamed(long) => left(long).is_some(),
        }
    }
}

impl Release {
    /// The bytes leave for the service now.
    pub fn release(self) {
        if let Some(release) = self.0 {
            // Whoever waited for them is gone, and so are the bytes.
            let _ = release.send(());
        }
    }
}

fn left(long: &Mutex<Option<Long>>) -> Option<Bytes> {
    let long = long.lock().unwrap_or_else(PoisonError::into_inner);
    long.as_ref().map(|long| long.beginning.clone())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Rest::Waiting { released, long } = &mut *self {
            let passing = match ready!(Pin::new(released).poll(context)) {
                Ok(()) => long.lock().unwrap_or_else(PoisonError::into_inner).take(),
                Err(_) => None,
            };
            *self = passing.map_or(Rest::GivenUp, |long| Rest::Passing(long.rest));
        }
        match &mut *self {
            Rest::Passing(rest) => Pin::new(rest).poll_frame(context),
            Rest::Waiting { .. } => Poll::Pending,
            // An end would make a part look whole. Nobody asks any more whose fault it is.
            Rest::GivenUp => Poll::Ready(Some(Err(Failure::BrokenOff.into()))),
        }
    }
}

/// Reads up to what is kept; a longer body passes through from there on. Gives the bytes that were read, too. The client
/// may let its bytes be waited for that long, in all.
pub async fn read(body: Body, within: Duration) -> Result<(Payload, Bytes), Failure> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let body = Limited::new(body, REQUEST_BYTES_MAX).boxed_unsync();
    let mut body: Body = Upload::new(body, within).boxed_unsync();
    let mut kept = Vec::with_capacity(announced.unwrap_or(0).min(KEPT_BYTES_MAX));
    let beyond = fill(&mut body, &mut kept).await?;
    // What is counted is what is kept, so there must be no room behind it.
    kept.shrink_to_fit();
    let bytes = Bytes::from(kept);
    let payload = match beyond {
        None => Payload::Kept(bytes.clone()),
        Some(beyond) => {
            let rest = Prefixed::new(beyond, body, None).boxed_unsync();
            Payload::Streamed(Arc::new(Mutex::new(Some(Long { beginning: bytes.clone(), rest }))))
        }
    };
    Ok((payload, bytes))
}

/// How long the answer to a request may take, by the bytes that were read of it: a batch for many recipients has
/// longer. What the request says of itself wrongly is refused where it is inspected.
pub fn answer_within(asked: Option<Operation>, beginning: &[u8], whole: bool) -> Duration {
    let Some(operation) = asked else { return ANSWER_WITHIN };
    if operation.deadline_max() == operation.deadline(0) || !Passing::may_have_recipients(beginning) {
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

/// Reads up to what is kept. If the body goes on behind it, gives what came of that.
async fn fill(body: &mut Body, kept: &mut Vec<u8>) -> Result<Option<Bytes>, Failure> {
    while kept.len() < KEPT_BYTES_MAX {
        let Some(frame) = body.frame().await else { return Ok(None) };
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::TooLarge { bytes_max: REQUEST_BYTES_MAX }
            } else {
                Failure::BrokenOff
            }
        })?;
        if let Ok(mut data) = frame.into_data() {
            let fitting = data.split_to(data.len().min(KEPT_BYTES_MAX - kept.len()));
            reserve(kept, fitting.len());
            kept.extend_from_slice(&fitting);
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }
    Ok(if body.is_end_stream() { None } else { Some(Bytes::new()) })
}

/// Makes room for so many bytes more. If that is not known beforehand, it doubles, but never beyond what is kept.
fn reserve(kept: &mut Vec<u8>, more: usize) {
    let needed = kept.len() + more;
    if needed > kept.capacity() {
        let capacity = needed.max(2 * kept.capacity()).min(KEPT_BYTES_MAX);
        kept.reserve_exact(capacity - kept.len());
    }
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
pub const KEPT_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    fn body(bytes: usize) -> Body {
        Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn the_rest_of_a_long_request_is_left_for_another_attempt_until_it_may_pass() {
        let stream =
            futures::stream::iter((0..48).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 64 << 10])))));
        let body: Body = http_body_util::StreamBody::new(stream).boxed_unsync();
        let (payload, beginning) = read(body, Duration::from_secs(60)).await.unwrap();
        for _ in 0..3 {
            let (mut body, release) = payload.take().unwrap();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first.len(), beginning.len());
            assert!(futures::FutureExt::now_or_never(body.frame()).is_none());
            drop(release);
            // No end, and not taken from the next one.
            assert!(body.frame().await.unwrap().is_err());
            assert!(payload.is_left());
        }
        let (body, release) = payload.take().unwrap();
        release.release();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 3 << 20);
        assert!(!payload.is_left() && payload.take().is_none());
    }

    fn chunks(bytes: usize, of: usize) -> Body {
        let pieces: Vec<_> = vec![b'x'; bytes].chunks(of).map(Bytes::copy_from_slice).collect();
        let stream = futures::stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
        http_body_util::StreamBody::new(stream).boxed_unsync()
    }

    #[tokio::test]
    async fn no_more_is_kept_than_is_counted() {
        for (bytes, of, beyond) in [
            (700_000, 10_000, None),
            (KEPT_BYTES_MAX, 10_000, Some(0)),
            (KEPT_BYTES_MAX + 5_000, 10_000, Some(1_424)),
            (3 << 20, 100_000, Some(51_424)),
            (3 << 20, 3 << 20, Some(2 << 20)),
        ] {
            let mut kept = Vec::new();
            let left = fill(&mut chunks(bytes, of), &mut kept).await.unwrap();
            assert_eq!((kept.len(), left.map(|left| left.len())), (bytes.min(KEPT_BYTES_MAX), beyond));
            assert!(kept.capacity() <= KEPT_BYTES_MAX, "{}", kept.capacity());
            let (payload, beginning) = read(chunks(bytes, of), Duration::from_secs(60)).await.unwrap();
            assert_eq!(beginning.len(), kept.len());
            let (body, release) = payload.take().unwrap();
            release.release();
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), bytes);
        }
        // Of one that is announced nothing is moved.
        let mut kept = Vec::with_capacity(70_000);
        let at = kept.as_ptr();
        assert_eq!(fill(&mut body(70_000), &mut kept).await.unwrap(), None);
        kept.shrink_to_fit();
        assert_eq!((kept.as_ptr(), kept.len(), kept.capacity()), (at, 70_000, 70_000));
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

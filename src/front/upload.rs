//! A request's body for whose bytes a client may let us wait only so long in all: whoever sends one byte a second would
//! hold a connection to the service for as long as an answer may take.

use super::times::BODY_RATE_MIN;
use crate::relay::Failure;
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The bytes as they come. What whoever takes them needs is not the client's time.
pub(super) struct Upload {
    body: Body,
    patience: Duration,
    left: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Upload {
    /// `patience` is for all of them; whoever sends fast enough does not use it up.
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        Upload { body, patience, left: patience, waiting: None }
    }
}

/// The time that so many bytes may take.
fn earned(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / BODY_RATE_MIN
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            if let Some((since, _)) = self.waiting.take() {
                self.left = self.left.saturating_sub(since.elapsed());
            }
            if let Poll::Ready(Some(Ok(frame))) = &polled {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.left = (self.left + earned(bytes)).min(self.patience);
            }
            return polled;
        }
        let left = self.left;
        let (_, sleep) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        sleep.as_mut().poll(context).map(|()| Some(Err(Failure::BrokenOff.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    /// A body of which a byte comes every so often, so many times.
    fn trickling(every: Duration, times: u32) -> Body {
        trickling_by(1, every, times)
    }

    fn trickling_by(bytes: usize, every: Duration, times: u32) -> Body {
        let stream = futures::stream::unfold(0, move |sent| async move {
            if sent == times {
                return None;
            }
            sleep(every).await;
            Some((Ok::<_, Infallible>(Frame::data(vec![b'x'; bytes].into())), sent + 1))
        });
        StreamBody::new(stream).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test(start_paused = true)]
    async fn what_trickles_is_given_up_and_what_is_taken_late_is_not() {
        let patience = Duration::from_secs(15);
        let begun = Instant::now();
        let slow = Upload::new(trickling(Duration::from_secs(1), 100), patience).collect().await;
        assert!(slow.unwrap_err().is::<Failure>());
        assert!((patience..patience + Duration::from_secs(1)).contains(&begun.elapsed()));
        // It takes longer, at a rate of half a megabyte a second.
        let steady = trickling_by(64 << 10, Duration::from_millis(150), 128);
        assert_eq!(Upload::new(steady, patience).collect().await.unwrap().to_bytes().len(), 8 << 20);
        // All the time goes by while nobody asks.
        let mut body = Upload::new(trickling(Duration::from_millis(100), 100), patience);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().unwrap().len();
            let later = Instant::now() + Duration::from_secs(1);
            tokio::time::timeout_at(later, std::future::pending::<()>()).await.unwrap_err();
        }
        assert_eq!(bytes, 100);
    }
}

//! An answer that keeps something until it has ended: what its request takes of the limits, or that it is being answered.

use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Keeps something until a body is dropped. It is handed out in small pieces: hyper takes the next one only while little is
/// unsent (`max_buf_size`), and takes a piece of any length at once, so a long one would be over before it is sent.
pub(super) fn until_the_end<H: Send + Unpin + 'static>(body: Body, held: H) -> Body {
    Holding { body, rest: Bytes::new(), _held: held }.boxed_unsync()
}

struct Holding<H> {
    body: Body,
    /// Of the frame that came last.
    rest: Bytes,
    _held: H,
}

impl<H: Unpin> HttpBody for Holding<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let bytes = self.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, of_body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// Few enough that they are soon sent, and enough for two records of TLS.
const PIECE_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::strict::HEAD_BYTES_MAX;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn full(bytes: usize) -> Body {
        Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn a_long_frame_comes_in_pieces_and_none_is_lost() {
        let mut body = until_the_end(full(100_000), ());
        let mut left = 100_000;
        while left > 0 {
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), false));
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!((1..=PIECE_BYTES_MAX).contains(&piece.len()));
            left -= piece.len() as u64;
        }
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn what_is_held_is_given_back_when_little_is_unsent() {
        const BYTES: usize = 1 << 20;
        // What hyper takes at once, one piece beyond it, and the head.
        const UNSENT_MAX: usize = HEAD_BYTES_MAX + PIECE_BYTES_MAX + 1_024;
        let held = Arc::new(());
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let holding = held.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let body = until_the_end(full(BYTES), holding.clone());
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let serving =
            http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).serve_connection(TokioIo::new(ours), service);
        let reading = async {
            theirs.write_all(b"GET / HTTP/1.1\r\nHost: rms\r\nConnection: close\r\n\r\n").await.unwrap();
            let (mut read, mut buffer) = (0, [0; 1_024]);
            loop {
                let bytes = theirs.read(&mut buffer).await.unwrap();
                read += bytes;
                // This, the service's, and that of the answer.
                if Arc::strong_count(&held) < 3 || bytes == 0 {
                    return read;
                }
            }
        };
        let read = tokio::select! {
            read = reading => read,
            _ = serving => panic!("the answer is over, and what it held is not"),
        };
        assert!((BYTES - UNSENT_MAX..BYTES).contains(&read), "given back after {read} bytes");
    }
}

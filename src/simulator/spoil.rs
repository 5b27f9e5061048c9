//! What a fault makes of an answer.

use super::fault::Fault;
use super::service::Served;
use super::wire::Cut;
use crate::rms::{SoapVersion, fault};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The bytes of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// There is to be no answer: the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(super) struct CutOff;

pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// Answers as the fault has it.
pub(super) async fn answer(
    fault: Option<Fault>,
    soap: SoapVersion,
    served: Served,
    cut: &Cut,
) -> Result<Response<Body>, CutOff> {
    let message = Bytes::from(served.message);
    let good = |body| with_type(served.status, soap.content_type(), body);
    let Some(fault) = fault else { return Ok(good(whole(message))) };
    Ok(match fault {
        Fault::Status(status, retry_after) => page(status, retry_after),
        Fault::Redirect(location) => with_header(html(StatusCode::FOUND, "moved"), LOCATION, &location),
        Fault::Html => html(StatusCode::OK, "Please accept the terms of use of this network."),
        Fault::Empty => with_type(StatusCode::OK, soap.content_type(), whole(Bytes::new())),
        Fault::Endless => with_type(StatusCode::OK, soap.content_type(), endless(soap)),
        Fault::HalfClosed => {
            let half = message.slice(..message.len() / 2);
            good(Half { half: Some(half), length: message.len() as u64, cut: cut.clone() }.boxed_unsync())
        }
        Fault::Cut => good(whole(message.slice(..message.len() / 2))),
        Fault::EncodedPage => {
            let page = with_type(StatusCode::OK, soap.content_type(), whole(PAGE));
            with_header(page, CONTENT_ENCODING, "identity")
        }
        Fault::Disguised => {
            let message = fault::message(soap, fault::exception::UNSPECIFIED, "simulated");
            with_type(StatusCode::OK, soap.content_type(), whole(message))
        }
        Fault::Reset => {
            cut.reset();
            return Err(CutOff);
        }
        Fault::Slow(span) => good(slow(message, span)),
        Fault::Silent => std::future::pending().await,
        Fault::Soap(exception) => {
            let message = fault::message(soap, &exception, "simulated");
            with_type(StatusCode::INTERNAL_SERVER_ERROR, soap.content_type(), whole(message))
        }
        // They act elsewhere.
        Fault::Latency(..) | Fault::Refused(_) | Fault::Certificate(_) => good(whole(message)),
    })
}

fn page(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let response = html(status, &format!("{status} (simulated)"));
    let response = match retry_after {
        Some(seconds) => with_header(response, RETRY_AFTER, &seconds.to_string()),
        None => response,
    };
    match status {
        StatusCode::UNAUTHORIZED => with_header(response, WWW_AUTHENTICATE, "Bearer realm=\"simulated\""),
        _ => response,
    }
}

fn html(status: StatusCode, words: &str) -> Response<Body> {
    let page = format!("<!DOCTYPE html>\n<html><body><h1>{words}</h1></body></html>\n");
    with_type(status, "text/html; charset=utf-8", whole(page))
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn with_header(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A message that goes on in white space for as long as somebody reads it.
fn endless(soap: SoapVersion) -> Body {
    let begin = format!("<soap:Envelope xmlns:soap=\"{}\"><soap:Body>", soap.namespace());
    let begin = std::iter::once(Bytes::from(begin));
    let rest = std::iter::repeat(Bytes::from(vec![b' '; ENDLESS_PIECE_BYTES]));
    let frames = begin.chain(rest).map(|bytes| Ok(Frame::data(bytes)));
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

fn slow(message: Bytes, span: Duration) -> Body {
    let piece = message.len().div_ceil(SLOW_PIECES as usize).max(1);
    let stream = futures::stream::unfold(message, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(span / SLOW_PIECES).await;
        let now = left.split_to(piece.min(left.len()));
        Some((Ok(Frame::data(now)), left))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// Half of what the length says. Then the connection is closed in this direction.
struct Half {
    half: Option<Bytes>,
    length: u64,
    cut: Cut,
}

impl HttpBody for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.half.take() {
            Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
            None => {
                // What was written is flushed next, and the wire closes then. The client ends the rest.
                self.cut.close_sending();
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

const PAGE: &str =
    "<?xml version=\"1.0\"?>\n<!DOCTYPE html>\n<html><body>GetServerInfoResponse</body></html>\n";
const ENDLESS_PIECE_BYTES: usize = 64 << 10;
const SLOW_PIECES: u32 = 20;

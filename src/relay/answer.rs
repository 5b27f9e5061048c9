//! What the service answered: whether a calling server may get it as it is. An answer that would make mail bounce,
//! or that nobody can read, is trouble of the service and not an answer.

use super::{ANSWER_BYTES_MAX, Answered, Deadline, Failure};
use crate::upstream::{self, Body, BodyError};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    /// 401.
    #[error("the service wants to know who the connector is (401)")]
    Unauthorized,
    /// 403.
    #[error("the service refuses the connector (403)")]
    Forbidden,
    /// 404.
    #[error("the service has nothing at this path (404)")]
    NotFound,
    /// 429.
    #[error("the service has too much to do (429)")]
    Throttled {
        /// When to come again, as it said; empty if it did not.
        retry_after: String,
    },
    /// 3xx.
    #[error("the service sends the connector elsewhere ({0})")]
    Redirect(u16),
    /// 5xx without a SOAP fault.
    #[error("the service is out of order ({0})")]
    OutOfOrder(u16),
    /// Any other status.
    #[error("the service answered with the status {0}")]
    Status(u16),
    /// A page.
    #[error("the answer is {0:?} and no XML: something else answers in the place of the service")]
    NotXml(String),
    /// No bytes.
    #[error("the answer is empty: something cuts answers on the way, as devices do that look into TLS")]
    Empty,
    /// More bytes than any answer has.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It ended too early.
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    /// It did not end in time.
    #[error("the answer began and did not go on in time")]
    TooSlow,
}

impl BadAnswer {
    /// The label of metrics and audit records.
    pub(super) fn word(&self) -> &'static str {
        match self {
            BadAnswer::Unauthorized => "unauthorized",
            BadAnswer::Forbidden => "forbidden",
            BadAnswer::NotFound => "not-found",
            BadAnswer::Throttled { .. } => "throttled",
            BadAnswer::Redirect(_) => "redirect",
            BadAnswer::OutOfOrder(_) => "out-of-order",
            BadAnswer::Status(_) => "other-status",
            BadAnswer::NotXml(_) => "not-xml",
            BadAnswer::Empty => "empty",
            BadAnswer::TooLong => "too-long",
            BadAnswer::BrokenOff(_) => "broken-off",
            BadAnswer::TooSlow => "too-slow",
        }
    }

    /// Whether the service is as good as away: nobody there has judged the request or the connector.
    pub(super) fn is_away(&self) -> bool {
        match self {
            BadAnswer::OutOfOrder(_)
            | BadAnswer::NotXml(_)
            | BadAnswer::Empty
            | BadAnswer::BrokenOff(_)
            | BadAnswer::TooSlow => true,
            BadAnswer::Unauthorized
            | BadAnswer::Forbidden
            | BadAnswer::NotFound
            | BadAnswer::Throttled { .. }
            | BadAnswer::Redirect(_)
            | BadAnswer::Status(_)
            | BadAnswer::TooLong => false,
        }
    }

    /// What the calling server is told.
    pub(super) fn failure(&self) -> Failure {
        match self {
            BadAnswer::Throttled { retry_after } => Failure::Throttled { retry_after: retry_after.clone() },
            _ => Failure::Upstream { reason: self.to_string() },
        }
    }
}

/// Looks at the head and the first bytes of an answer. `report` hears of what goes wrong later.
pub(super) async fn check(
    answer: upstream::Answer,
    deadline: Deadline,
    report: impl FnOnce(&BadAnswer) + Send + 'static,
) -> Result<Answered, BadAnswer> {
    let upstream::Answer { status, content_type, content_encoding, retry_after, body } = answer;
    check_head(status, &content_type, retry_after)?;
    let body = Limited::new(body, ANSWER_BYTES_MAX).boxed_unsync();
    let mut body = Bounded::new(body, deadline);
    let first = loop {
        match body.frame().await {
            None => return Err(BadAnswer::Empty),
            Some(frame) => match frame.map_err(|error| bad(&error))?.into_data() {
                Ok(data) if !data.is_empty() => break data,
                _ => {}
            },
        }
    };
    if content_encoding.is_empty() && is_page(&first) {
        return Err(BadAnswer::NotXml(content_type));
    }
    body.report = Some(Box::new(report));
    let body = super::Prefixed::new(first, body.boxed_unsync(), None).boxed_unsync();
    Ok(Answered { status, content_type, content_encoding, body })
}

fn check_head(status: StatusCode, content_type: &str, retry_after: String) -> Result<(), BadAnswer> {
    let xml = is_xml(content_type);
    match status.as_u16() {
        401 => Err(BadAnswer::Unauthorized),
        403 => Err(BadAnswer::Forbidden),
        404 => Err(BadAnswer::NotFound),
        429 => Err(BadAnswer::Throttled { retry_after }),
        code @ 300..400 => Err(BadAnswer::Redirect(code)),
        // A fault; with SOAP 1.2 the caller's own has 400.
        200 | 400 | 500 if xml => Ok(()),
        code @ 500.. => Err(BadAnswer::OutOfOrder(code)),
        200 => Err(BadAnswer::NotXml(content_type.to_owned())),
        code => Err(BadAnswer::Status(code)),
    }
}

fn is_xml(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "text/xml" | "application/soap+xml" | "application/xml")
}

/// A page of a device in the way, whatever its content type says.
fn is_page(first: &[u8]) -> bool {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    begins(b"<!doctype html") || begins(b"<html")
}

fn bad(error: &BodyError) -> BadAnswer {
    if error.is::<LengthLimitError>() {
        BadAnswer::TooLong
    } else if error.is::<Late>() {
        BadAnswer::TooSlow
    } else {
        BadAnswer::BrokenOff(crate::event::with_causes(&**error))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer did not go on in time")]
struct Late;

/// The answer's bytes: its beginning by the deadline, and a long one always going on.
struct Bounded {
    body: Body,
    until: Pin<Box<Sleep>>,
    bytes: usize,
    report: Option<Report>,
}

/// Hears of what goes wrong with an answer after its beginning.
type Report = Box<dyn FnOnce(&BadAnswer) + Send>;

impl Bounded {
    fn new(body: Body, deadline: Deadline) -> Self {
        Bounded { body, until: Box::pin(tokio::time::sleep(deadline.left())), bytes: 0, report: None }
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => match this.until.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => Some(Err(Box::new(Late) as BodyError)),
            },
            Poll::Ready(polled) => polled,
        };
        match &polled {
            Some(Ok(frame)) => {
                this.bytes += frame.data_ref().map_or(0, Bytes::len);
                if this.bytes >= HELD_BYTES {
                    this.until.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
                }
            }
            Some(Err(error)) => {
                if let Some(report) = this.report.take() {
                    report(&bad(error));
                }
            }
            None => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// So much a front waits for before the client sees any of it; the rest is on its way when the deadline comes.
const HELD_BYTES: usize = 1 << 20;
/// The time-out of .NET for a stream that stands still is far longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn check_status(status: u16, content_type: &str) -> Option<&'static str> {
        let status = StatusCode::from_u16(status).unwrap();
        check_head(status, content_type, String::new()).err().map(|bad| bad.word())
    }

    #[test]
    fn only_messages_pass() {
        for xml in ["text/xml", "Text/XML; charset=utf-8", "application/soap+xml; action=\"x\""] {
            for status in [200, 400, 500] {
                assert_eq!(check_status(status, xml), None, "{status} {xml}");
            }
            for status in (300..600).chain(201..300).filter(|status| ![400, 500].contains(status)) {
                assert!(check_status(status, xml).is_some(), "{status} {xml}");
            }
        }
        for other in ["", "text/html", "text/plain; a=text/xml", "application/xhtml+xml"] {
            assert_eq!(check_status(200, other), Some("not-xml"), "{other}");
            assert_eq!(check_status(500, other), Some("out-of-order"), "{other}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_beginning() {
        for page in ["<!DOCTYPE html>", "\n <HTML lang=en>", "\u{feff}<!doctype HTML"] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for message in ["<?xml version=\"1.0\"?>", "<soap:Envelope", "<h", ""] {
            assert!(!is_page(message.as_bytes()), "{message}");
        }
    }
}

//! What the service answered: whether a calling server may get it as it is. An answer that would make mail bounce,
//! or that nobody can read, is trouble of the service and not an answer.

use super::{ANSWER_BYTES_MAX, Answered, Deadline, Failure};
use crate::upstream::{self, Body, BodyError};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
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
    /// 508: the service is this cluster, or one that sends to it.
    #[error("the request has come back to a cluster that it came through (508)")]
    Loop,
    /// 5xx without a SOAP fault.
    #[error("the service is out of order ({0})")]
    OutOfOrder(u16),
    /// Any other status.
    #[error("the service answered with the status {0}")]
    Status(u16),
    /// An encoding that nobody asked for.
    #[error(
        "the answer has the encoding {0:?}, which was not asked for: something answers in the service's place"
    )]
    Encoding(String),
    /// A message of which the end is missing, or that answers another question.
    #[error("the answer is not the one to the question: {0}")]
    NotTheAnswer(String),
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
            BadAnswer::Loop => "loop",
            BadAnswer::OutOfOrder(_) => "out-of-order",
            BadAnswer::Status(_) => "other-status",
            BadAnswer::Encoding(_) => "encoding",
            BadAnswer::NotTheAnswer(_) => "not-the-answer",
            BadAnswer::NotXml(_) => "not-xml",
            BadAnswer::Empty => "empty",
            BadAnswer::TooLong => "too-long",
            BadAnswer::BrokenOff(_) => "broken-off",
            BadAnswer::TooSlow => "too-slow",
        }
    }

    /// Who has spoken.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            BadAnswer::Unauthorized | BadAnswer::Forbidden | BadAnswer::NotFound => Verdict::Judged,
            BadAnswer::OutOfOrder(_)
            | BadAnswer::Encoding(_)
            | BadAnswer::NotTheAnswer(_)
            | BadAnswer::NotXml(_)
            | BadAnswer::Empty
            | BadAnswer::BrokenOff(_)
            | BadAnswer::TooSlow => Verdict::Away,
            BadAnswer::Throttled { .. }
            | BadAnswer::Loop
            | BadAnswer::Redirect(_)
            | BadAnswer::Status(_)
            | BadAnswer::TooLong => Verdict::Undecided,
        }
    }

    /// What the calling server is told, and whether another node may try.
    pub(super) fn failure(&self) -> Failure {
        let reason = self.to_string();
        match self {
            BadAnswer::Throttled { retry_after } => Failure::Throttled { retry_after: retry_after.clone() },
            BadAnswer::OutOfOrder(_)
            | BadAnswer::Encoding(_)
            | BadAnswer::NotTheAnswer(_)
            | BadAnswer::NotXml(_)
            | BadAnswer::Empty
            | BadAnswer::BrokenOff(_) => Failure::Upstream { reason },
            BadAnswer::Unauthorized
            | BadAnswer::Forbidden
            | BadAnswer::NotFound
            | BadAnswer::Loop
            | BadAnswer::Redirect(_)
            | BadAnswer::Status(_)
            | BadAnswer::TooLong
            | BadAnswer::TooSlow => Failure::Lasting { reason },
        }
    }
}

/// Who has spoken, where there is no answer to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The service, about the request or the connector.
    Judged,
    /// Nobody who knows: the service is as good as away.
    Away,
    /// Somebody, about neither of the two.
    Undecided,
}

/// Looks at the head and the first bytes of an answer. `report` hears of what goes wrong later.
pub(super) async fn check(
    answer: upstream::Answer,
    accept_encoding: &str,
    deadline: Deadline,
    report: impl FnOnce(&BadAnswer) + Send + 'static,
) -> Result<Answered, BadAnswer> {
    let upstream::Answer { status, content_type, content_encoding, retry_after, body } = answer;
    check_head(status, &content_type, &retry_after)?;
    let content_encoding = check_encoding(&content_encoding, accept_encoding)?;
    let body = Limited::new(body, ANSWER_BYTES_MAX).boxed_unsync();
    let mut body = Bounded::new(body, deadline);
    let mut first = BytesMut::new();
    let mut is_whole = false;
    while !is_whole && first.len() < BEGINNING_BYTES {
        match body.frame().await {
            None => is_whole = true,
            Some(frame) => {
                if let Ok(data) = frame.map_err(|error| bad(&error))?.into_data() {
                    first.extend_from_slice(&data);
                }
            }
        }
    }
    let bytes_min = if content_encoding.is_empty() { 1 } else { PACKED_BYTES_MIN };
    if is_whole && first.len() < bytes_min {
        return Err(BadAnswer::Empty);
    }
    if content_encoding.is_empty() && is_page(&first) {
        return Err(not_xml(&content_type));
    }
    body.report = Some(Box::new(report));
    let body = super::Prefixed::new(first.freeze(), body.boxed_unsync(), None).boxed_unsync();
    Ok(Answered { status, content_type, content_encoding, body })
}

fn check_head(status: StatusCode, content_type: &str, retry_after: &str) -> Result<(), BadAnswer> {
    let xml = is_xml(content_type);
    match status.as_u16() {
        401 => Err(BadAnswer::Unauthorized),
        403 => Err(BadAnswer::Forbidden),
        404 => Err(BadAnswer::NotFound),
        429 => Err(BadAnswer::Throttled { retry_after: again_after(retry_after) }),
        code @ 300..400 => Err(BadAnswer::Redirect(code)),
        // A fault; with SOAP 1.2 the caller's own has 400.
        200 | 400 | 500 if xml => Ok(()),
        508 => Err(BadAnswer::Loop),
        code @ 500.. => Err(BadAnswer::OutOfOrder(code)),
        200 => Err(not_xml(content_type)),
        code => Err(BadAnswer::Status(code)),
    }
}

fn is_xml(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "text/xml" | "application/soap+xml" | "application/xml")
}

fn not_xml(content_type: &str) -> BadAnswer {
    BadAnswer::NotXml(content_type.chars().take(SHOWN_CHARS_MAX).collect())
}

/// When to come again, in seconds: as the service said it, within what a calling server can wait.
fn again_after(retry_after: &str) -> String {
    let text = retry_after.trim();
    let until = || OffsetDateTime::parse(text, &Rfc2822).ok().map(|at| at - OffsetDateTime::now_utc());
    let seconds = match text.parse::<u32>() {
        Ok(seconds) => Some(i64::from(seconds)),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => Some(i64::MAX),
        Err(_) => until().map(time::Duration::whole_seconds),
    };
    seconds.unwrap_or(AGAIN_AFTER_SECONDS).clamp(1, AGAIN_AFTER_SECONDS_MAX).to_string()
}

/// The encoding, without `identity`, which is none. Each must have been asked for (RFC 9110 12.5.3).
fn check_encoding(encoding: &str, accepted: &str) -> Result<String, BadAnswer> {
    let name = |text: &str| text.trim().to_ascii_lowercase().trim_start_matches("x-").to_owned();
    let encodings: Vec<_> =
        encoding.split(',').map(name).filter(|it| !it.is_empty() && it != "identity").collect();
    let is_asked_for = |encoding: &String| {
        accepted.split(',').any(|item| {
            let (item, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight.trim().trim_start_matches("q=");
            let refused = weight.starts_with('0') && weight.bytes().all(|byte| matches!(byte, b'0' | b'.'));
            !refused && (name(item) == *encoding || item.trim() == "*")
        })
    };
    if encodings.iter().all(is_asked_for) {
        Ok(encodings.join(", "))
    } else {
        Err(BadAnswer::Encoding(encoding.chars().take(SHOWN_CHARS_MAX).collect()))
    }
}

/// A page of a device in the way, whatever its content type says. No message of SOAP has a document type.
fn is_page(first: &[u8]) -> bool {
    let mut text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    loop {
        text = text.trim_ascii_start();
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            _ => break,
        };
        let Some(at) = memchr::memmem::find(text, end) else { return false };
        text = text.get(at + end.len()..).unwrap_or_default();
    }
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    begins(b"<!doctype") || begins(b"<html")
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
    /// However slowly it comes, it ends by then.
    end: Instant,
    bytes: usize,
    report: Option<Report>,
}

/// Hears of what goes wrong with an answer after its beginning.
type Report = Box<dyn FnOnce(&BadAnswer) + Send>;

impl Bounded {
    fn new(body: Body, deadline: Deadline) -> Self {
        let until = Box::pin(tokio::time::sleep(deadline.left()));
        Bounded { body, until, end: Instant::now() + WHOLE_TIMEOUT, bytes: 0, report: None }
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
                    this.until.as_mut().reset((Instant::now() + IDLE_TIMEOUT).min(this.end));
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
/// 64 MiB at 2 Mbit/s.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A declaration and a comment stand before a page; what it is shows by then.
const BEGINNING_BYTES: usize = 512;
/// An envelope has more than that, however it is packed; nothing at all, packed, has 20.
const PACKED_BYTES_MIN: usize = 64;
/// What is shown of a header that anybody may have written.
const SHOWN_CHARS_MAX: usize = 100;
/// Where the service does not say it.
const AGAIN_AFTER_SECONDS: i64 = 10;
/// Mail should not lie for longer because of one answer.
const AGAIN_AFTER_SECONDS_MAX: i64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn check_status(status: u16, content_type: &str) -> Option<&'static str> {
        let status = StatusCode::from_u16(status).unwrap();
        check_head(status, content_type, "").err().map(|bad| bad.word())
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
        for page in [
            "<!DOCTYPE html>",
            "\n <HTML lang=en>",
            "\u{feff}<!doctype HTML",
            "<?xml version=\"1.0\"?>\r\n<!DOCTYPE html>",
            "<!-- a -> b --> <?x?><!-- --><html>",
        ] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for message in ["<?xml version=\"1.0\"?>", "<?xml <html>", "<!-- <html>", "<soap:Envelope", "<h", ""]
        {
            assert!(!is_page(message.as_bytes()), "{message}");
        }
    }

    #[test]
    fn an_encoding_must_have_been_asked_for() {
        for (encoding, accepted, given) in [
            ("", "", Some("")),
            ("identity", "", Some("")),
            ("gzip", "", None),
            ("gzip", "gzip, deflate", Some("gzip")),
            ("x-gzip", "deflate, GZIP;q=0.5", Some("gzip")),
            ("gzip", "gzip;q=0", None),
            ("gzip", "gzip;q=0.000, *", Some("gzip")),
            ("deflate, gzip", "gzip", None),
            ("br", "*", Some("br")),
        ] {
            assert_eq!(check_encoding(encoding, accepted).ok().as_deref(), given, "{encoding} {accepted}");
        }
    }

    #[test]
    fn a_time_to_come_again_is_a_number_that_a_caller_can_wait_for() {
        for (said, given) in [
            ("", "10"),
            ("7", "7"),
            ("0", "1"),
            ("86400", "300"),
            ("99999999999999999999", "300"),
            ("soon", "10"),
        ] {
            assert_eq!(again_after(said), given, "{said}");
        }
        assert_eq!(again_after("Wed, 21 Oct 2015 07:28:00 GMT"), "1");
        assert_eq!(again_after("Wed, 21 Oct 2099 07:28:00 GMT"), "300");
    }

    fn answer(encoding: &str, frames: &[&'static str]) -> upstream::Answer {
        let frames: Vec<_> = frames
            .iter()
            .map(|it| Ok::<_, BodyError>(Frame::data(Bytes::from_static(it.as_bytes()))))
            .collect();
        upstream::Answer {
            status: StatusCode::OK,
            content_type: "text/xml".into(),
            content_encoding: encoding.into(),
            retry_after: String::new(),
            body: http_body_util::StreamBody::new(futures::stream::iter(frames)).boxed_unsync(),
        }
    }

    async fn check_answer(encoding: &str, frames: &[&'static str]) -> Result<Bytes, &'static str> {
        let deadline = Deadline::after(Duration::from_secs(60));
        let answered = check(answer(encoding, frames), "gzip", deadline, |_| {}).await;
        let answered = answered.map_err(|bad| bad.word())?;
        Ok(answered.body.collect().await.map_err(|_| "broken")?.to_bytes())
    }

    #[tokio::test]
    async fn a_page_is_known_in_whatever_pieces_it_comes() {
        for page in
            [&["\r\n", "<!DOCTYPE html>"][..], &["<", "html>"], &["<?xml version='1.0'?>", "<!DOCTYPE html>"]]
        {
            assert_eq!(check_answer("", page).await, Err("not-xml"), "{page:?}");
            assert_eq!(check_answer("identity", page).await, Err("not-xml"), "{page:?}");
        }
        assert_eq!(
            check_answer("", &["", "<s:", "Envelope/>"]).await,
            Ok(Bytes::from_static(b"<s:Envelope/>"))
        );
        assert_eq!(check_answer("", &["", ""]).await, Err("empty"));
        assert_eq!(check_answer("gzip", &["gzip of nothing"]).await, Err("empty"));
        assert_eq!(check_answer("br", &["a"]).await, Err("encoding"));
    }

    #[test]
    fn only_what_a_second_try_can_mend_is_tried_again() {
        let again = |bad: BadAnswer| matches!(bad.failure(), Failure::Upstream { .. });
        assert!(
            again(BadAnswer::OutOfOrder(503))
                && again(BadAnswer::Empty)
                && again(BadAnswer::NotXml("".into()))
        );
        for bad in [
            BadAnswer::Unauthorized,
            BadAnswer::Forbidden,
            BadAnswer::NotFound,
            BadAnswer::Redirect(302),
            BadAnswer::Status(407),
            BadAnswer::TooLong,
            BadAnswer::TooSlow,
            BadAnswer::Throttled { retry_after: "7".into() },
        ] {
            assert!(!again(bad.clone()), "{bad}");
        }
    }
}

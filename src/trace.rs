//! Which request a line of the log or a span belongs to, across nodes: W3C Trace Context
//! (<https://www.w3.org/TR/trace-context/>), and the spans that a collector may be told.

mod span;

pub use span::{Ended, Kind, Span, Spans};

use http::HeaderMap;
use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// A request and the part of its way that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    sampled: bool,
}

impl TraceContext {
    /// One of our own, for a request that came without. It has the request's id.
    #[must_use]
    pub fn begin(request_id: u128) -> Self {
        let trace_id = NonZeroU128::new(request_id).unwrap_or(NonZeroU128::MIN);
        TraceContext { trace_id, span_id: new_id(), sampled: true }
    }

    /// What the headers say, if they say it once and as the standard has it: what is not valid is none at all.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut said = headers.get_all(TRACEPARENT).iter();
        let text = said.next()?.to_str().ok()?;
        if said.next().is_some() { None } else { TraceContext::parse(text) }
    }

    /// Reads `traceparent`. Of a later version the part that is known counts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version, trace_id, span_id, flags] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let version = digits(version, 2)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let span_id = u64::try_from(digits(span_id, 16)?).ok()?;
        Some(TraceContext {
            trace_id: NonZeroU128::new(digits(trace_id, 32)?)?,
            span_id: NonZeroU64::new(span_id)?,
            sampled: digits(flags, 2)? & 1 == 1,
        })
    }

    /// A part of this one, with an id of its own.
    #[must_use]
    pub fn child(&self) -> Self {
        TraceContext { span_id: new_id(), ..*self }
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Both as numbers.
    #[must_use]
    pub fn ids(&self) -> (u128, u64) {
        (self.trace_id.get(), self.span_id.get())
    }

    /// Whether somebody wants to hear of it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Says something about this request: every line of the log in it carries both ids.
    pub fn say<T>(&self, request_id: &str, words: impl FnOnce() -> T) -> T {
        let trace_id = self.trace_id();
        tracing::error_span!("request", request_id, trace_id).in_scope(words)
    }
}

/// As `traceparent` has it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// So many hexadecimal digits, none of them a capital.
fn digits(text: &str, length: usize) -> Option<u128> {
    let sound = text.len() == length && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    if sound { u128::from_str_radix(text, 16).ok() } else { None }
}

fn new_id() -> NonZeroU64 {
    NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN)
}

const TRACEPARENT: &str = "traceparent";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_one_is_taken_and_goes_on_with_an_id_of_its_own() {
        let parent = TraceContext::parse(GOOD).unwrap();
        assert_eq!(parent.to_string(), GOOD);
        let child = parent.child();
        assert_eq!((child.trace_id(), child.sampled), (parent.trace_id(), true));
        assert_ne!(child.span_id(), parent.span_id());
        assert_eq!(TraceContext::parse(&child.to_string()), Some(child));
        let later =
            TraceContext::parse(&GOOD.replace("00-", "cc-").replace("-01", "-00-more-of-it")).unwrap();
        assert!(!later.is_sampled());
        let own = TraceContext::begin(7);
        assert_eq!(own.trace_id(), format!("{:032x}", 7));
    }

    #[test]
    fn what_is_not_valid_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(TraceContext::of(&headers).is_some());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(TraceContext::of(&headers), None, "said twice");
    }
}

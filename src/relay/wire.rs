//! The hop's bytes: a head before the request's body, and frames instead of an answer.

use super::{Answered, Course, Facts, Failure, Hamper, Hampered, Head, Readiness, via::Via};
use crate::principal::{Account, AccountName, Binding, Caller, Channel, Mechanism, Sid};
use crate::proto::peer::v1::{self as proto, failure, relay_frame};
use crate::rms;
use crate::trace::TraceContext;
use crate::upstream::{Body, BodyError};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Where a hop request goes.
pub const HANDLE_PATH: &str = "/rmsc.peer.v1.Relay/Handle";
/// Where a request goes for which only an answer is wanted that the node has kept. An older node knows nothing there, so
/// it cannot ask the service again.
pub const KEPT_PATH: &str = "/rmsc.peer.v1.Relay/Kept";
/// Where a front asks whether a node takes requests.
pub const READY_PATH: &str = "/rmsc.peer.v1.Relay/Ready";

/// The other end of the hop does not speak as it should.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection or the stream ended.
    #[error("the hop broke off")]
    Broken {
        /// The cause, if there is one.
        source: Option<BodyError>,
    },
    /// A frame of a later version.
    #[error("the hop carried a frame that is not known here")]
    Unknown,
    /// The bytes mean nothing.
    #[error("the hop carried {0}")]
    Unreadable(&'static str),
}

/// Writes the head that precedes a request's body, with the time that is left.
#[must_use]
pub fn encode_head(head: &Head, budget_ms: u32) -> Bytes {
    let caller = &head.caller;
    let message = proto::RelayHead {
        request_id: head.request_id.clone(),
        caller: Some(proto::Caller {
            sid: caller.account.sid.to_string(),
            domain: caller.account.name.domain().into(),
            name: caller.account.name.name().into(),
            groups: caller.account.groups.iter().map(ToString::to_string).collect(),
            mechanism: match caller.mechanism {
                Mechanism::Ntlm => proto::Mechanism::Ntlm.into(),
                Mechanism::Kerberos => proto::Mechanism::Kerberos.into(),
            },
            channel: match caller.channel {
                Channel::Https => proto::Channel::Https.into(),
                Channel::Http => proto::Channel::Http.into(),
            },
            computer: caller.computer.clone(),
            bound_to_channel: caller.binding == Binding::Channel,
        }),
        path: head.endpoint.path().into(),
        budget_ms,
        content_type: head.content_type.clone(),
        soap_action: head.soap_action.clone(),
        user_agent: head.user_agent.clone(),
        accept_encoding: head.accept_encoding.clone(),
        base: head.base.clone(),
        front_node: head.front_node.clone(),
        attempt: head.attempt,
        body_bytes: head.body_bytes,
        via: head.via.marks().to_vec(),
        traceparent: head.trace.to_string(),
    };
    message.encode_length_delimited_to_vec().into()
}

/// Reads a head off the beginning of a body: the head, its budget in milliseconds, and what follows it.
pub(super) async fn read_head(body: &mut Body) -> Result<(Head, u32, Bytes), FrameError> {
    let mut buffer = BytesMut::new();
    let bytes = next_message(body, &mut buffer, HEAD_BYTES_MAX).await?;
    let message = proto::RelayHead::decode(bytes).map_err(|_| FrameError::Unreadable("no head"))?;
    let budget_ms = message.budget_ms;
    let head = head(message).ok_or(FrameError::Unreadable("a head without a valid caller or path"))?;
    Ok((head, budget_ms, buffer.freeze()))
}

fn head(message: proto::RelayHead) -> Option<Head> {
    let mechanism = match message.caller.as_ref()?.mechanism() {
        proto::Mechanism::Ntlm => Mechanism::Ntlm,
        proto::Mechanism::Kerberos => Mechanism::Kerberos,
        proto::Mechanism::Unspecified => return None,
    };
    let channel = match message.caller.as_ref()?.channel() {
        proto::Channel::Https => Channel::Https,
        proto::Channel::Http => Channel::Http,
        proto::Channel::Unspecified => return None,
    };
    let caller = message.caller?;
    let binding = if caller.bound_to_channel { Binding::Channel } else { Binding::None };
    let account = Account {
        sid: caller.sid.parse().ok()?,
        name: AccountName::new(&caller.domain, &caller.name)?,
        groups: caller.groups.iter().map(|sid| sid.parse::<Sid>()).collect::<Result<_, _>>().ok()?,
    };
    Some(Head {
        request_id: message.request_id,
        caller: Arc::new(Caller { account, mechanism, binding, channel, computer: caller.computer }),
        endpoint: rms::route(&message.path)?,
        content_type: message.content_type,
        soap_action: message.soap_action,
        user_agent: message.user_agent,
        accept_encoding: message.accept_encoding,
        base: message.base,
        front_node: message.front_node,
        attempt: message.attempt,
        body_bytes: message.body_bytes,
        via: Via::of_marks(message.via.iter().map(String::as_str)),
        kept_only: false,
        course: Course::default(),
        trace: TraceContext::parse(&message.traceparent)
            .unwrap_or_else(|| TraceContext::begin(rand::random())),
    })
}

fn encode_facts(facts: &Facts) -> proto::Facts {
    proto::Facts {
        operation: facts.operation.map(|operation| operation.word().to_owned()).unwrap_or_default(),
        entry: facts.entry.clone(),
        role: facts.role.clone(),
        service_us: facts.service_time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        trouble: facts.trouble.clone(),
        kept_seconds: facts.kept_for.map(|age| age.as_secs()),
        may_be_kept: facts.may_be_kept,
    }
}

fn facts(message: Option<proto::Facts>) -> Facts {
    let message = message.unwrap_or_default();
    Facts {
        operation: rms::Operation::ALL.into_iter().find(|operation| operation.word() == message.operation),
        entry: message.entry,
        role: message.role,
        service_time: message.service_us.map(Duration::from_micros),
        trouble: message.trouble,
        kept_for: message.kept_seconds.map(Duration::from_secs),
        may_be_kept: message.may_be_kept,
    }
}

pub(super) fn frame(frame: relay_frame::Frame) -> Bytes {
    proto::RelayFrame { frame: Some(frame) }.encode_length_delimited_to_vec().into()
}

pub(super) fn started_frame(facts: &Facts) -> Bytes {
    frame(relay_frame::Frame::Started(proto::Started { facts: Some(encode_facts(facts)) }))
}

pub(super) fn answer_frame(answered: &Answered, facts: &Facts) -> Bytes {
    frame(relay_frame::Frame::Answer(proto::Answer {
        status: answered.status.as_u16().into(),
        content_type: answered.content_type.clone(),
        content_encoding: answered.content_encoding.clone(),
        facts: Some(encode_facts(facts)),
    }))
}

pub(super) fn failure_frame(failure: &Failure, facts: &Facts) -> Bytes {
    use failure::Kind;
    let (kind, reason) = match failure {
        Failure::NotAuthorized(reason) => (Kind::NotAuthorized, reason.clone()),
        Failure::RoleRefused(reason) => (Kind::RoleRefused, reason.clone()),
        Failure::NtlmRefused(reason) => (Kind::NtlmRefused, reason.clone()),
        Failure::Malformed(reason) => (Kind::Malformed, reason.clone()),
        Failure::UnsupportedMedia(reason) => (Kind::UnsupportedMedia, reason.clone()),
        Failure::TooLarge { bytes_max } => (Kind::TooLarge, bytes_max.to_string()),
        Failure::OverLimit(reason) => (Kind::TooLarge, reason.clone()),
        Failure::Upstream { reason } => (Kind::Upstream, reason.clone()),
        Failure::Unsent { reason } => (Kind::NotReady, reason.clone()),
        Failure::Lasting { reason } => (Kind::Upstream, reason.clone()),
        Failure::Throttled { .. } => (Kind::Upstream, failure.to_string()),
        Failure::Overdue => (Kind::Overdue, String::new()),
        Failure::BrokenOff => (Kind::BrokenOff, String::new()),
        Failure::NotReady(reason) => (Kind::NotReady, reason.clone()),
    };
    let facts = Some(encode_facts(facts));
    let lasting = matches!(failure, Failure::Lasting { .. });
    let unsent = matches!(failure, Failure::Unsent { .. });
    let retry_after = match failure {
        Failure::Throttled { retry_after } => Some(retry_after.clone()),
        _ => None,
    };
    frame(relay_frame::Frame::Failure(proto::Failure {
        kind: kind.into(),
        reason,
        facts,
        lasting,
        retry_after,
        unsent,
    }))
}

fn failure(message: proto::Failure) -> Failure {
    use failure::Kind;
    let kind = message.kind();
    let proto::Failure { reason, lasting, retry_after, unsent, .. } = message;
    match kind {
        Kind::NotAuthorized => Failure::NotAuthorized(reason),
        Kind::RoleRefused => Failure::RoleRefused(reason),
        Kind::NtlmRefused => Failure::NtlmRefused(reason),
        Kind::Malformed => Failure::Malformed(reason),
        Kind::UnsupportedMedia => Failure::UnsupportedMedia(reason),
        Kind::TooLarge => match reason.parse() {
            Ok(bytes_max) => Failure::TooLarge { bytes_max },
            Err(_) => Failure::OverLimit(reason),
        },
        Kind::Upstream => match (retry_after, lasting) {
            (Some(retry_after), _) => Failure::Throttled { retry_after },
            (None, true) => Failure::Lasting { reason },
            (None, false) => Failure::Upstream { reason },
        },
        Kind::Overdue => Failure::Overdue,
        Kind::BrokenOff => Failure::BrokenOff,
        Kind::NotReady if unsent => Failure::Unsent { reason },
        Kind::NotReady => Failure::NotReady(reason),
        // Of a later version: the node is well, and has judged the request.
        Kind::Unspecified => {
            Failure::Lasting { reason: format!("a failure that is not known here: {reason}") }
        }
    }
}

pub(super) fn encode_readiness(readiness: &Readiness) -> Bytes {
    let none = proto::Hamper::Unspecified;
    let (ready, reason, hamper) = match readiness {
        Readiness::Ready => (true, String::new(), none),
        // To a front that knows no hampers it is ready.
        Readiness::Hampered(hampered) => (true, hampered.reason.clone(), hamper_to_wire(hampered.by)),
        Readiness::NotReady(reason) => (false, reason.clone(), none),
    };
    proto::Readiness { ready, reason, hamper: hamper.into() }.encode_to_vec().into()
}

/// Reads a node's answer to whether it takes requests.
///
/// # Errors
/// [`FrameError::Unreadable`].
pub fn read_readiness(bytes: Bytes) -> Result<Readiness, FrameError> {
    let message = proto::Readiness::decode(bytes).map_err(|_| FrameError::Unreadable("no readiness"))?;
    let by = match message.hamper() {
        proto::Hamper::Unspecified => None,
        proto::Hamper::Service => Some(Hamper::Service),
        proto::Hamper::Load => Some(Hamper::Load),
    };
    Ok(match (message.ready, by) {
        (true, None) => Readiness::Ready,
        (true, Some(by)) => Readiness::Hampered(Hampered { by, reason: message.reason }),
        (false, _) => Readiness::NotReady(message.reason),
    })
}

fn hamper_to_wire(hamper: Hamper) -> proto::Hamper {
    match hamper {
        Hamper::Service => proto::Hamper::Service,
        Hamper::Load => proto::Hamper::Load,
    }
}

/// Reads the frames of a hop's answer.
pub struct Frames {
    body: Body,
    buffer: BytesMut,
}

/// What a front reads.
pub enum Read {
    /// The request is about to be sent to the service.
    Started {
        /// What the relay has found out.
        facts: Facts,
    },
    /// The answer begins.
    Answer {
        /// Its status.
        status: http::StatusCode,
        /// Its content type.
        content_type: String,
        /// Its content encoding.
        content_encoding: String,
        /// What the relay has found out.
        facts: Facts,
    },
    /// A piece of the answer.
    Data(Bytes),
    /// The answer is whole.
    End,
    /// There is none.
    Failure {
        /// Why.
        failure: Failure,
        /// What the relay has found out.
        facts: Facts,
    },
}

impl Frames {
    /// Reads from this body.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Frames { body, buffer: BytesMut::new() }
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`FrameError`]; an answer is whole only with its [`Read::End`].
    pub async fn next(&mut self) -> Result<Read, FrameError> {
        let bytes = next_message(&mut self.body, &mut self.buffer, FRAME_BYTES_MAX).await?;
        let message = proto::RelayFrame::decode(bytes).map_err(|_| FrameError::Unreadable("no frame"))?;
        Ok(match message.frame.ok_or(FrameError::Unknown)? {
            relay_frame::Frame::Started(started) => Read::Started { facts: facts(started.facts) },
            relay_frame::Frame::Answer(answer) => Read::Answer {
                status: u16::try_from(answer.status)
                    .ok()
                    .and_then(|status| http::StatusCode::from_u16(status).ok())
                    .ok_or(FrameError::Unreadable("an impossible status"))?,
                content_type: answer.content_type,
                content_encoding: answer.content_encoding,
                facts: facts(answer.facts),
            },
            relay_frame::Frame::Data(data) => Read::Data(data),
            relay_frame::Frame::End(_) => Read::End,
            relay_frame::Frame::Failure(mut message) => {
                let facts = facts(message.facts.take());
                Read::Failure { failure: failure(message), facts }
            }
        })
    }
}

/// Takes the next length-delimited message off a body.
async fn next_message(body: &mut Body, buffer: &mut BytesMut, bytes_max: usize) -> Result<Bytes, FrameError> {
    loop {
        if let Some(message) = take_message(buffer, bytes_max)? {
            return Ok(message);
        }
        let frame = body.frame().await.ok_or(FrameError::Broken { source: None })?;
        let frame = frame.map_err(|source| FrameError::Broken { source: Some(source) })?;
        if let Ok(data) = frame.into_data() {
            buffer.extend_from_slice(&data);
        }
    }
}

fn take_message(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let mut peek: &[u8] = buffer;
    let Ok(length) = prost::decode_length_delimiter(&mut peek) else {
        let too_long = buffer.len() >= DELIMITER_BYTES_MAX;
        return if too_long { Err(FrameError::Unreadable("no length")) } else { Ok(None) };
    };
    if length > bytes_max {
        return Err(FrameError::Unreadable("a message over its limit"));
    }
    if peek.len() < length {
        return Ok(None);
    }
    let delimiter = buffer.len() - peek.len();
    buffer.advance(delimiter);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Room for a caller of a thousand groups, whose SIDs have at most 184 characters.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// A frame carries at most one piece of a body as HTTP/2 or the upstream delivered it.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// The longest encoding of a 64-bit length.
const DELIMITER_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn check_head(caller: Caller) {
        let head = Head {
            request_id: "0".repeat(32),
            caller: Arc::new(caller),
            endpoint: rms::route("/_wmcs/licensing/license.asmx").unwrap(),
            content_type: "text/xml".into(),
            soap_action: "\"x\"".into(),
            user_agent: "ua".into(),
            accept_encoding: "gzip".into(),
            base: "https://rms".into(),
            front_node: "node-1".into(),
            attempt: 1,
            body_bytes: Some(7),
            kept_only: false,
            via: Via::of_marks(["0".repeat(32).as_str()].into_iter()),
            course: Course::default(),
            trace: TraceContext::begin(5),
        };
        let decoded = proto::RelayHead::decode_length_delimited(encode_head(&head, 25_000)).unwrap();
        assert_eq!(decoded.budget_ms, 25_000);
        let read = super::head(decoded).unwrap();
        assert_eq!(read.caller, head.caller);
        assert_eq!(read.endpoint, head.endpoint);
        assert_eq!(read.trace, head.trace);
        assert_eq!((read.body_bytes, &read.via), (head.body_bytes, &head.via));
        assert_eq!(read.via.marks().len(), 1);
    }

    #[test]
    fn a_caller_crosses_the_hop_unchanged() {
        let sid = |rid| Sid::new(5, &[21, 1, 2, 3, rid]).unwrap();
        let account = Account {
            sid: sid(1),
            name: AccountName::new("LAB", "exch01$").unwrap(),
            groups: (2..1_002).map(sid).collect(),
        };
        for binding in [Binding::None, Binding::Channel] {
            check_head(Caller {
                account: account.clone(),
                mechanism: Mechanism::Ntlm,
                binding,
                channel: Channel::Http,
                computer: "10.0.0.1".into(),
            });
        }
    }

    #[test]
    fn a_head_without_a_caller_is_refused() {
        assert!(
            head(proto::RelayHead { path: "/_wmcs/licensing/license.asmx".into(), ..Default::default() })
                .is_none()
        );
    }

    async fn read(bytes: Bytes) -> Result<Read, FrameError> {
        let body = http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
        Frames::new(body).next().await
    }

    #[tokio::test]
    async fn failures_cross_the_hop_unchanged_and_later_ones_are_failures_too() {
        let reason = || "why".to_owned();
        for failure in [
            Failure::NotAuthorized(reason()),
            Failure::TooLarge { bytes_max: 7 },
            Failure::OverLimit(reason()),
            Failure::Upstream { reason: reason() },
            Failure::Lasting { reason: reason() },
            Failure::Throttled { retry_after: "7".into() },
            Failure::Throttled { retry_after: String::new() },
            Failure::NotReady(reason()),
            Failure::Unsent { reason: reason() },
        ] {
            let frame = failure_frame(&failure, &Facts::default());
            let Ok(Read::Failure { failure: read, .. }) = read(frame).await else { panic!("{failure}") };
            assert_eq!(read, failure);
        }
        let later = proto::Failure { kind: 99, reason: reason(), ..Default::default() };
        let later = frame(relay_frame::Frame::Failure(later));
        let Ok(Read::Failure { failure, .. }) = read(later).await else { panic!("no failure") };
        assert!(matches!(failure, Failure::Lasting { .. }), "{failure}");
        // A frame of one field that nobody knows yet.
        let unknown = Bytes::from_static(&[3, 0xfa, 0x01, 0]);
        assert!(matches!(read(unknown).await, Err(FrameError::Unknown)));
    }

    #[tokio::test]
    async fn what_is_known_when_the_service_is_asked_crosses_the_hop_before_its_answer() {
        let facts = Facts { entry: "S-1-5-7".into(), role: "exchange".into(), ..Facts::default() };
        let Ok(Read::Started { facts: read }) = read(started_frame(&facts)).await else {
            panic!("another frame")
        };
        assert_eq!(read, facts);
    }

    #[test]
    fn messages_are_taken_only_whole_and_within_their_limit() {
        let mut buffer = BytesMut::from(&frame(relay_frame::Frame::Data(Bytes::from_static(b"hello")))[..]);
        let whole = buffer.clone();
        let mut half = BytesMut::from(&whole[..whole.len() - 1]);
        assert!(take_message(&mut half, 100).unwrap().is_none());
        let mut long = whole;
        assert!(take_message(&mut long, 3).is_err());
        assert!(take_message(&mut buffer, 100).unwrap().is_some());
        assert!(buffer.is_empty());
    }
}

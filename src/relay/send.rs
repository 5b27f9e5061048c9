//! Sends a request to the service, once, and says what is wrong with what comes back. What tells what the service
//! is and has may be answered with what it said before, while it cannot be reached.

use super::answer::{BadAnswer, check};
use super::kept::{self, KeptAnswer, Question};
use super::{Answered, Deadline, Failure, Head, Permit, Prefixed, Relay, Watched, broken_body};
use crate::event::{BadAnswers, Event};
use crate::rms::Operation;
use crate::upstream::{Body, OnBehalfOf, Outgoing, Trouble};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use std::time::{Duration, Instant, SystemTime};

/// A request that may be sent.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) permit: &'a Permit,
    pub(super) head: &'a Head,
    pub(super) operation: Operation,
    pub(super) deadline: Deadline,
}

/// The service gave no answer that a calling server may get.
struct NoAnswer {
    failure: Failure,
    /// Whether it cannot be reached, as far as one can tell.
    away: bool,
}

impl Relay {
    /// Sends the request and waits until the answer begins.
    pub(super) async fn send(&self, asking: Asking<'_>, body: Body) -> Result<Answered, Failure> {
        // The front has the same deadline, and must still hear why there is no answer.
        let asking = Asking { deadline: asking.deadline.earlier_by(MARGIN), ..asking };
        if kept::is_kept(asking.operation) {
            return self.send_or_keep(asking, body).await;
        }
        self.ask(asking, body).await.map_err(|none| none.failure)
    }

    async fn send_or_keep(&self, asking: Asking<'_>, body: Body) -> Result<Answered, Failure> {
        let Asking { permit, head, operation, deadline } = asking;
        let body = body.collect().await.map_err(|error| broken_body(&error))?.to_bytes();
        let service = self.upstream.tenant_url();
        let key = Question {
            service: &service,
            service_kind: self.upstream.kind_word(),
            path: head.endpoint.path(),
            operation,
            content_type: &head.content_type,
            soap_action: &head.soap_action,
            accept_encoding: &head.accept_encoding,
            entry: &permit.entry().sid.to_string(),
            role: permit.entry().role.word(),
            body: &body,
        }
        .key();
        // Who can be helped with a kept answer does not wait for as long as who cannot.
        let is_held = self.kept.find(key).is_some();
        let deadline = if is_held { deadline.or_after(KEPT_AFTER) } else { deadline };
        let asked = async {
            let answered = self.ask(Asking { deadline, ..asking }, whole(body)).await?;
            self.read_whole(answered).await
        };
        match asked.await {
            Ok((answered, bytes)) => {
                if let (StatusCode::OK, Some(body)) = (answered.status, bytes) {
                    let answer = KeptAnswer {
                        content_type: answered.content_type.clone(),
                        content_encoding: answered.content_encoding.clone(),
                        at: SystemTime::now(),
                        body,
                    };
                    self.kept.keep(operation, key, answer);
                }
                Ok(answered)
            }
            Err(none) => match self.kept.find(key).filter(|_| none.away) {
                Some((answer, age)) => {
                    head.course.note(|facts| facts.kept_for = Some(age));
                    self.metrics.kept_answer(operation);
                    self.kept.say(operation, age, &none.failure.to_string());
                    Ok(Answered {
                        status: StatusCode::OK,
                        content_type: answer.content_type,
                        content_encoding: answer.content_encoding,
                        body: whole(answer.body),
                    })
                }
                None => Err(none.failure),
            },
        }
    }

    /// Asks the service itself.
    async fn ask(&self, asking: Asking<'_>, body: Body) -> Result<Answered, NoAnswer> {
        let Asking { permit, head, deadline, .. } = asking;
        let (body, fault) = Watched::new(body);
        let outgoing = Outgoing {
            request_id: head.request_id.clone(),
            path: head.endpoint.path(),
            content_type: head.content_type.clone(),
            soap_action: head.soap_action.clone(),
            user_agent: head.user_agent.clone(),
            accept_encoding: head.accept_encoding.clone(),
            on_behalf_of: OnBehalfOf {
                caller: head.caller.account.sid.to_string(),
                entry: permit.entry().sid.to_string(),
                role: permit.entry().role.word(),
                front_node: head.front_node.clone(),
            },
            body: body.boxed_unsync(),
            timeout: deadline.left(),
        };
        let begun = Instant::now();
        let sent = self.upstream.send(outgoing).await;
        head.course.note(|facts| facts.service_time = Some(begun.elapsed()));
        let answer = match (sent, fault.failure()) {
            (Ok(answer), _) => answer,
            (Err(_), Some(failure)) => return Err(NoAnswer { failure, away: false }),
            (Err(error), None) => {
                head.course.note(|facts| facts.trouble = error.trouble.word().to_owned());
                return Err(NoAnswer {
                    failure: self.upstream_failure(&error),
                    away: is_away(&error.trouble),
                });
            }
        };
        let (relay, course) = (self.clone(), head.course.clone());
        let later = move |bad: &BadAnswer| {
            course.note(|facts| facts.trouble = bad.word().to_owned());
            relay.bad_answer(bad);
        };
        check(answer, deadline, later).await.map_err(|bad| {
            head.course.note(|facts| facts.trouble = bad.word().to_owned());
            self.bad_answer(&bad);
            NoAnswer { failure: bad.failure(), away: bad.is_away() }
        })
    }

    /// Reads an answer to its end, if it is not too long to be kept.
    async fn read_whole(&self, answered: Answered) -> Result<(Answered, Option<Bytes>), NoAnswer> {
        let Answered { status, content_type, content_encoding, mut body } = answered;
        let answered = |body| Answered { status, content_type, content_encoding, body };
        let mut bytes = BytesMut::new();
        while bytes.len() <= kept::ANSWER_BYTES_MAX {
            let Some(frame) = body.frame().await else {
                let bytes = bytes.freeze();
                return Ok((answered(whole(bytes.clone())), Some(bytes)));
            };
            let frame = frame.map_err(|error| NoAnswer {
                failure: Failure::Upstream { reason: format!("the answer broke off: {error}") },
                away: true,
            })?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok((answered(Prefixed::new(bytes.freeze(), body, None).boxed_unsync()), None))
    }

    /// Counts an answer that nobody gets, and says so once in a while.
    fn bad_answer(&self, bad: &BadAnswer) {
        self.metrics.bad_answer(bad.word());
        let reason = bad.to_string();
        if self.bad_answers.is_new(bad.word(), Instant::now()) {
            Event::BadAnswer { why: event(bad), reason: &reason }.log();
        } else {
            tracing::debug!(reason, "the service failed again");
        }
    }
}

fn event(bad: &BadAnswer) -> BadAnswers {
    match bad {
        BadAnswer::Unauthorized | BadAnswer::Forbidden => BadAnswers::Denied,
        BadAnswer::NotFound | BadAnswer::Redirect(_) | BadAnswer::Status(_) => BadAnswers::OtherService,
        BadAnswer::Throttled { .. } => BadAnswers::Throttled,
        BadAnswer::OutOfOrder(_) => BadAnswers::OutOfOrder,
        BadAnswer::NotXml(_) | BadAnswer::Empty => BadAnswers::NoMessages,
        BadAnswer::TooLong | BadAnswer::BrokenOff(_) | BadAnswer::TooSlow => BadAnswers::Unfinished,
    }
}

/// Whether the service cannot be reached, as far as one can tell.
fn is_away(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Refused
        | Trouble::Unreachable
        | Trouble::NoName { .. }
        | Trouble::Tls(_)
        | Trouble::ProxyUnreachable
        | Trouble::ProxyLogin
        | Trouble::ProxyRefused { .. }
        | Trouble::ProxyPassword
        | Trouble::Lost
        | Trouble::TimedOut { .. } => true,
        // Whether the connector may, is another question than whether the service is there.
        Trouble::NotAllowed { .. }
        | Trouble::NoLogin
        | Trouble::LoginRefused
        | Trouble::NoToken
        | Trouble::TokenRefused
        | Trouble::Unsendable { .. } => false,
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Enough for a frame to cross the hop.
const MARGIN: Duration = Duration::from_millis(250);
/// Exchange asks once for how it encrypts, and takes no answer within 30 s for an answer.
const KEPT_AFTER: Duration = Duration::from_secs(10);

//! Sends a request to the service, once, and says what is wrong with what comes back.

use super::answer::{BadAnswer, Verdict, check};
use super::gate::Gate;
use super::{Answered, Deadline, Failure, Head, Mark, Permit, Relay, Watched, trouble};
use crate::event::{BadAnswers, Event, with_causes};
use crate::rms::agreement::headers_of;
use crate::rms::envelope::Inspected;
use crate::upstream::{Body, OnBehalfOf, Outgoing, SendError, Trouble};
use http_body_util::BodyExt;
use std::time::{Duration, Instant};

/// A request that may be sent.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) permit: &'a Permit,
    pub(super) gate: &'a Gate,
    pub(super) head: &'a Head,
    pub(super) inspected: &'a Inspected,
    pub(super) deadline: Deadline,
}

/// The service gave no answer that a calling server may get.
pub(super) struct NoAnswer {
    pub(super) failure: Failure,
    pub(super) verdict: Verdict,
}

impl Asking<'_> {
    /// What is sent. What is looked at as a whole must come as it is.
    pub(super) fn outgoing(&self, own: &Mark, body: Body) -> Outgoing {
        let Asking { permit, gate, head, inspected, deadline } = self;
        let kept = inspected.operation.is_kept();
        let (content_type, soap_action) = headers_of(inspected);
        Outgoing {
            request_id: head.request_id.clone(),
            path: head.endpoint.path(),
            content_type,
            soap_action,
            user_agent: head.user_agent.clone(),
            accept_encoding: if kept { String::new() } else { head.accept_encoding.clone() },
            via: head.via.and(own),
            on_behalf_of: OnBehalfOf {
                caller: head.caller.account.sid.to_string(),
                entry: permit.entry().sid.to_string(),
                role: permit.entry().role.word(),
                front_node: head.front_node.clone(),
            },
            body,
            attempt: head.attempt,
            gate: gate.for_upstream(),
            timeout: deadline.left(),
        }
    }
}

impl Relay {
    /// Sends the request and waits until the answer begins.
    pub(super) async fn send(&self, asking: Asking<'_>, body: Body) -> Result<Answered, Failure> {
        // The front has the same deadline, and must still hear why there is no answer.
        let asking = Asking { deadline: asking.deadline.earlier_by(MARGIN), ..asking };
        if asking.inspected.operation.is_kept() {
            return self.send_or_keep(asking, body).await;
        }
        if asking.head.kept_only {
            return Err(Failure::Lasting { reason: "answers to this operation are not kept".into() });
        }
        self.ask(asking, asking.outgoing(&self.mark, body)).await.map_err(|none| none.failure)
    }

    /// Asks the service itself.
    pub(super) async fn ask(&self, asking: Asking<'_>, outgoing: Outgoing) -> Result<Answered, NoAnswer> {
        let Asking { head, gate, deadline, .. } = asking;
        let accepted = outgoing.accept_encoding.clone();
        let (body, fault) = Watched::new(outgoing.body);
        let outgoing = Outgoing { body: body.boxed_unsync(), timeout: deadline.left(), ..outgoing };
        let begun = Instant::now();
        let sent = self.upstream.send(outgoing).await;
        head.course.note(|facts| facts.service_time = Some(begun.elapsed()));
        let answer = match (sent, fault.failure().or_else(|| gate.refused())) {
            // Whatever comes back: it is for a request that was not sent to its end.
            (_, Some(failure)) => return Err(NoAnswer { failure, verdict: Verdict::Undecided }),
            (Ok(answer), None) => answer,
            (Err(error), None) => {
                head.course.note(|facts| facts.trouble = error.trouble.word().to_owned());
                let failure = head.trace.say(&head.request_id, || self.upstream_failure(&error));
                let verdict = verdict(&error.trouble);
                return Err(NoAnswer { failure, verdict });
            }
        };
        let (relay, course) = (self.clone(), head.course.clone());
        let (request_id, trace) = (head.request_id.clone(), head.trace);
        let later = move |bad: &BadAnswer| {
            course.note(|facts| facts.trouble = bad.word().to_owned());
            trace.say(&request_id, || relay.bad_answer(bad));
        };
        let checked = check(answer, &accepted, deadline, later).await;
        let answered = checked.map_err(|bad| self.no_answer(head, &bad))?;
        self.metrics.service_answered();
        Ok(answered)
    }

    /// What follows from a bad answer, which is counted and said.
    pub(super) fn no_answer(&self, head: &Head, bad: &BadAnswer) -> NoAnswer {
        head.course.note(|facts| facts.trouble = bad.word().to_owned());
        head.trace.say(&head.request_id, || self.bad_answer(bad));
        NoAnswer { failure: bad.failure(), verdict: bad.verdict() }
    }

    fn upstream_failure(&self, error: &SendError) -> Failure {
        let reason = with_causes(error);
        // Our own limits, and what a caller sent, say nothing of the service.
        if !matches!(error.trouble, Trouble::Busy { .. } | Trouble::Unsendable { .. }) {
            self.metrics.service_failed(&reason);
        }
        // While the service is away, every request meets the same trouble.
        if self.troubles.is_new(error.trouble.word(), Instant::now()) {
            trouble::event(&error.trouble, &reason).log();
        } else {
            tracing::debug!(reason, "the service failed again");
        }
        if error.trouble == Trouble::NoToken {
            return Failure::Unsent { reason };
        }
        if helps_again(&error.trouble) { Failure::Upstream { reason } } else { Failure::Lasting { reason } }
    }

    /// Counts an answer that nobody gets, and says so once in a while.
    fn bad_answer(&self, bad: &BadAnswer) {
        self.metrics.bad_answer(bad.word());
        let reason = bad.to_string();
        self.metrics.service_failed(&reason);
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
        BadAnswer::Loop => BadAnswers::Loop,
        BadAnswer::NotXml(_) | BadAnswer::Empty | BadAnswer::Encoding(_) => BadAnswers::NoMessages,
        BadAnswer::TooLong | BadAnswer::BrokenOff(_) | BadAnswer::TooSlow | BadAnswer::NotTheAnswer(_) => {
            BadAnswers::Unfinished
        }
    }
}

/// Who has spoken, where there was trouble on the way.
fn verdict(trouble: &Trouble) -> Verdict {
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
        | Trouble::Busy { .. }
        | Trouble::TimedOut { .. } => Verdict::Away,
        Trouble::LoginRefused | Trouble::TokenRefused => Verdict::Judged,
        // Whether the connector can ask, is another question than whether the service is there.
        Trouble::NotAllowed { .. } | Trouble::NoLogin | Trouble::NoToken | Trouble::Unsendable { .. } => {
            Verdict::Undecided
        }
    }
}

/// Whether another node may fare better. One more proof of a wrong password only locks the account, which is the same
/// on all nodes; what one node's file or line lacks, another's may have.
fn helps_again(trouble: &Trouble) -> bool {
    // After a time-out there is no time for another.
    trouble.another_node_may_help() && !matches!(trouble, Trouble::TimedOut { .. })
}

/// Enough for a frame to cross the hop.
const MARGIN: Duration = Duration::from_millis(250);

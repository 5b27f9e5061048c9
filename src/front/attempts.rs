//! One request to one node, or to another if the first gives no answer: the only layer that retries.

use super::answer::Outcome;
use super::balance::Rotation;
use super::budget::Budget;
use super::metrics::Metrics;
use super::payload::Payload;
use super::peers::{HopError, Peers, Ready, Target};
use crate::event::{Event, Seen};
use crate::relay::{Answered, Deadline, Facts, Failure, Head};
use crate::trace::{Kind, Span, Spans, TraceContext};
use crate::upstream::{Body, BodyError};
use bytes::BytesMut;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use std::time::{Duration, Instant};

/// Picks nodes and tries them.
pub struct Attempts {
    peers: Peers,
    rotation: Rotation,
    budget: Budget,
    spans: Spans,
    metrics: Metrics,
    troubles: Seen<()>,
}

/// What follows from a failed attempt.
enum Next {
    /// The request did not start: another node may have it.
    Another(String),
    /// Nothing was sent to the service: another node may have what this one lacks.
    Elsewhere(HopError),
    /// It may have started: once more, if the budget allows.
    Retry(HopError),
    /// It is over.
    Over(Outcome),
}

/// What came of asking one node after the other.
enum Round {
    /// It is over, by this node.
    Over(Outcome, Option<String>),
    /// Nobody has taken it, as the last one says.
    NotTaken(String),
}

impl Attempts {
    /// Tries these nodes.
    pub fn new(peers: Peers, spans: Spans, metrics: Metrics) -> Self {
        Attempts {
            peers,
            rotation: Rotation::new(rand::random_range(0..1 << 16)),
            budget: Budget::new(Instant::now()),
            spans,
            metrics,
            troubles: Seen::new(EVENT_EVERY),
        }
    }

    /// Gets the request answered: the outcome, and the node that answered.
    pub async fn run(
        &self,
        mut head: Head,
        payload: Payload,
        attempts_max: u32,
        deadline: Deadline,
    ) -> (Outcome, Option<String>) {
        self.budget.earn(Instant::now());
        let (outcome, node) = self.try_nodes(&mut head, &payload, attempts_max, deadline).await;
        if head.course.facts().may_be_kept
            && let Some(found) = self.kept_elsewhere(head, &payload, deadline).await
        {
            return found;
        }
        (outcome, node)
    }

    /// Looks for an answer that another node has kept: the service is not asked again for it.
    async fn kept_elsewhere(
        &self,
        head: Head,
        payload: &Payload,
        deadline: Deadline,
    ) -> Option<(Outcome, Option<String>)> {
        let before = head.course.facts();
        let head = Head { kept_only: true, ..head };
        let ready = self.peers.ready();
        // Who cannot reach the service may have kept what it said.
        for target in ready.targets().iter().chain(ready.reserve()) {
            if !payload.is_left() || deadline.is_over() {
                break;
            }
            match self.attempt((&ready, target), &head, payload, deadline).await {
                Ok(answered) => {
                    let Facts { trouble, service_time, .. } = before;
                    head.course.note(|now| (now.trouble, now.service_time) = (trouble, service_time));
                    return Some((Outcome::Answered(answered), Some(target.name.clone())));
                }
                // Meanwhile the caller may not any more.
                Err(Next::Over(Outcome::Failed(failure))) if failure.is_of_the_caller() => {
                    return Some((Outcome::Failed(failure), Some(target.name.clone())));
                }
                Err(_) => {}
            }
        }
        let _ = head.course.replace(before);
        None
    }

    /// Once round all nodes, and again while none of them has taken it and there is time: a front that was frozen, or has
    /// no processor, takes all of them for dead at first.
    async fn try_nodes(
        &self,
        head: &mut Head,
        payload: &Payload,
        attempts_max: u32,
        deadline: Deadline,
    ) -> (Outcome, Option<String>) {
        let (until, front) = (Deadline::now().later(PATIENCE).min(deadline), head.trace);
        loop {
            let ready = self.peers.ready();
            head.trace = front;
            let why = match self.try_once(&ready, head, payload, (attempts_max, deadline)).await {
                Round::Over(outcome, node) => return (outcome, node),
                Round::NotTaken(why) => why,
            };
            if ready.targets().is_empty() || !payload.is_left() || until.is_over() {
                if self.troubles.is_new((), Instant::now()) {
                    let event = Event::Unexpected { doing: "handing a request to a node", reason: &why };
                    front.say(&head.request_id, || event.log());
                }
                return (Outcome::NoNode, None);
            }
            tokio::time::sleep(PAUSE_MAX.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    async fn try_once(
        &self,
        ready: &Ready,
        head: &mut Head,
        payload: &Payload,
        (attempts_max, deadline): (u32, Deadline),
    ) -> Round {
        let mut why = "no node is ready".to_owned();
        let (mut last, mut tried, front) = (None, false, head.trace);
        for target in self.rotation.order(ready.targets()).chain(ready.reserve()) {
            if head.attempt > attempts_max || !payload.is_left() || deadline.is_over() {
                break;
            }
            // The first one took its time, and the next may be drained by now.
            if tried && !self.peers.takes(target.id) {
                continue;
            }
            tried = true;
            let over = |outcome| Round::Over(outcome, Some(target.name.clone()));
            let _hop = self.hop(target, head, front);
            match self.attempt((ready, target), head, payload, deadline).await {
                Ok(answered) => return over(Outcome::Answered(answered)),
                Err(Next::Over(outcome)) => return over(outcome),
                Err(Next::Another(reason)) => why = format!("{}: {reason}", target.name),
                Err(Next::Elsewhere(error)) => last = Some(error),
                Err(Next::Retry(error)) => {
                    why = format!("{}: {error}", target.name);
                    let may_go_again = payload.is_left() && head.attempt < attempts_max;
                    if !may_go_again || !self.budget.spend(Instant::now()) {
                        return over(outcome_of(error));
                    }
                    head.attempt += 1;
                    self.metrics.retried();
                    if matches!(error, HopError::Failure(_)) {
                        tokio::time::sleep(JITTER_MAX.mul_f64(rand::random_range(0.0..1.0))).await;
                    }
                    last = Some(error);
                }
            }
        }
        // No second node was there for it: what the first one said stands.
        match last {
            Some(failed @ HopError::Failure(_)) => Round::Over(outcome_of(failed), None),
            Some(_) | None => Round::NotTaken(why),
        }
    }

    /// Each attempt is a part of its own, which the node that gets it goes on from.
    fn hop(&self, target: &Target, head: &mut Head, front: TraceContext) -> Span {
        head.trace = front.child();
        let mut span = self.spans.begin("hop", Kind::Client, head.trace, Some(front));
        span.note("rmsc.node", || target.name.clone());
        span.note("rmsc.attempt", || head.attempt.to_string());
        span
    }

    async fn attempt(
        &self,
        target: (&Ready, &Target),
        head: &Head,
        payload: &Payload,
        deadline: Deadline,
    ) -> Result<Answered, Next> {
        // The last attempt counts.
        let before = head.course.replace(Facts::default());
        let attempted = async {
            let handed = self.peers.hand_over(target, head, payload, deadline).await;
            let lost = handed.as_ref().is_err_and(HopError::is_of_the_node);
            self.metrics.handed(&target.1.name, lost);
            let answered = handed.map_err(next)?;
            tokio::time::timeout(deadline.left(), hold(answered))
                .await
                .map_err(|_| Next::Over(outcome_of(HopError::TimedOut)))?
                .map_err(|error| next(broken_answer(&error)))
        };
        let attempted = attempted.await;
        match &attempted {
            // It was none.
            Err(Next::Another(_)) => drop(head.course.replace(before)),
            Err(Next::Elsewhere(_) | Next::Retry(_) | Next::Over(_)) => {
                head.course.note(|now| now.may_be_kept |= before.may_be_kept);
            }
            Ok(_) => {}
        }
        attempted
    }
}

/// Keeps the answer back until it is whole, or long: a node or a service that dies in the middle of a
/// short one can then still be replaced by another.
async fn hold(answered: Answered) -> Result<Answered, BodyError> {
    let Answered { status, content_type, content_encoding, mut body } = answered;
    let mut bytes = BytesMut::new();
    let mut whole = body.is_end_stream();
    while !whole && bytes.len() < HELD_BYTES_MAX {
        match body.frame().await {
            None => whole = true,
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    bytes.extend_from_slice(&data);
                }
            }
        }
    }
    let body: Body = if whole {
        Full::new(bytes.freeze()).map_err(|never| match never {}).boxed_unsync()
    } else {
        crate::relay::Prefixed::new(bytes.freeze(), body, None).boxed_unsync()
    };
    Ok(Answered { status, content_type, content_encoding, body })
}

fn broken_answer(error: &BodyError) -> HopError {
    HopError::Failure(Failure::Upstream { reason: format!("the answer broke off: {error}") })
}

fn next(error: HopError) -> Next {
    match error {
        HopError::NotAccepted { reason } => Next::Another(reason),
        HopError::Failure(Failure::NotReady(reason)) => Next::Another(reason),
        HopError::Failure(Failure::Unsent { .. }) => Next::Elsewhere(error),
        HopError::Lost { .. } | HopError::Failure(Failure::Upstream { .. }) => Next::Retry(error),
        HopError::Failure(_) | HopError::NotStarted | HopError::TimedOut | HopError::BodyGone => {
            Next::Over(outcome_of(error))
        }
    }
}

fn outcome_of(error: HopError) -> Outcome {
    match error {
        HopError::Failure(failure) => Outcome::Failed(failure),
        HopError::NotStarted | HopError::TimedOut => Outcome::Failed(Failure::Overdue),
        HopError::NotAccepted { .. } | HopError::Lost { .. } | HopError::BodyGone => Outcome::NoNode,
    }
}

/// While no node can take requests, every request meets the same trouble.
const EVENT_EVERY: Duration = Duration::from_secs(10);
/// For how long nodes are asked again that have not taken a request: a caller would come back no sooner.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds of them.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Full jitter before a retry that goes to the same service.
const JITTER_MAX: Duration = Duration::from_millis(50);
/// Answers up to this length are whole before the client sees their beginning.
const HELD_BYTES_MAX: usize = 1 << 20;

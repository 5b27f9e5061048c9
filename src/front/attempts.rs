//! One request to one node, or to another if the first gives no answer: the only layer that retries.

use super::answer::Outcome;
use super::balance::Rotation;
use super::budget::Budget;
use super::metrics::Metrics;
use super::peers::{HopError, Payload, Peers, Target};
use crate::event::{Event, Seen};
use crate::relay::{Answered, Deadline, Facts, Failure, Head};
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

impl Attempts {
    /// Tries these nodes.
    pub fn new(peers: Peers, metrics: Metrics) -> Self {
        Attempts {
            peers,
            rotation: Rotation::new(rand::random_range(0..1 << 16)),
            budget: Budget::default(),
            metrics,
            troubles: Seen::new(EVENT_EVERY),
        }
    }

    /// Gets the request answered: the outcome, and the node that answered.
    pub async fn run(
        &self,
        mut head: Head,
        mut payload: Payload,
        attempts_max: u32,
        deadline: Deadline,
    ) -> (Outcome, Option<String>) {
        self.budget.earn();
        let (outcome, node) = self.try_nodes(&mut head, &mut payload, attempts_max, deadline).await;
        if head.course.facts().may_be_kept
            && let Some(found) = self.kept_elsewhere(head, &mut payload, deadline).await
        {
            return found;
        }
        (outcome, node)
    }

    /// Looks for an answer that another node has kept: the service is not asked again for it.
    async fn kept_elsewhere(
        &self,
        head: Head,
        payload: &mut Payload,
        deadline: Deadline,
    ) -> Option<(Outcome, Option<String>)> {
        let before = head.course.facts();
        let head = Head { kept_only: true, ..head };
        for target in self.peers.ready().iter() {
            if !payload.is_left() || deadline.is_over() {
                break;
            }
            match self.attempt(target, &head, payload, deadline).await {
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

    async fn try_nodes(
        &self,
        head: &mut Head,
        payload: &mut Payload,
        attempts_max: u32,
        deadline: Deadline,
    ) -> (Outcome, Option<String>) {
        let ready = self.peers.ready();
        let mut why = "no node is ready".to_owned();
        let mut last = None;
        for target in self.rotation.order(&ready) {
            if head.attempt > attempts_max || !payload.is_left() || deadline.is_over() {
                break;
            }
            match self.attempt(target, head, payload, deadline).await {
                Ok(answered) => return (Outcome::Answered(answered), Some(target.name.clone())),
                Err(Next::Over(outcome)) => return (outcome, Some(target.name.clone())),
                Err(Next::Another(reason)) => why = format!("{}: {reason}", target.name),
                Err(Next::Elsewhere(error)) => {
                    why = format!("{}: {error}", target.name);
                    last = Some(error);
                }
                Err(Next::Retry(error)) => {
                    why = format!("{}: {error}", target.name);
                    if !payload.is_left() || head.attempt >= attempts_max || !self.budget.spend() {
                        return (over(error), Some(target.name.clone()));
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
        if let Some(HopError::Failure(failure)) = last {
            return (Outcome::Failed(failure), None);
        }
        if self.troubles.is_new((), Instant::now()) {
            Event::Unexpected { doing: "handing a request to a node", reason: &why }.log();
        }
        (Outcome::NoNode, None)
    }

    async fn attempt(
        &self,
        target: &Target,
        head: &Head,
        payload: &mut Payload,
        deadline: Deadline,
    ) -> Result<Answered, Next> {
        // The last attempt counts.
        let before = head.course.replace(Facts::default());
        let attempted = async {
            let answered = self.peers.hand_over(target, head, payload, deadline).await.map_err(next)?;
            tokio::time::timeout(deadline.left(), hold(answered))
                .await
                .map_err(|_| Next::Over(over(HopError::TimedOut)))?
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
        HopError::Failure(_) | HopError::TimedOut | HopError::BodyGone => Next::Over(over(error)),
    }
}

fn over(error: HopError) -> Outcome {
    match error {
        HopError::Failure(failure) => Outcome::Failed(failure),
        HopError::TimedOut => Outcome::Failed(Failure::Overdue),
        HopError::NotAccepted { .. } | HopError::Lost { .. } | HopError::BodyGone => Outcome::NoNode,
    }
}

/// While no node can take requests, every request meets the same trouble.
const EVENT_EVERY: Duration = Duration::from_secs(10);
/// Full jitter before a retry that goes to the same service.
const JITTER_MAX: Duration = Duration::from_millis(50);
/// Answers up to this length are whole before the client sees their beginning.
const HELD_BYTES_MAX: usize = 1 << 20;

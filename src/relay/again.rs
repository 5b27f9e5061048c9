//! Answers that may be given again: the four that tell what the service is and has. They are looked at as a whole, kept
//! if they are good, and given for the same question while the service cannot be reached.

use super::answer::{BadAnswer, Verdict};
use super::kept::{KeptAnswer, Key, Question};
use super::send::{Asking, NoAnswer};
use super::{Answered, Failure, Prefixed, Relay, broken_body, message, refused};
use crate::rms::Operation;
use crate::upstream::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use std::time::{Duration, SystemTime};

impl Relay {
    pub(super) async fn send_or_keep(&self, asking: Asking<'_>, body: Body) -> Result<Answered, Failure> {
        let body = tokio::time::timeout(asking.deadline.left(), body.collect())
            .await
            .map_err(|_| Failure::Overdue)?
            .map_err(|error| broken_body(&error))?
            .to_bytes();
        let outgoing = asking.outgoing(&self.mark, whole(body.clone()));
        let sent = self.upstream.question(&outgoing);
        let key = sent.map(|sent| question(&asking, &sent, &body).key());
        if asking.head.kept_only {
            return self.give(asking, key, Failure::Lasting { reason: "no answer is kept here".into() });
        }
        let asking = Asking { deadline: self.patience(&asking, key), ..asking };
        let asked = async {
            let answered = self.ask(asking, outgoing).await?;
            self.read_whole(asking, answered).await
        };
        match asked.await {
            Ok((answered, bytes)) => {
                self.keep(asking, key, &answered, bytes);
                Ok(answered)
            }
            Err(NoAnswer { failure, verdict }) => match (verdict, asking.inspected.operation) {
                (Verdict::Judged, _) => {
                    self.forget(key);
                    Err(failure)
                }
                // To Exchange every error is the answer, until its process ends.
                (Verdict::Away, _) | (Verdict::Undecided, Operation::GetServerInfo) => {
                    self.give(asking, key, failure)
                }
                (Verdict::Undecided, _) => Err(failure),
            },
        }
    }

    /// Until when the service is waited for. Who can be helped with a kept answer does not wait for as long as who
    /// cannot; and who cannot here, may be by another node.
    fn patience(&self, asking: &Asking<'_>, key: Option<Key>) -> super::Deadline {
        let deadline = asking.deadline;
        match key.and_then(|key| self.kept.find(key)) {
            Some(_) => deadline.or_after(KEPT_AFTER),
            None if self.kept.is_on() => deadline.earlier_by(ELSEWHERE_WITHIN.min(deadline.left() / 4)),
            None => deadline,
        }
    }

    fn keep(&self, asking: Asking<'_>, key: Option<Key>, answered: &Answered, bytes: Option<Bytes>) {
        let (Some(key), Some(body)) = (key, bytes) else { return };
        if answered.status != StatusCode::OK {
            // A fault, which is the service's word on the question.
            return self.kept.forget(key);
        }
        let answer = KeptAnswer {
            caller: asking.head.caller.account.sid.to_string(),
            content_type: answered.content_type.clone(),
            at: SystemTime::now(),
            body,
        };
        self.kept.keep(key, answer);
    }

    fn forget(&self, key: Option<Key>) {
        if let Some(key) = key {
            self.kept.forget(key);
        }
    }

    /// Gives what is kept in the place of a failure, to whom it would be sent for now: the service was waited for, and
    /// the table may have changed.
    fn give(&self, asking: Asking<'_>, key: Option<Key>, failure: Failure) -> Result<Answered, Failure> {
        let Asking { permit, head, inspected, .. } = asking;
        let operation = inspected.operation;
        let Some((answer, age)) = key.and_then(|key| self.kept.find(key)) else {
            head.course.note(|facts| facts.may_be_kept = key.is_some() && self.kept.is_on());
            return Err(failure);
        };
        let now = self.authorize(head)?.for_operation(operation).map_err(|refusal| refused(&refusal))?;
        let (now, then) = (now.entry(), permit.entry());
        if (&now.sid, now.role) != (&then.sid, then.role) {
            return Err(failure);
        }
        head.course.note(|facts| facts.kept_for = Some(age));
        self.metrics.kept_answer(operation);
        self.kept.say(operation, age, &failure.to_string());
        Ok(Answered {
            status: StatusCode::OK,
            content_type: answer.content_type,
            content_encoding: String::new(),
            body: whole(answer.body),
        })
    }

    /// Reads an answer to its end and looks at all of it. Without the bytes it is too long to be kept.
    async fn read_whole(
        &self,
        asking: Asking<'_>,
        answered: Answered,
    ) -> Result<(Answered, Option<Bytes>), NoAnswer> {
        let Answered { status, content_type, content_encoding, mut body } = answered;
        let answered = |body| Answered { status, content_type, content_encoding, body };
        let mut bytes = BytesMut::new();
        while bytes.len() <= super::kept::ANSWER_BYTES_MAX {
            let Some(frame) = body.frame().await else {
                let bytes = bytes.freeze();
                let checked = message::check(asking.inspected, status, &bytes);
                checked.map_err(|why| self.no_answer(asking.head, &BadAnswer::NotTheAnswer(why)))?;
                return Ok((answered(whole(bytes.clone())), Some(bytes)));
            };
            let frame = frame.map_err(|error| NoAnswer {
                // What it is was said when it was met.
                failure: Failure::Upstream { reason: format!("the answer broke off: {error}") },
                verdict: Verdict::Away,
            })?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        // Only templates can be many.
        if matches!(asking.inspected.operation, Operation::GetServerInfo | Operation::GetLicensorCertificate)
        {
            let why = "it is longer than any such answer";
            return Err(self.no_answer(asking.head, &BadAnswer::NotTheAnswer(why.into())));
        }
        Ok((answered(Prefixed::new(bytes.freeze(), body, None).boxed_unsync()), None))
    }
}

fn question<'a>(asking: &'a Asking<'_>, sent: &'a [u8], body: &'a [u8]) -> Question<'a> {
    let entry = asking.permit.entry();
    Question {
        sent,
        operation: asking.inspected.operation,
        caller: &asking.head.caller.account.sid,
        entry: &entry.sid,
        role: entry.role.word(),
        body,
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Exchange asks once for how it encrypts, and takes no answer within 30 s for an answer.
const KEPT_AFTER: Duration = Duration::from_secs(10);
/// Enough to ask all other nodes, of which each looks into its memory.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(3);

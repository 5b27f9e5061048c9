//! Keeps the token that requests carry to the cloud fresh. One node asks at a time, and says so in the log first; every
//! node has the token through the log, even one whose own way to the sign-in service is cut. And the keys of session
//! tickets, which one node makes for all.

mod metrics;
mod plan;
mod ticket_keys;

pub use metrics::Metrics;
pub use ticket_keys::{KnownTicketKey, TICKET_KEY_UNUSED_AFTER, TicketKeyRenewal};

use crate::cluster::Cluster;
use crate::enrolment::{
    Cloud, CloudCredential, CloudEnrolment, CloudMarks, CloudRenewal, CloudRenewalFailure, CloudSettings,
    CloudToken, Enrolment,
};
use crate::event::{Event, with_causes};
use crate::secret::Secret;
use crate::state::{Change, Outcome, Roster, Timestamp};
use crate::tasks::Tasks;
use crate::tls::{AssertionError, AssertionKey};
use crate::upstream::cloud::{Credential, Granted, Provider, SignInError};
use plan::{Seen, Step, age_by_clock, next_step, rank, refused_before, warned_days};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// What it works with. Clones share it.
#[derive(Clone)]
pub struct Renewal {
    cluster: Cluster,
    enrolment: Enrolment,
    provider: Provider,
    metrics: Metrics,
    clock: fn() -> OffsetDateTime,
}

/// There is no new token.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    /// The sign-in service has given none.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The certificate of the login is of no use.
    #[error("the certificate of the login cannot be used")]
    Certificate(#[from] AssertionError),
    /// It took so long to say that this node asks that another one may be asking.
    #[error("the cluster took too long to take note that this node asks")]
    HeldUp,
    /// This node ends: another one asks.
    #[error("this node is being stopped")]
    Stopping,
}

/// What a node has in hand between two looks.
#[derive(Default)]
struct InHand {
    known: Option<Known>,
    got: Option<Got>,
    /// About which credential how few days were said last.
    warned: Option<([u8; 16], u16)>,
    /// In the place of which token there was none, as was said.
    said: Option<CloudMarks>,
    /// The last attempt of this node came to nothing, so that others go first.
    failed: bool,
}

/// Got, and not kept yet: what it was got with may be of no use a second time.
struct Got {
    token: CloudToken,
    /// What it follows.
    after: CloudMarks,
    /// Whether it was said before that there is none.
    failed_before: bool,
}

/// Since when what is kept has been known here.
#[derive(Clone, Copy)]
struct Known {
    marks: CloudMarks,
    token_since: Instant,
    /// How old it was then.
    token_age: Duration,
    renewal_since: Instant,
}

impl Known {
    /// What comes while this node looks is new; only what was there before has the age that the clock says.
    fn note(before: Option<Known>, cloud: &Cloud, now: Timestamp) -> Known {
        let instant = Instant::now();
        let Some(before) = before else {
            let token_age = cloud.token.as_ref().map_or(Duration::ZERO, |token| age_by_clock(token, now));
            return Known { marks: cloud.marks, token_since: instant, token_age, renewal_since: instant };
        };
        let mut known = Known { marks: cloud.marks, ..before };
        if before.marks.token != cloud.marks.token || before.marks.enrolment != cloud.marks.enrolment {
            (known.token_since, known.token_age) = (instant, Duration::ZERO);
        }
        if before.marks.renewal != cloud.marks.renewal {
            known.renewal_since = instant;
        }
        known
    }

    fn token_age(&self) -> Duration {
        self.token_age + self.token_since.elapsed()
    }
}

impl Renewal {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        enrolment: Enrolment,
        provider: Provider,
        metrics: Metrics,
        clock: fn() -> OffsetDateTime,
    ) -> Self {
        Renewal { cluster, enrolment, provider, metrics, clock }
    }

    /// Renews until the tasks drain, whenever it is this node's turn.
    pub async fn keep(self, tasks: Tasks) {
        let mut newest = self.cluster.roster();
        let mut hand = InHand::default();
        loop {
            let roster = newest.borrow_and_update().clone();
            let wait = self.look(&roster, &mut hand, &tasks).await;
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                () = tasks.draining() => break,
            }
        }
        // What it was got with may be used up.
        if let Some(got) = hand.got.take() {
            self.keep_token(got, &mut hand).await;
        }
    }

    /// What is to be done now, and when to look again.
    async fn look(&self, roster: &Roster, hand: &mut InHand, tasks: &Tasks) -> Duration {
        // What does not open here is said where tokens are taken.
        let Ok(cloud) = self.enrolment.cloud(roster) else { return LOOK_EVERY };
        let mut known = Known::note(hand.known, &cloud, self.now());
        let standing = self.cluster.standing();
        if !standing.quorum {
            // Whoever said that it asks may have got what it could not write, and does that first.
            known.renewal_since = Instant::now();
        }
        hand.known = Some(known);
        let Some(enrolment) = &cloud.enrolment else { return LOOK_EVERY };
        let (own, leader) = (self.cluster.node().0, standing.leader);
        if rank(roster, leader, None, own) == 0 {
            self.warn_of_credential(enrolment, hand);
        }
        let is_here =
            enrolment.settings.as_ref().is_none_or(|settings| *settings == settings_of(&self.provider));
        if !is_here {
            return LOOK_EVERY;
        }
        if let Some(got) = hand.got.take().filter(|got| follows(got.after, cloud.marks)) {
            self.keep_token(got, hand).await;
            return LOOK_EVERY;
        }
        let failed = cloud.renewal.as_ref().filter(|renewal| renewal.failure.is_some());
        let others = u32::try_from(roster.nodes.len()).unwrap_or(u32::MAX);
        let rank = match hand.failed {
            true => others.saturating_sub(1),
            false => rank(roster, leader, failed.map(|renewal| renewal.node_id), own),
        };
        let renewal_age = known.renewal_since.elapsed();
        match next_step(Seen { cloud: &cloud, token_age: known.token_age(), renewal_age, rank }) {
            Step::Wait(wait) => wait,
            Step::Renew if !standing.quorum || tasks.is_draining() => SOON,
            Step::Renew => {
                self.renew(&cloud, enrolment, known, (hand, tasks)).await;
                SOON
            }
        }
    }

    /// Says that this node asks, and asks if nobody else was first. Where no majority takes that, nothing is asked:
    /// what can be used once would be used up, and what came of it could not be kept.
    async fn renew(
        &self,
        cloud: &Cloud,
        enrolment: &CloudEnrolment,
        known: Known,
        (hand, tasks): (&mut InHand, &Tasks),
    ) {
        let before = cloud.renewal.as_ref();
        let failures = before.map_or(0, |it| it.failures.saturating_add(u32::from(it.failure.is_some())));
        let node_id = self.cluster.node().0;
        let asking = CloudRenewal { node_id, at: self.now(), failures, failure: None };
        let (change, marks) = self.enrolment.say_cloud_renewal(cloud.marks, &asking);
        let begun = Instant::now();
        if !self.written(change).await {
            return;
        }
        let asked = match self.is_first(cloud.marks, marks).await {
            // Whoever was held up here for long does not ask: another node may be asking by now.
            _ if begun.elapsed() > ASK_WITHIN => Err(RenewError::HeldUp),
            _ if tasks.is_draining() => Err(RenewError::Stopping),
            true => self.ask(cloud, enrolment, known).await,
            false => return,
        };
        self.metrics.renewed(asked.is_ok());
        hand.failed = asked.is_err();
        match asked {
            Ok(token) => {
                let failed_before = before.is_some_and(|before| before.failure.is_some());
                self.keep_token(Got { token, after: cloud.marks, failed_before }, hand).await;
            }
            Err(error) => {
                let failure = failure(&error);
                let is_trouble = !matches!(error, RenewError::Stopping);
                if is_trouble && hand.said.replace(cloud.marks).is_none_or(|said| !follows(said, cloud.marks))
                {
                    let until = cloud.token.as_ref().map(|token| date(token.expires_at));
                    let until = until.unwrap_or_else(|| "no token yet".into());
                    Event::CloudTokenNotRenewed { until: &until, reason: &failure.reason }.log();
                }
                let failed = CloudRenewal { at: self.now(), failure: Some(failure), ..asking };
                self.written(self.enrolment.say_cloud_renewal(marks, &failed).0).await;
            }
        }
    }

    /// Whether what this node said is what is kept now, for the same token: somebody else may have been first.
    async fn is_first(&self, before: CloudMarks, said: CloudMarks) -> bool {
        let mut newest = self.cluster.roster();
        let applied = newest.wait_for(|roster| {
            self.enrolment
                .cloud(roster)
                .is_ok_and(|cloud| cloud.marks.renewal == said.renewal || !follows(before, cloud.marks))
        });
        let Ok(Ok(roster)) = tokio::time::timeout(ASK_WITHIN, applied).await else { return false };
        self.enrolment
            .cloud(&roster)
            .is_ok_and(|cloud| follows(before, cloud.marks) && cloud.marks.renewal == said.renewal)
    }

    async fn ask(
        &self,
        cloud: &Cloud,
        enrolment: &CloudEnrolment,
        known: Known,
    ) -> Result<CloudToken, RenewError> {
        let later = cloud.token.as_ref().and_then(|token| token.refresh.as_ref());
        let credential = credential(&enrolment.credential, later)?;
        let asked_at = (self.clock)();
        let granted = self.provider.token(&credential, asked_at).await?;
        let refused_before = refused_before(cloud, known.token_age());
        Ok(CloudToken { refused_before, ..token(enrolment.id, granted, milliseconds(asked_at), later) })
    }

    /// A token that could not be kept stays in hand until something else is kept.
    async fn keep_token(&self, got: Got, hand: &mut InHand) {
        let change = self.enrolment.keep_cloud_token(got.after, &got.token);
        match self.cluster.write(self.cluster.node().1, change, None, self.now()).await {
            Ok(written) if written.outcome == Outcome::RosterChanged => {
                if got.failed_before {
                    Event::CloudTokenRenewed { until: &date(got.token.expires_at) }.log();
                }
            }
            Ok(written) => tracing::info!(outcome = ?written.outcome, "another token was kept meanwhile"),
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "a token was got, and is not kept yet");
                hand.got = Some(got);
            }
        }
    }

    /// Whether a change was made.
    async fn written(&self, change: Change) -> bool {
        match self.cluster.write(self.cluster.node().1, change, None, self.now()).await {
            Ok(written) => written.outcome == Outcome::RosterChanged,
            Err(error) => {
                tracing::debug!(
                    error = with_causes(&error),
                    "what is done about the next token was not said"
                );
                false
            }
        }
    }

    fn warn_of_credential(&self, enrolment: &CloudEnrolment, hand: &mut InHand) {
        let Some(expires_at) = enrolment.expires_at else { return };
        let Some(days) = warned_days(self.now(), expires_at) else { return };
        if hand.warned != Some((enrolment.id, days)) {
            hand.warned = Some((enrolment.id, days));
            Event::CloudCredentialExpires { days, until: &date(expires_at) }.log();
        }
    }

    fn now(&self) -> Timestamp {
        milliseconds((self.clock)())
    }
}

/// Whether the same token of the same login is kept.
fn follows(after: CloudMarks, now: CloudMarks) -> bool {
    (after.enrolment, after.token) == (now.enrolment, now.token)
}

fn failure(error: &RenewError) -> CloudRenewalFailure {
    let refused = match error {
        RenewError::SignIn(error) => matches!(error, SignInError::Refused { .. }) && !error.passes(),
        RenewError::Certificate(_) => true,
        RenewError::HeldUp | RenewError::Stopping => false,
    };
    CloudRenewalFailure { reason: with_causes(error).chars().take(REASON_CHARS_MAX).collect(), refused }
}

/// What a login is good for that is made with these settings.
#[must_use]
pub fn settings_of(provider: &Provider) -> CloudSettings {
    let [sign_in, client_id, audience, service] = provider.settings();
    CloudSettings { sign_in, client_id, audience, service }
}

/// What the sign-in service is asked with: a login's own, or what the last token left.
///
/// # Errors
/// The certificate of the login is of no use.
pub fn credential(
    kept: &CloudCredential,
    later: Option<&Secret<String>>,
) -> Result<Credential, AssertionError> {
    Ok(match kept {
        CloudCredential::ClientSecret(secret) => Credential::ClientSecret(secret.clone()),
        CloudCredential::Certificate(certificate, key) => {
            Credential::Certificate(AssertionKey::of_pem(certificate, key)?)
        }
        CloudCredential::RefreshToken(first) => Credential::RefreshToken(later.unwrap_or(first).clone()),
    })
}

/// What was granted, as it is kept.
#[must_use]
pub fn token(
    enrolment: [u8; 16],
    granted: Granted,
    asked_at: Timestamp,
    later: Option<&Secret<String>>,
) -> CloudToken {
    let life = i64::try_from(granted.life.as_millis()).unwrap_or(i64::MAX);
    CloudToken {
        id: rand::random(),
        enrolment,
        access: granted.access,
        issued_at: asked_at,
        expires_at: Timestamp(asked_at.0.saturating_add(life)),
        // A service that gives no new one means that the old one goes on.
        refresh: granted.refresh.or_else(|| later.cloned()),
        refused_before: 0,
    }
}

fn milliseconds(time: OffsetDateTime) -> Timestamp {
    Timestamp(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

fn date(at: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp(at.0 / 1_000).ok();
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_default()
}

/// Leaders change without a change of the roster.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What was written is applied here a moment later.
const SOON: Duration = Duration::from_millis(250);
/// Others wait longer for who said that it asks; with the longest answer it is over by then.
const ASK_WITHIN: Duration = Duration::from_secs(8);
const REASON_CHARS_MAX: usize = 600;

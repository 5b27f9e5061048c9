//! Keeps the token that requests carry to the cloud fresh. Only the leader gets tokens; every node has them through
//! the log, even one whose own way to the sign-in service is cut.

mod metrics;
mod plan;

pub use metrics::Metrics;

use crate::cluster::Cluster;
use crate::enrolment::{Cloud, CloudCredential, CloudEnrolment, CloudToken, Enrolment};
use crate::event::{Event, with_causes};
use crate::secret::Secret;
use crate::state::Timestamp;
use crate::tasks::Tasks;
use crate::tls::{AssertionError, AssertionKey};
use crate::upstream::cloud::{Credential, Granted, Provider, SignInError};
use plan::{Failures, Refusals, Step, next_step, warned_days};
use std::time::Duration;
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
pub enum RenewError {
    /// The sign-in service has given none.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The certificate of the login is of no use.
    #[error("the certificate of the login cannot be used")]
    Certificate(#[from] AssertionError),
    /// It was got, and not kept.
    #[error("the token was got, and not kept yet: {0}")]
    NotKept(String),
}

/// What a leader has in hand between two looks.
#[derive(Default)]
struct InHand {
    failures: Failures,
    refusals: Refusals,
    /// Got, and not kept yet: what it was got with may be of no use a second time.
    got: Option<CloudToken>,
    /// About which credential how few days were said last.
    warned: Option<([u8; 16], u16)>,
    failed: bool,
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

    /// Renews until the tasks drain, while this node leads.
    pub async fn keep(self, tasks: Tasks) {
        let mut newest = self.cluster.roster();
        let mut hand = InHand::default();
        loop {
            newest.borrow_and_update();
            let wait = match self.cluster.leads() {
                Some(name) => self.look(name, &mut hand).await,
                None => {
                    hand = InHand::default();
                    LOOK_EVERY
                }
            };
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                () = tasks.draining() => return,
            }
        }
    }

    /// What is to be done now, and when to look again.
    async fn look(&self, leader: &str, hand: &mut InHand) -> Duration {
        let roster = self.cluster.state().borrow().roster.clone();
        // What does not open here is said where tokens are taken.
        let Ok(cloud) = self.enrolment.cloud(&roster) else { return LOOK_EVERY };
        let Some(enrolment) = &cloud.enrolment else {
            *hand = InHand::default();
            return LOOK_EVERY;
        };
        self.warn_of_credential(enrolment, hand);
        hand.refusals.note(self.now(), &cloud);
        match next_step(self.now(), &cloud, &hand.failures, hand.refusals) {
            Step::Wait(wait) => wait,
            Step::Renew => {
                let renewed = self.renew(leader, &cloud, enrolment, hand).await;
                self.metrics.renewed(renewed.is_ok());
                self.note(renewed, &cloud, hand);
                Duration::ZERO
            }
        }
    }

    async fn renew(
        &self,
        leader: &str,
        cloud: &Cloud,
        enrolment: &CloudEnrolment,
        hand: &mut InHand,
    ) -> Result<CloudToken, RenewError> {
        let token = match hand.got.take().filter(|token| token.enrolment == enrolment.id) {
            Some(token) => token,
            None => {
                let later = cloud.token.as_ref().and_then(|token| token.refresh.as_ref());
                let credential = credential(&enrolment.credential, later)?;
                let asked_at = (self.clock)();
                let granted = self.provider.token(&credential, asked_at).await?;
                token(enrolment.id, granted, milliseconds(asked_at), later)
            }
        };
        let change = self.enrolment.keep_cloud_token(&token);
        if let Err(error) = self.cluster.write(leader, change, None, self.now()).await {
            hand.got = Some(token);
            return Err(RenewError::NotKept(with_causes(&error)));
        }
        Ok(token)
    }

    fn note(&self, renewed: Result<CloudToken, RenewError>, cloud: &Cloud, hand: &mut InHand) {
        match renewed {
            Ok(token) => {
                if std::mem::take(&mut hand.failed) {
                    Event::CloudTokenRenewed { until: &date(token.expires_at) }.log();
                }
                hand.failures = Failures::default();
            }
            Err(error) => {
                let until = cloud.token.as_ref().map(|token| token.expires_at);
                if !std::mem::replace(&mut hand.failed, true) {
                    let until = until.map_or_else(|| "no token yet".into(), date);
                    Event::CloudTokenNotRenewed { until: &until, reason: &with_causes(&error) }.log();
                }
                hand.failures.another(self.now());
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

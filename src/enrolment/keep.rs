//! What goes on in a running node: the founder founds, and every node renews its certificate in time.

use super::authority::{self, CertifyError};
use super::{Enrolment, IdentityError, milliseconds};
use crate::cluster::{FoundError, Roots, WriteError};
use crate::event::{Event, with_causes};
use crate::tasks::Tasks;
use crate::tls::{LoadError, MemberKey, RequestError, Validity};
use std::time::Duration;
use time::OffsetDateTime;

/// A certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Certify(#[from] CertifyError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Key(#[from] RequestError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The cluster was not founded.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error(transparent)]
    Found(#[from] FoundError),
    #[error("the cluster did not take the authority's key")]
    HandOver(#[from] WriteError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Enrolment {
    /// Runs until the tasks drain.
    pub async fn keep(self, tasks: Tasks) {
        let kept = async {
            self.begin_until_begun().await;
            loop {
                self.renew_in_time().await;
            }
        };
        tokio::select! {
            () = kept => {}
            () = tasks.draining() => {}
        }
    }

    /// Renews a certificate that was due while the node did not run, so that it need not begin with one
    /// that the others refuse. Where it cannot, [`Enrolment::keep`] goes on trying.
    pub fn renew_if_due(&self) {
        let now = (self.shared.clock)();
        if until_due(self.shared.membership.validity(), now).is_zero()
            && let Err(error) = self.renew(now)
        {
            tracing::info!(error = with_causes(&error), "the certificate is not renewed yet");
        }
    }

    /// The founder has the authority's key, and hands it over once.
    async fn begin_until_begun(&self) {
        while self.shared.identity.now().authority_key.is_some() {
            match self.begin().await {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "the cluster is not founded yet");
                    tokio::time::sleep(BEGIN_PAUSE).await;
                }
            }
        }
    }

    async fn begin(&self) -> Result<(), BeginError> {
        let identity = self.shared.identity.now();
        let at = milliseconds((self.shared.clock)());
        let cluster = &self.shared.cluster;
        if !self.roster().is_founded() {
            let (authority, administrator) = (identity.authority.clone(), identity.administrator.clone());
            cluster.found(Roots { authority, administrator }, FOUNDED_BY, at).await?;
        }
        if let Some(change) = authority::hand_over(&identity) {
            cluster.write(FOUNDED_BY, change, None, at).await?;
        }
        self.shared.identity.replace(super::Identity {
            authority_key: None,
            administrator: None,
            ..identity
        })?;
        Ok(())
    }

    async fn renew_in_time(&self) {
        let wait = until_due(self.shared.membership.validity(), (self.shared.clock)());
        if !wait.is_zero() {
            // Not longer: clocks are set, and a laptop sleeps.
            tokio::time::sleep(wait.min(LOOK_EVERY)).await;
            return;
        }
        let mut pause = RENEW_PAUSE_FIRST;
        while let Err(error) = self.renew((self.shared.clock)()) {
            let until = self.shared.membership.validity().until;
            Event::RenewalFailed { until: &until, reason: &with_causes(&error) }.log();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RENEW_PAUSE_MAX);
        }
    }

    /// A new certificate for the same key, issued here, kept, and then used.
    fn renew(&self, now: OffsetDateTime) -> Result<(), RenewError> {
        let identity = self.shared.identity.now();
        let key = MemberKey::of_der(identity.node_key.expose())?;
        let certificate = self.certify(identity.node_id, &key.subject(), now)?;
        self.shared.identity.replace(super::Identity { certificate: certificate.clone(), ..identity })?;
        self.shared.membership.renew(&certificate)?;
        let validity = self.shared.membership.validity();
        self.shared.metrics.note(validity);
        Event::CertificateRenewed { until: &validity.until }.log();
        Ok(())
    }
}

/// How long to wait with the renewal: until two thirds of its life are over. One whose time has not come
/// was made by a clock that ran ahead and was set right; the others refuse it, so it is due at once.
fn until_due(validity: Validity, now: OffsetDateTime) -> Duration {
    if now < validity.from {
        return Duration::ZERO;
    }
    let due = validity.until - (validity.until - validity.from) / 3;
    Duration::try_from(due - now).unwrap_or(Duration::ZERO)
}

/// What stands beside the founding in the record.
const FOUNDED_BY: &str = "rmsc init";
const BEGIN_PAUSE: Duration = Duration::from_millis(500);
/// A node whose clock was set is not shut out for longer.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const RENEW_PAUSE_FIRST: Duration = Duration::from_secs(1);
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration as Span;

    #[test]
    fn a_certificate_is_due_when_two_thirds_of_its_life_are_over() {
        let from = OffsetDateTime::UNIX_EPOCH;
        let validity = Validity { from, until: from + Span::days(90) };
        let due = |now| until_due(validity, now);
        assert_eq!(due(from), Duration::from_secs(60 * 24 * 3_600));
        assert_eq!(due(from + Span::days(59)), Duration::from_secs(24 * 3_600));
        assert_eq!(due(from + Span::days(60)), Duration::ZERO);
        assert_eq!(due(from + Span::days(100)), Duration::ZERO);
    }

    #[test]
    fn a_certificate_of_the_future_is_due_at_once() {
        let from = OffsetDateTime::UNIX_EPOCH + Span::days(400);
        let validity = Validity { from, until: from + Span::days(90) };
        assert_eq!(until_due(validity, from - Span::days(365)), Duration::ZERO);
        assert_eq!(until_due(validity, from - Span::seconds(1)), Duration::ZERO);
    }
}

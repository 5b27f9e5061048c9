//! The account's ticket for the service. One task gets it and the next one; no request runs a program or waits for a
//! KDC that is away.

use super::programs::Programs;
use super::standing::{Asking, FileState, Standing};
use super::{AccountConfig, AccountError};
use crate::identity::kerberos_client::ServiceTicket;
use crate::tasks::Tasks;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

/// The ticket, and the task that keeps it. Clones share it.
#[derive(Clone)]
pub(super) struct Tickets {
    config: Arc<AccountConfig>,
    standing: Arc<Mutex<Standing>>,
    newest: watch::Sender<Newest>,
    wanted: Arc<Notify>,
}

/// What there is now.
#[derive(Default)]
struct Newest {
    ticket: Option<Arc<ServiceTicket>>,
    /// Why the last attempt came to nothing.
    failed: Option<Arc<AccountError>>,
}

impl Newest {
    fn usable(&self) -> Option<&Arc<ServiceTicket>> {
        self.ticket.as_ref().filter(|ticket| ticket.ends_at() > OffsetDateTime::now_utc())
    }
}

/// When the next attempt is made.
struct Next {
    at: Instant,
    /// What the file was like; another one is tried at once.
    file: Option<FileState>,
}

impl Tickets {
    pub(super) fn new(config: Arc<AccountConfig>, standing: Arc<Mutex<Standing>>) -> Self {
        let (newest, _) = watch::channel(Newest::default());
        Tickets { config, standing, newest, wanted: Arc::default() }
    }

    /// The ticket, as soon as it is known whether there is one.
    pub(super) async fn get(&self, patience: Duration) -> Result<Arc<ServiceTicket>, Arc<AccountError>> {
        let mut newest = self.newest.subscribe();
        let known = newest.wait_for(|newest| {
            let usable = newest.usable().is_some();
            if !usable {
                self.wanted.notify_one();
            }
            usable || newest.failed.is_some()
        });
        let late = || AccountError::NoTicket {
            service: self.config.service.clone(),
            said: format!("none after {patience:?}"),
        };
        let Ok(Ok(newest)) = tokio::time::timeout(patience, known).await else {
            return Err(Arc::new(late()));
        };
        match (newest.usable(), &newest.failed) {
            (Some(ticket), _) => Ok(ticket.clone()),
            (None, Some(failed)) => Err(failed.clone()),
            (None, None) => Err(Arc::new(late())),
        }
    }

    /// A ticket that the service did not take is not used again; another one is got.
    pub(super) fn refused(&self, refused: &Arc<ServiceTicket>) {
        let is_it = self.newest.send_if_modified(|newest| {
            let is_it = newest.ticket.as_ref().is_some_and(|ticket| Arc::ptr_eq(ticket, refused));
            if is_it {
                *newest = Newest::default();
            }
            is_it
        });
        if is_it {
            self.wanted.notify_one();
        }
    }

    /// Keeps a ticket until the tasks drain.
    pub(super) async fn keep(self, tasks: Tasks) {
        tokio::select! {
            () = self.renew() => {}
            // A program that runs ends with what waits for it.
            () = tasks.draining() => {}
        }
    }

    async fn renew(&self) {
        let mut next = Next { at: Instant::now(), file: None };
        loop {
            let wait = self.look(&mut next).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Gets a ticket if it is time, and says when to look again.
    async fn look(&self, next: &mut Next) -> Duration {
        let (now, file) = (Instant::now(), self.config.proof.state());
        let (usable, failed) = {
            let newest = self.newest.borrow();
            (newest.usable().is_some(), newest.failed.is_some())
        };
        let due = if failed { now >= next.at || file != next.file } else { now >= next.at || !usable };
        if !due {
            return next.at.saturating_duration_since(now).min(LOOK_EVERY);
        }
        // The service, or the domain, has refused the same before.
        let standing = |standing: &Standing| standing.asking(file, now);
        if let Asking::Not { said } = standing(&self.standing.lock().unwrap_or_else(PoisonError::into_inner))
        {
            self.newest.send_modify(|newest| newest.failed = Some(Arc::new(AccountError::Refused { said })));
            *next = Next { at: now + LOOK_EVERY, file };
            return LOOK_EVERY;
        }
        let pause = match (Programs { config: &self.config }).get_ticket().await {
            Ok(ticket) => {
                let pause = renewed_after(ticket.ends_at() - OffsetDateTime::now_utc());
                self.newest.send_replace(Newest { ticket: Some(Arc::new(ticket)), failed: None });
                pause
            }
            Err(error) => {
                tracing::debug!(%error, "no ticket for the service");
                if let AccountError::Refused { said } = &error {
                    let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
                    standing.refused(file, said.clone(), Instant::now());
                }
                // The old one goes on until its end.
                self.newest.send_modify(|newest| newest.failed = Some(Arc::new(error)));
                FAILURE_PAUSE
            }
        };
        *next = Next { at: Instant::now() + pause, file };
        LOOK_EVERY.min(pause)
    }
}

/// At half of a ticket's life, and not at the rate of requests where lives are short.
fn renewed_after(left: time::Duration) -> Duration {
    (Duration::try_from(left).unwrap_or_default() / 2).max(FAILURE_PAUSE)
}

/// For so long a KDC is not asked again that gave no ticket.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);
/// How soon a new password file is seen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renews_at_half_of_the_life() {
        assert_eq!(renewed_after(time::Duration::hours(10)), Duration::from_secs(5 * 3600));
        assert_eq!(renewed_after(time::Duration::seconds(40)), FAILURE_PAUSE);
        assert_eq!(renewed_after(time::Duration::seconds(-1)), FAILURE_PAUSE);
    }
}

//! The token that requests carry: the newest that the cluster has, and another one when the service does not take it.

use crate::secret::Secret;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A token.
#[derive(Debug)]
pub struct AccessToken {
    /// Which one it is.
    pub id: [u8; 16],
    /// The token.
    pub text: Secret<String>,
}

/// Where tokens come from. Clones are the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    newest: watch::Receiver<Option<Arc<AccessToken>>>,
    refused: mpsc::Sender<[u8; 16]>,
    /// One in whose place no other came in time: nobody else waits for that.
    in_vain: Arc<Mutex<Option<[u8; 16]>>>,
}

/// The other end: the newest token goes in, those that were refused come out.
#[derive(Debug)]
pub struct TokenSource {
    /// Takes the newest token.
    pub newest: watch::Sender<Option<Arc<AccessToken>>>,
    /// Gives the ids of tokens that the service did not take.
    pub refused: mpsc::Receiver<[u8; 16]>,
}

impl Tokens {
    /// None yet.
    #[must_use]
    pub fn new() -> (Self, TokenSource) {
        let (newest, receiver) = watch::channel(None);
        let (sender, refused) = mpsc::channel(REFUSED_MAX);
        (
            Tokens { newest: receiver, refused: sender, in_vain: Arc::default() },
            TokenSource { newest, refused },
        )
    }

    /// The newest. Whether its time is over is for the service to say: a clock here may be wrong.
    pub(super) fn now(&self) -> Option<Arc<AccessToken>> {
        self.newest.borrow().clone()
    }

    /// Says that a token was not taken.
    pub(super) fn refuse(&self, id: [u8; 16]) {
        // Full: that it was not taken is known already.
        let _ = self.refused.try_send(id);
    }

    /// Another one than one that was not taken: however many requests ask, one is got.
    pub(super) async fn other_than(&self, id: [u8; 16]) -> Option<Arc<AccessToken>> {
        self.refuse(id);
        let mut newest = self.newest.clone();
        let in_vain = || self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = if *in_vain() == Some(id) { Duration::ZERO } else { OTHER_TIMEOUT };
        let other = newest.wait_for(|token| token.as_ref().is_some_and(|token| token.id != id));
        match tokio::time::timeout(timeout, other).await {
            Ok(other) => other.ok()?.clone(),
            Err(_) => {
                *in_vain() = Some(id);
                None
            }
        }
    }
}

/// All say the same.
const REFUSED_MAX: usize = 16;
/// Two entries of the log and one request to the sign-in service.
const OTHER_TIMEOUT: Duration = Duration::from_secs(10);

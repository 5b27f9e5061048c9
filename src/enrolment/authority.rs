//! The cluster's authority: its key is among the replicated secrets, sealed, so every node can issue.

use super::Enrolment;
use crate::seal::{Key, SealError};
use crate::state::{Change, Roster, RosterChange, Sealed};
use crate::tls::{Authority, AuthorityError, IssueError, Subject};
use time::{Duration, OffsetDateTime};

/// No certificate can be issued here and now.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// This node does not have the authority's key yet.
    #[error("this node does not know the cluster's authority yet")]
    NotYet,
    /// The key does not open.
    #[error("the authority's key does not open")]
    Sealed(#[from] SealError),
    /// The key is none.
    #[error(transparent)]
    Unusable(#[from] AuthorityError),
    /// It did not issue.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Enrolment {
    /// Issues a certificate for a node that has its key already.
    pub(super) fn certify(
        &self,
        node_id: u64,
        subject: &Subject,
        now: OffsetDateTime,
    ) -> Result<String, CertifyError> {
        let identity = self.shared.identity.now();
        let member = super::node(&identity.cluster_id, node_id);
        Ok(self.authority()?.certify_member(&member, subject, now, self.life())?)
    }

    fn authority(&self) -> Result<Authority, CertifyError> {
        let roster = self.shared.cluster.state().borrow().roster.clone();
        let identity = self.shared.identity.now();
        authority_of(&roster, &identity.cluster_id, &identity.data_key)
    }

    fn life(&self) -> Duration {
        self.shared.certificate_life
    }
}

/// The authority out of what is replicated.
///
/// # Errors
/// [`CertifyError`].
pub fn authority_of(roster: &Roster, cluster_id: &str, data_key: &Key) -> Result<Authority, CertifyError> {
    let sealed = roster.secrets.get(AUTHORITY_KEY).ok_or(CertifyError::NotYet)?;
    let key = data_key.open(&context(cluster_id), &sealed.0)?;
    Ok(Authority::of_parts(&roster.authority, &key)?)
}

/// The change that gives the authority's key to the cluster.
pub(super) fn hand_over(identity: &super::Identity) -> Option<Change> {
    let key = identity.authority_key.as_ref()?;
    let sealed = identity.data_key.seal(&context(&identity.cluster_id), key.expose());
    let name = AUTHORITY_KEY.to_owned();
    Some(Change::Roster(RosterChange::PutSecret { name, sealed: Some(Sealed(sealed)) }))
}

fn context(cluster_id: &str) -> String {
    format!("{cluster_id} secret {AUTHORITY_KEY}")
}

/// The name among the replicated secrets.
const AUTHORITY_KEY: &str = "authority-key";

//! Tokens as administrators handle them.

use super::token::{TokenKey, TokenText};
use super::{Enrolment, milliseconds};
use crate::cluster::{ReadError, WriteError};
use crate::seal::SealError;
use crate::secret::Secret;
use crate::state::{
    Change, NodeKind, Outcome, Rejection, Roster, RosterChange, Sealed, Timestamp, Token, TokenFate, TokenId,
};
use crate::tls::authority_pin;
use std::time::Duration;

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// How long it can be used.
    pub ttl: Duration,
    /// What the node will do.
    pub kind: NodeKind,
    /// The node that goes when the new one comes, by name or id.
    pub replaces: Option<String>,
}

/// A token that was made.
pub struct TokenMade {
    /// What to copy to the new host.
    pub text: Secret<String>,
    /// Its id.
    pub id: TokenId,
    /// What is kept of it.
    pub token: Token,
}

/// A token was not made or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The cluster does not accept it now.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It is not known here what became of it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The state refuses it.
    #[error(transparent)]
    Rejected(Rejection),
    /// No such node.
    #[error("there is no node {node:?} in the cluster to be replaced; see rmsc status")]
    NoSuchNode {
        /// What was asked for.
        node: String,
    },
    /// The time is out of bounds.
    #[error("a token can be used for {TTL_MIN:?} to 7 days")]
    Ttl,
    /// It was used or revoked, so there is nothing to take back.
    #[error("the token {id} was used by node {node_id} already; rmsc node remove takes that one out")]
    Used {
        /// Its id.
        id: TokenId,
        /// Who used it.
        node_id: u64,
    },
    /// The host that leaves is of another cluster.
    #[error("the context is for cluster {own}, and this host is a node of {asked}; name the right --context")]
    OtherCluster {
        /// The host's.
        asked: String,
        /// The one that was called.
        own: String,
    },
    /// The cluster's first node has not written the authority yet.
    #[error("the cluster is not founded yet; try again in a moment")]
    NotFounded,
}

impl Enrolment {
    /// Makes a token. Its text exists only in the answer.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn create_token(&self, by: &str, new: NewToken) -> Result<TokenMade, TokenError> {
        if !(TTL_MIN..=TTL_MAX).contains(&new.ttl) {
            return Err(TokenError::Ttl);
        }
        let roster = self.roster();
        let pin = authority_pin(&roster.authority).ok_or(TokenError::NotFounded)?;
        let replaces = match &new.replaces {
            None => None,
            Some(node) => {
                let found = roster.find(node).map(|(node_id, _)| node_id);
                Some(found.ok_or_else(|| TokenError::NoSuchNode { node: node.clone() })?)
            }
        };
        let text = TokenText::new(pin);
        let now = milliseconds((self.shared.clock)());
        let ttl_ms = i64::try_from(new.ttl.as_millis()).unwrap_or(i64::MAX);
        let identity = self.shared.identity.now();
        let sealed = identity.data_key.seal(&context(&identity.cluster_id, text.id), text.key().bytes());
        let token = Token {
            key: Sealed(sealed),
            kind: new.kind,
            replaces,
            created_by: by.into(),
            created_at: now,
            expires_at: Timestamp(now.0.saturating_add(ttl_ms)),
            fate: TokenFate::Open,
        };
        let change = RosterChange::CreateToken { id: text.id, token: token.clone() };
        self.change(by, change, now).await?;
        Ok(TokenMade { text: text.text(), id: text.id, token })
    }

    /// Takes a token back that nobody used.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn revoke_token(&self, by: &str, id: TokenId) -> Result<(), TokenError> {
        self.change(by, RosterChange::RevokeToken { id }, milliseconds((self.shared.clock)())).await?;
        // A host may have been faster.
        self.shared.cluster.read_barrier().await?;
        let fate = self.roster().tokens.get(&id).map(|token| token.fate);
        match fate {
            Some(TokenFate::UsedBy(node_id)) => Err(TokenError::Used { id, node_id }),
            Some(TokenFate::Open | TokenFate::Revoked) | None => Ok(()),
        }
    }

    /// Removes a node of this cluster for ever.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn remove_node(&self, by: &str, cluster_id: &str, node_id: u64) -> Result<(), TokenError> {
        let own = self.shared.identity.now().cluster_id;
        if own != cluster_id {
            return Err(TokenError::OtherCluster { asked: cluster_id.into(), own });
        }
        self.change(by, RosterChange::RemoveNode { node_id }, milliseconds((self.shared.clock)())).await
    }

    /// The key of a token, opened.
    pub(super) fn token_key(&self, id: TokenId, token: &Token) -> Result<TokenKey, SealError> {
        let identity = self.shared.identity.now();
        let key = identity.data_key.open(&context(&identity.cluster_id, id), &token.key.0)?;
        Ok(TokenKey::of_bytes(key))
    }

    pub(super) fn roster(&self) -> std::sync::Arc<Roster> {
        self.shared.cluster.state().borrow().roster.clone()
    }

    async fn change(&self, by: &str, change: RosterChange, at: Timestamp) -> Result<(), TokenError> {
        let written = self.shared.cluster.write(by, Change::Roster(change), None, at).await?;
        if let Outcome::Rejected(rejection) = written.outcome {
            return Err(TokenError::Rejected(rejection));
        }
        Ok(())
    }
}

fn context(cluster_id: &str, id: TokenId) -> String {
    format!("{cluster_id} token {id}")
}

const TTL_MIN: Duration = Duration::from_secs(1);
/// A token that lies about for longer is found by somebody.
const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Key;
    use crate::storage::frozen;

    #[test]
    fn the_key_of_a_token_that_was_released_is_opened() {
        let (key, id) = (Key::of_bytes(&[7; 32]).unwrap(), TokenId([8; 8]));
        let sealed = key.seal(&context("c1", id), &[6; 32]);
        let frozen = frozen::keep("seal-1/token-key", &sealed);
        // The words are part of the format: what is sealed for others does not open.
        assert_eq!(key.open("c1 token 0808080808080808", &frozen).unwrap().expose(), &[6; 32]);
        assert_eq!(key.open(&context("c1", id), &frozen).unwrap().expose(), &[6; 32]);
    }
}

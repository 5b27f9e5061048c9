//! Secrets of the roster: each sealed as a whole under a name, so that every node has it and the data folder alone
//! reveals nothing. They change together, by a change that names the seals it expects.

use super::Enrolment;
use crate::seal::{Key, SealError};
use crate::secret::Secret;
use crate::state::{Change, PutSecrets, Roster, RosterChange, SealMark, Sealed};
use prost::Message;

/// What is kept cannot be read here.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is sealed for another cluster, or damaged.
    #[error("{name} does not open")]
    Sealed {
        /// Which part.
        name: &'static str,
        /// The cause.
        source: SealError,
    },
    /// It is of a later build.
    #[error("{name} is not of a kind that this build knows")]
    Unknown {
        /// Which part.
        name: &'static str,
    },
}

impl Enrolment {
    pub(super) fn sealed(&self, name: &str, message: &impl Message) -> (String, Option<Sealed>) {
        let identity = self.shared.identity.now();
        let plain = Secret::new(message.encode_to_vec());
        let sealed = identity.data_key.seal(&context(&identity.cluster_id, name), plain.expose());
        (name.into(), Some(Sealed(sealed)))
    }
}

pub(super) fn changed(
    secrets: Vec<(String, Option<Sealed>)>,
    expected: Vec<(String, Option<SealMark>)>,
) -> Change {
    Change::Roster(RosterChange::PutSecrets(PutSecrets { secrets, expected }))
}

/// Which one a roster has under a name.
pub(super) fn mark(roster: &Roster, name: &str) -> Option<SealMark> {
    roster.secrets.get(name).map(Sealed::mark)
}

/// What a roster has under a name, with the cluster's id and the key that opens it.
pub(super) fn read<T: Message + Default>(
    (cluster_id, data_key): (&str, &Key),
    roster: &Roster,
    name: &'static str,
) -> Result<Option<T>, SecretError> {
    let Some(sealed) = roster.secrets.get(name) else { return Ok(None) };
    let plain = data_key
        .open(&context(cluster_id, name), &sealed.0)
        .map_err(|source| SecretError::Sealed { name, source })?;
    T::decode(plain.expose().as_slice()).map(Some).map_err(|_| SecretError::Unknown { name })
}

pub(super) fn context(cluster_id: &str, name: &str) -> String {
    format!("{cluster_id} secret {name}")
}

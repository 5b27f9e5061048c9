//! The file that says who a node is, and what a host keeps while it joins. Written beside, made durable,
//! renamed; what is secret in it is sealed with the node's own key.

use crate::cluster::{Introduced, Introduction};
use crate::proto::state::v1 as stored;
use crate::seal::{Key, SealError};
use crate::secret::Secret;
use crate::state::{KeyHash, NewAdministrator};
use crate::storage::{create_folder, sync_folder};
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Who a node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its cluster.
    pub cluster_id: String,
    /// Its id there.
    pub node_id: u64,
    /// The cluster's certificate authority, PEM.
    pub authority: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Which disk it has.
    pub incarnation: u128,
    /// Whether it only votes.
    pub witness: bool,
    /// Its private key (PKCS #8).
    pub node_key: Secret<Vec<u8>>,
    /// The cluster's data key.
    pub data_key: Key,
    /// The authority's private key: a founder's, until the cluster keeps it.
    pub authority_key: Option<Secret<Vec<u8>>>,
    /// Whom a host that joined believes until it has the log.
    pub introduction: Option<Introduction>,
    /// The first administrator: a founder's, until the cluster keeps it. Sealed, so that nobody changes it.
    pub administrator: Option<NewAdministrator>,
}

/// What everybody may know about a node's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its cluster.
    pub cluster_id: String,
    /// Its id there.
    pub node_id: u64,
    /// The cluster's certificate authority, PEM.
    pub authority: String,
    /// Which disk it has.
    pub incarnation: u128,
}

/// What a host keeps from its first attempt to join on.
pub(super) struct Joining {
    pub(super) incarnation: u128,
    pub(super) node_key: Secret<Vec<u8>>,
}

/// The identity of this host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error(
        "this host is no node yet: there is no {path}; found a new cluster with `rmsc init`, or join one: \
         `rmsc token create` on one of its nodes, then `rmsc join` here. If it was a node and has lost its data: \
         `rmsc node replace` with its name on another node, which prints the command for this one"
    )]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what this build wrote.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A newer build wrote it.
    #[error("{path} was written in format {found}; this build reads up to {FORMAT}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// This host's key does not open it.
    #[error(
        "{path} does not open with this host's seal key; a data folder cannot be moved to another host: join it anew"
    )]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
}

/// The identity in use, and where it is kept.
pub(super) struct Kept {
    data_dir: PathBuf,
    seal_key: Key,
    identity: Mutex<Identity>,
}

/// Who the node is whose data folder this is; needs no key.
///
/// # Errors
/// [`IdentityError`], but for a file that is not there.
pub fn card(data_dir: &Path) -> Result<Option<Card>, IdentityError> {
    let path = identity_path(data_dir);
    match read(&path, |identity: &stored::Identity| identity.format) {
        Ok(identity) => {
            let incarnation = incarnation(&identity.incarnation).ok_or(IdentityError::Damaged { path })?;
            Ok(Some(Card {
                cluster_id: identity.cluster_id,
                node_id: identity.node_id,
                authority: identity.authority,
                incarnation,
            }))
        }
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the identity of a node and opens it.
///
/// # Errors
/// [`IdentityError`].
pub fn load(data_dir: &Path, seal_key: &Key) -> Result<Identity, IdentityError> {
    let path = identity_path(data_dir);
    let identity =
        read(&path, |identity: &stored::Identity| identity.format).map_err(|error| match error {
            IdentityError::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                IdentityError::Missing { path }
            }
            error => error,
        })?;
    let damaged = || IdentityError::Damaged { path: path.clone() };
    if identity.format < FORMAT {
        return Err(damaged());
    }
    let opened = seal_key.open(&context(&identity), &identity.sealed);
    let opened = opened.map_err(|source| IdentityError::Sealed { path: path.clone(), source })?;
    let secrets = stored::IdentitySecrets::decode(opened.expose().as_slice()).map_err(|_| damaged())?;
    let introduction = secrets.introduction.map(|it| introduction_from(it).ok_or_else(damaged));
    let introduction = introduction.transpose()?;
    let administrator = match secrets.administrator {
        None => None,
        Some(stored::NewAdministrator { name, key }) => {
            let key = KeyHash(key.try_into().map_err(|_| damaged())?);
            Some(NewAdministrator { name, key })
        }
    };
    let [node_key, data_key, authority_key] =
        [secrets.node_key, secrets.data_key, secrets.authority_key].map(Secret::new);
    Ok(Identity {
        incarnation: incarnation(&identity.incarnation).ok_or_else(damaged)?,
        cluster_id: identity.cluster_id,
        node_id: identity.node_id,
        authority: identity.authority,
        certificate: identity.certificate,
        witness: identity.witness,
        node_key,
        data_key: Key::of_bytes(data_key.expose()).ok_or_else(damaged)?,
        authority_key: Some(authority_key).filter(|key| !key.expose().is_empty()),
        introduction,
        administrator,
    })
}

/// Writes the identity of a node; it is durable when this returns.
pub(super) fn save(data_dir: &Path, seal_key: &Key, identity: &Identity) -> Result<(), IdentityError> {
    let administrator = identity.administrator.as_ref();
    let secrets = stored::IdentitySecrets {
        node_key: identity.node_key.expose().clone(),
        data_key: identity.data_key.bytes().expose().clone(),
        authority_key: identity.authority_key.as_ref().map(|key| key.expose().clone()).unwrap_or_default(),
        introduction: identity.introduction.as_ref().map(introduction_to),
        administrator: administrator
            .map(|it| stored::NewAdministrator { name: it.name.clone(), key: it.key.0.to_vec() }),
    };
    let plain = Secret::new(secrets.encode_to_vec());
    let [_, _, _] = [secrets.node_key, secrets.data_key, secrets.authority_key].map(Secret::new);
    let mut file = stored::Identity {
        format: FORMAT,
        cluster_id: identity.cluster_id.clone(),
        node_id: identity.node_id,
        authority: identity.authority.clone(),
        certificate: identity.certificate.clone(),
        incarnation: identity.incarnation.to_be_bytes().to_vec(),
        sealed: Vec::new(),
        witness: identity.witness,
    };
    file.sealed = seal_key.seal(&context(&file), plain.expose());
    write(&identity_path(data_dir), &file.encode_to_vec())
}

/// Reads what an earlier attempt to join left.
pub(super) fn load_joining(data_dir: &Path, seal_key: &Key) -> Result<Option<Joining>, IdentityError> {
    let path = data_dir.join(JOINING);
    let file = match read(&path, |joining: &stored::Joining| joining.format) {
        Ok(file) => file,
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let incarnation = incarnation(&file.incarnation).ok_or(IdentityError::Damaged { path: path.clone() })?;
    let opened = seal_key.open(&joining_context(incarnation), &file.sealed);
    let node_key = opened.map_err(|source| IdentityError::Sealed { path, source })?;
    Ok(Some(Joining { incarnation, node_key }))
}

pub(super) fn save_joining(data_dir: &Path, seal_key: &Key, joining: &Joining) -> Result<(), IdentityError> {
    let file = stored::Joining {
        format: FORMAT,
        incarnation: joining.incarnation.to_be_bytes().to_vec(),
        sealed: seal_key.seal(&joining_context(joining.incarnation), joining.node_key.expose()),
    };
    write(&data_dir.join(JOINING), &file.encode_to_vec())
}

/// Deletes what was kept before asking to join: the host is a node.
///
/// # Errors
/// The data folder cannot be written.
pub fn forget_joining(data_dir: &Path) -> Result<(), IdentityError> {
    drop_file(data_dir, data_dir.join(JOINING))
}

/// The host is that node no more.
pub(super) fn remove(data_dir: &Path) -> Result<(), IdentityError> {
    drop_file(data_dir, identity_path(data_dir))
}

fn drop_file(data_dir: &Path, path: PathBuf) -> Result<(), IdentityError> {
    match fs::remove_file(&path).and_then(|()| sync_folder(data_dir)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(IdentityError::Io { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a node's identity is.
pub(super) fn identity_path(data_dir: &Path) -> PathBuf {
    data_dir.join(IDENTITY)
}

impl Kept {
    pub(super) fn new(data_dir: PathBuf, seal_key: Key, identity: Identity) -> Self {
        Kept { data_dir, seal_key, identity: Mutex::new(identity) }
    }

    /// What it is now.
    pub(super) fn now(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes it anew, then uses it.
    pub(super) fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        save(&self.data_dir, &self.seal_key, &identity)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }
}

fn read<M: Message + Default>(path: &Path, format: fn(&M) -> u32) -> Result<M, IdentityError> {
    let bytes = fs::read(path).map_err(|source| IdentityError::Io { path: path.into(), source })?;
    let message = M::decode(bytes.as_slice()).map_err(|_| IdentityError::Damaged { path: path.into() })?;
    match format(&message) {
        1..=FORMAT => Ok(message),
        0 => Err(IdentityError::Damaged { path: path.into() }),
        found => Err(IdentityError::TooNew { path: path.into(), found }),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        let unfinished = path.with_extension("tmp");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_folder(folder)
    };
    write().map_err(|source| IdentityError::Io { path: path.into(), source })
}

fn incarnation(bytes: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

fn introduction_to(introduction: &Introduction) -> stored::Introduction {
    let introduced = |member: &Introduced| stored::Introduced {
        node_id: member.node_id,
        key: member.key.0.to_vec(),
        peer_address: member.peer_address.clone(),
    };
    stored::Introduction {
        as_of: introduction.as_of,
        group: introduction.group.to_be_bytes().to_vec(),
        members: introduction.members.iter().map(introduced).collect(),
    }
}

fn introduction_from(introduction: stored::Introduction) -> Option<Introduction> {
    let group = u128::from_be_bytes(introduction.group.as_slice().try_into().ok()?);
    let introduced = |member: stored::Introduced| {
        let key = KeyHash(member.key.as_slice().try_into().ok()?);
        Some(Introduced { node_id: member.node_id, key, peer_address: member.peer_address })
    };
    let members = introduction.members.into_iter().map(introduced).collect::<Option<_>>()?;
    Some(Introduction { as_of: introduction.as_of, group, members })
}

/// Binds what is in the clear to what is sealed: who can write the folder, and has no key, cannot give the node
/// another authority, disk or kind.
fn context(identity: &stored::Identity) -> String {
    let mut hash = Sha256::new();
    for bytes in [identity.authority.as_bytes(), identity.certificate.as_bytes(), &identity.incarnation] {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.update([u8::from(identity.witness)]);
    format!("{} node {} identity {}", identity.cluster_id, identity.node_id, super::hex(&hash.finalize()))
}

fn joining_context(incarnation: u128) -> String {
    format!("joining {incarnation:032x}")
}

const IDENTITY: &str = "identity";
const JOINING: &str = "joining";
/// Raised when an older build could not read what this one writes.
const FORMAT: u32 = 2;

#[cfg(test)]
pub(super) mod tests;

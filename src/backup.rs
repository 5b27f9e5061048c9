//! Backups: everything that the nodes agree on in one encrypted file, and a cluster out of it.
//!
//! The file is one of the tool `age`, whose keys it takes: a node encrypts it before it leaves, since it holds
//! the cluster's data key beside the secrets that are sealed with it.

mod archive;
mod lock;
mod restore;
mod verify;

pub use archive::{Archive, ReadError, Summary, Taken, write};
pub use lock::{Lock, LockError, NewKey, Unlock, UnlockError};
pub use restore::{OldNodes, Restore, RestoreError, Restored};
pub use verify::{Verified, VerifyError, verify};

#[cfg(test)]
mod tests;

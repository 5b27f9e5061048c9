//! What opens a backup.

use super::file;
use crate::backup::{Archive, Unlock};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct UnlockWith {
    /// The file with the key.
    #[arg(long, value_name = "KEYFILE", required_unless_present = "passphrase_file")]
    identity: Option<PathBuf>,
    /// A file whose first line is the passphrase.
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    passphrase_file: Option<PathBuf>,
    /// Where to unpack for the time that it takes.
    #[arg(long, value_name = "DIR")]
    pub(super) scratch: Option<PathBuf>,
}

impl UnlockWith {
    pub(super) fn open(&self, file: &Path, scratch: &Path) -> anyhow::Result<Archive> {
        let unlock = match (&self.identity, &self.passphrase_file) {
            (Some(path), _) => {
                Unlock::identities(&file::text(path)?).with_context(|| format!("{}", path.display()))?
            }
            (None, Some(path)) => Unlock::Passphrase(file::first_line(path)?),
            (None, None) => bail!("give --identity or --passphrase-file"),
        };
        Archive::read(file, &unlock, scratch).with_context(|| format!("cannot use {}", file.display()))
    }
}

//! Files that are nobody else's: a lab's folder holds keys and passwords.

use crate::tls::Issued;
use anyhow::Context as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

pub(super) fn make_private_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

pub(super) fn write_issued(certificate: &Path, key: &Path, issued: &Issued) -> anyhow::Result<()> {
    write_private(certificate, &issued.certificate_pem)?;
    write_private(key, issued.key_pem.expose())
}

pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

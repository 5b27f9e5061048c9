//! Makes a file of accounts: for a trial, and for the lab.

use super::file::MODE;
use crate::directory::Kind;
use crate::identity::nt_hash;
use crate::principal::Sid;
use crate::secret::Secret;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What to write.
#[derive(Clone, Debug)]
pub struct NewDirectory {
    /// The domain's NetBIOS name.
    pub domain: String,
    /// Its DNS name.
    pub dns_domain: Option<String>,
    /// Its SID, `S-1-5-21-` and three numbers.
    pub domain_sid: Sid,
    /// The groups. They get relative ids from 1101 on, in this order.
    pub groups: Vec<NewGroup>,
    /// The accounts. They get the relative ids after those of the groups.
    pub accounts: Vec<NewAccount>,
}

/// A group to write.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// The groups that it is in.
    pub member_of: Vec<String>,
}

/// An account to write.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name; a computer's ends in `$`.
    pub name: String,
    /// [`Kind::Account`] or [`Kind::Computer`].
    pub kind: Kind,
    /// Its password, of which the hash is written.
    pub password: Secret<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
}

/// Why no file was made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file is there already, or its folder is not.
    #[error("cannot write the accounts file {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A group has members, no password.
    #[error("account {name:?} cannot be a group")]
    NotAnAccount {
        /// Its name.
        name: String,
    },
}

/// Writes a new file that [`super::super::Directory::open_local`] reads. An existing file is left alone.
///
/// # Errors
/// When the file exists, or cannot be written; nothing is left behind then.
pub fn write(path: &Path, directory: &NewDirectory) -> Result<(), WriteError> {
    let text = text(directory)?;
    let failed = |source| WriteError::Write { path: path.into(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(failed)?;
    let written = file
        .set_permissions(Permissions::from_mode(MODE)) // the umask may have taken more away
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    written.map_err(|source| {
        // The file is ours, and not whole; the first error is the one to tell.
        let _ = fs::remove_file(path);
        failed(source)
    })
}

fn text(directory: &NewDirectory) -> Result<Zeroizing<String>, WriteError> {
    let mut rid = FIRST_RID;
    let mut next_rid = || {
        rid += 1;
        rid
    };
    // Room for all of it, as a string that grows leaves copies behind.
    let entries = directory.groups.len() + directory.accounts.len();
    let mut out = Zeroizing::new(String::with_capacity(ENTRY_BYTES * (entries + 1)));
    line(&mut out, "domain", &quoted(&directory.domain));
    if let Some(dns_domain) = &directory.dns_domain {
        line(&mut out, "dns_domain", &quoted(dns_domain));
    }
    line(&mut out, "domain_sid", &quoted(&directory.domain_sid.to_string()));
    for group in &directory.groups {
        out.push_str("\n[[group]]\n");
        line(&mut out, "name", &quoted(&group.name));
        line(&mut out, "rid", &next_rid().to_string());
        line(&mut out, "member_of", &list(&group.member_of));
    }
    for account in &directory.accounts {
        let kind = match account.kind {
            Kind::Account => "account",
            Kind::Computer => "computer",
            Kind::Group => return Err(WriteError::NotAnAccount { name: account.name.clone() }),
        };
        out.push_str("\n[[account]]\n");
        line(&mut out, "name", &quoted(&account.name));
        line(&mut out, "rid", &next_rid().to_string());
        line(&mut out, "kind", &quoted(kind));
        let hash = nt_hash(account.password.expose());
        out.push_str("nt_hash = \"");
        hash.expose().iter().for_each(|byte| {
            // Writing into a string does not fail.
            let _ = write!(out, "{byte:02x}");
        });
        out.push_str("\"\n");
        line(&mut out, "groups", &list(&account.groups));
    }
    Ok(out)
}

fn line(out: &mut String, key: &str, value: &str) {
    [key, " = ", value, "\n"].iter().for_each(|part| out.push_str(part));
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

fn list(texts: &[String]) -> String {
    toml::Value::Array(texts.iter().map(|text| toml::Value::String(text.clone())).collect()).to_string()
}

/// The relative ids up to here are left free.
const FIRST_RID: u32 = 1100;
/// A usual entry, and more.
const ENTRY_BYTES: usize = 1024;

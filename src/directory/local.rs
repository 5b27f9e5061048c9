//! A file of accounts, for a trial without a directory service. An NT hash is as good as its password.

mod file;
mod look;
mod write;

pub use write::{NewAccount, NewDirectory, NewGroup, WriteError, write};

use super::name::Typed;
use super::{Found, Kind, Verified, VerifyError, What};
use crate::identity::{NtlmProof, verify};
use crate::principal::{Account, AccountName, Sid};
use crate::secret::Secret;
use file::{File, Named};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file of accounts cannot be used. No message holds a hash.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not there, or not ours to read.
    #[error("cannot read the accounts file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could read the hashes, or the file is not a plain one.
    #[error(
        "the accounts file {path} has mode {mode:04o} and holds password hashes: run `chmod 0600 {path}`"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a device, or far too much.
    #[error("{path} is not a file of accounts: {reason}")]
    NotAccounts {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: &'static str,
    },
    /// Not TOML, or a key that has no meaning here.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A key with a value that cannot be.
    #[error("{path}: {key} = {value:?}: {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Where, for instance `account "EXCH01$".sid`.
        key: String,
        /// The value; of a hash, its length alone.
        value: String,
        /// What would be accepted.
        reason: &'static str,
    },
}

/// The accounts and groups of a file.
pub(super) struct LocalDirectory {
    domain: String,
    dns_domain: Option<String>,
    domain_sid: Option<Sid>,
    entries: Vec<Entry>,
    /// From a name without case to its place.
    by_name: HashMap<String, usize>,
    by_sid: HashMap<Sid, usize>,
    /// What an unknown account is checked against, so that it takes as long as a known one.
    nobody: Secret<[u8; 16]>,
}

struct Entry {
    found: Found,
    /// The places of the groups that it is in directly.
    above: Vec<usize>,
    /// `None`: a group.
    nt_hash: Option<Secret<[u8; 16]>>,
}

impl std::fmt::Debug for LocalDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDirectory")
            .field("domain", &self.domain)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl LocalDirectory {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = file::read(path)?;
        let mut reader = Reader { path, file: &file, domain_sid: None };
        reader.read()
    }

    pub(super) fn verify(&self, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        let known = self
            .account_name(proof)
            .and_then(|name| self.by_name(name))
            .and_then(|entry| entry.nt_hash.as_ref().map(|hash| (entry, hash)));
        let key = verify(known.map_or(&self.nobody, |(_, hash)| hash), proof);
        let (user, domain) = (proof.user.clone(), proof.domain.clone());
        match (known, key) {
            (Some((entry, _)), Some(key)) => Ok(Verified { account: entry.found.account.clone(), key }),
            (Some(_), None) => Err(VerifyError::WrongPassword { user, domain }),
            (None, _) => Err(VerifyError::UnknownAccount { user, domain }),
        }
    }

    pub(super) fn look_up(&self, typed: &Typed<'_>) -> Option<Found> {
        let entry = match typed {
            Typed::Sid(sid) => self.by_sid.get(sid).and_then(|place| self.entries.get(*place)),
            Typed::Name { domain: Some(domain), .. } if !self.is_ours(domain) => None,
            Typed::Name { name, .. } => self.by_name(name),
        };
        entry.map(|entry| entry.found.clone())
    }

    /// Whether a client means one of these accounts. What has no domain is looked for here.
    pub(super) fn is_meant(&self, proof: &NtlmProof) -> bool {
        proof.domain.is_empty() || self.is_ours(&proof.domain)
    }

    /// The short name that a client means. With no domain, the account may be written as a UPN.
    fn account_name<'a>(&self, proof: &'a NtlmProof) -> Option<&'a str> {
        if !proof.domain.is_empty() {
            return self.is_ours(&proof.domain).then_some(&proof.user);
        }
        match proof.user.split_once('@') {
            None => Some(&proof.user),
            Some((name, domain)) => self.is_ours(domain).then_some(name),
        }
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn domain_sid(&self) -> Option<&Sid> {
        self.domain_sid.as_ref()
    }

    pub(super) fn is_ours(&self, domain: &str) -> bool {
        let domain = fold(domain);
        domain == fold(&self.domain) || self.dns_domain.as_deref().is_some_and(|ours| domain == fold(ours))
    }

    fn by_name(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(&fold(name)).and_then(|place| self.entries.get(*place))
    }
}

/// Checks what a file says, value by value.
struct Reader<'a> {
    path: &'a Path,
    file: &'a File,
    domain_sid: Option<Sid>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<LocalDirectory, OpenError> {
        let domain_sid = self.sid("domain_sid", &self.file.domain_sid)?;
        self.domain_sid = Some(domain_sid);
        for (key, domain) in
            [("domain", Some(&self.file.domain)), ("dns_domain", self.file.dns_domain.as_ref())]
        {
            if domain.is_some_and(|domain| AccountName::new(domain, "x").is_none() || domain.contains('@')) {
                return Err(self.value(key.into(), domain.map_or("", String::as_str), NAME_REASON));
            }
        }
        let mut directory = LocalDirectory {
            domain: self.file.domain.clone(),
            dns_domain: self.file.dns_domain.clone(),
            domain_sid: self.domain_sid.clone(),
            entries: Vec::new(),
            by_name: HashMap::new(),
            by_sid: HashMap::new(),
            nobody: Secret::new([0; 16]),
        };
        for group in &self.file.group {
            self.add(&mut directory, &group.named, Kind::Group, None)?;
        }
        for account in &self.file.account {
            let kind = self.kind(&account.named.name, &account.kind)?;
            let hash = self.nt_hash(&account.named.name, &account.nt_hash)?;
            self.add(&mut directory, &account.named, kind, Some(hash))?;
        }
        self.add_groups(&mut directory)?;
        Ok(directory)
    }

    fn add(
        &self,
        directory: &mut LocalDirectory,
        named: &Named,
        kind: Kind,
        nt_hash: Option<Secret<[u8; 16]>>,
    ) -> Result<(), OpenError> {
        let what = if kind == Kind::Group { "group" } else { "account" };
        let key = |field: &str| format!("{what} {:?}.{field}", named.name);
        let name = AccountName::new(&self.file.domain, &named.name)
            .filter(|_| !named.name.contains('@') && !fold(&named.name).starts_with("s-1-"))
            .ok_or_else(|| self.value(format!("{what}.name"), &named.name, NAME_REASON))?;
        let sid = self.sid_of(named, &key)?;
        if kind != Kind::Group && !self.is_in_domain(&sid) {
            return Err(self.value(key("sid"), &sid.to_string(), "an account's SID is domain_sid and a rid"));
        }
        let place = directory.entries.len();
        if directory.by_name.insert(fold(&named.name), place).is_some() {
            return Err(self.value(key("name"), &named.name, "two accounts or groups have this name"));
        }
        if directory.by_sid.insert(sid.clone(), place).is_some() {
            return Err(self.value(key("sid"), &sid.to_string(), "two accounts or groups have this SID"));
        }
        let account = Account { sid, name, groups: Vec::new() };
        let found =
            Found { account, what: What::from(kind), dn: String::new(), enabled: true, age: Duration::ZERO };
        directory.entries.push(Entry { found, above: Vec::new(), nt_hash });
        Ok(())
    }

    /// Follows the groups of each entry to the end. A circle is walked once.
    fn add_groups(&self, directory: &mut LocalDirectory) -> Result<(), OpenError> {
        // In the order of `read`: groups, then accounts.
        let lists = self.file.group.iter().map(|group| (&group.named.name, "member_of", &group.member_of));
        let accounts =
            self.file.account.iter().map(|account| (&account.named.name, "groups", &account.groups));
        let mut parents: Vec<Vec<usize>> = Vec::new();
        for (name, field, list) in lists.chain(accounts) {
            let mut places = Vec::new();
            for group in list {
                let place = directory.by_name.get(&fold(group)).copied();
                let place = place.filter(|place| *place < self.file.group.len());
                let missing = || self.value(format!("{name:?}.{field}"), group, "no [[group]] has this name");
                places.push(place.ok_or_else(missing)?);
            }
            parents.push(places);
        }
        let sids: Vec<Sid> = directory.entries.iter().map(|entry| entry.found.account.sid.clone()).collect();
        for (place, entry) in directory.entries.iter_mut().enumerate() {
            let mut seen = BTreeSet::new();
            let mut next = parents.get(place).cloned().unwrap_or_default();
            while let Some(group) = next.pop() {
                if group != place && seen.insert(group) {
                    next.extend(parents.get(group).into_iter().flatten());
                }
            }
            entry.above = parents.get(place).cloned().unwrap_or_default();
            entry.found.account.groups = seen.iter().filter_map(|group| sids.get(*group).cloned()).collect();
        }
        Ok(())
    }

    fn sid_of(&self, named: &Named, key: &dyn Fn(&str) -> String) -> Result<Sid, OpenError> {
        let sid = match (&named.sid, named.rid) {
            (Some(sid), None) => self.sid(&key("sid"), sid)?,
            (None, Some(rid)) => {
                let sid = self.domain_sid.as_ref().and_then(|domain| domain.with_rid(rid));
                sid.ok_or_else(|| self.value(key("rid"), &rid.to_string(), "domain_sid has no place for it"))?
            }
            (Some(sid), Some(_)) => return Err(self.value(key("sid"), sid, "write sid or rid, not both")),
            (None, None) => return Err(self.value(key("sid"), "", "write sid or rid")),
        };
        if sid.is_guest() || sid.is_anonymous() {
            return Err(self.value(key("sid"), &sid.to_string(), "guest and anonymous may not log on"));
        }
        Ok(sid)
    }

    fn sid(&self, key: &str, text: &str) -> Result<Sid, OpenError> {
        text.parse().map_err(|_| self.value(key.into(), text, "not a SID; write S-1-5-21-…"))
    }

    fn is_in_domain(&self, sid: &Sid) -> bool {
        let rid = sid.to_string().rsplit('-').next().and_then(|rid| rid.parse().ok());
        let domain = self.domain_sid.as_ref();
        domain.zip(rid).and_then(|(domain, rid)| domain.with_rid(rid)).as_ref() == Some(sid)
    }

    fn kind(&self, name: &str, kind: &str) -> Result<Kind, OpenError> {
        match (kind, name.ends_with('$')) {
            ("account", false) => Ok(Kind::Account),
            ("computer", true) => Ok(Kind::Computer),
            ("account" | "computer", _) => {
                let reason = "a computer's name ends in $, and no other's does";
                Err(self.value(format!("account {name:?}.kind"), kind, reason))
            }
            _ => Err(self.value(format!("account {name:?}.kind"), kind, "write account or computer")),
        }
    }

    fn nt_hash(&self, name: &str, text: &Secret<String>) -> Result<Secret<[u8; 16]>, OpenError> {
        let wrong = |reason| {
            let shown = format!("({} characters)", text.expose().chars().count());
            self.value(format!("account {name:?}.nt_hash"), &shown, reason)
        };
        let hash = file::hex(text.expose()).ok_or_else(|| wrong("write 32 hexadecimal digits"))?;
        if *hash.expose() == [0; 16] || hash.expose() == crate::identity::nt_hash("").expose() {
            return Err(wrong("the hash of no password, or of an empty one"));
        }
        Ok(hash)
    }

    fn value(&self, key: String, value: &str, reason: &'static str) -> OpenError {
        let value = value.chars().take(TEXT_SHOWN_CHARS_MAX).collect();
        OpenError::Value { path: self.path.into(), key, value, reason }
    }
}

/// Names are compared without case.
fn fold(name: &str) -> String {
    name.to_lowercase()
}

const NAME_REASON: &str = "a name has 1 to 256 characters, and none of \\ / \" [ ] : | < > + = ; , ? * @";
/// How much of a wrong value an error repeats.
const TEXT_SHOWN_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests;

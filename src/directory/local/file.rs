//! The text of a file of accounts: reads it, if nobody else can.

use super::OpenError;
use crate::secret::Secret;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// What the file says. Unknown keys are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) domain: String,
    pub(super) dns_domain: Option<String>,
    pub(super) domain_sid: String,
    #[serde(default)]
    pub(super) account: Vec<AccountEntry>,
    #[serde(default)]
    pub(super) group: Vec<GroupEntry>,
}

pub(super) struct AccountEntry {
    pub(super) named: Named,
    pub(super) kind: String,
    pub(super) nt_hash: Secret<String>,
    pub(super) groups: Vec<String>,
}

pub(super) struct GroupEntry {
    pub(super) named: Named,
    pub(super) member_of: Vec<String>,
}

/// What accounts and groups have in common.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) sid: Option<String>,
    pub(super) rid: Option<u32>,
}

pub(super) fn read(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Read { path: path.into(), source };
    let not_accounts = |reason| OpenError::NotAccounts { path: path.into(), reason };
    // Without waiting, should it be a pipe.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    // Of the open file, so that nobody can put another in its place.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(not_accounts("not a plain file"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode != MODE {
        return Err(OpenError::Mode { path: path.into(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(not_accounts("longer than 16 MiB"));
    }
    // The error's own display would repeat the line, and with it a hash.
    toml::from_str(&text).map_err(|error| OpenError::Syntax {
        path: path.into(),
        line: error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1),
        message: error.message().to_string(),
    })
}

/// Sixteen bytes written in hexadecimal.
pub(super) fn hex(text: &str) -> Option<Secret<[u8; 16]>> {
    let mut bytes = Zeroizing::new([0; 16]);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(Secret::new(*bytes))
}

// `deny_unknown_fields` and a flattened `Named` do not go together, so the two are spelled out.
impl<'de> Deserialize<'de> for AccountEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            name: String,
            sid: Option<String>,
            rid: Option<u32>,
            kind: String,
            #[serde(deserialize_with = "secret_text")]
            nt_hash: Secret<String>,
            #[serde(default)]
            groups: Vec<String>,
        }
        let Written { name, sid, rid, kind, nt_hash, groups } = Written::deserialize(deserializer)?;
        Ok(AccountEntry { named: Named { name, sid, rid }, kind, nt_hash, groups })
    }
}

impl<'de> Deserialize<'de> for GroupEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            name: String,
            sid: Option<String>,
            rid: Option<u32>,
            #[serde(default)]
            member_of: Vec<String>,
        }
        let Written { name, sid, rid, member_of } = Written::deserialize(deserializer)?;
        Ok(GroupEntry { named: Named { name, sid, rid }, member_of })
    }
}

/// A text whose value no error repeats, as serde's own would.
fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    match toml::Value::deserialize(deserializer) {
        Ok(toml::Value::String(text)) => Ok(Secret::new(text)),
        _ => Err(D::Error::custom("nt_hash must be 32 hexadecimal digits in quotes")),
    }
}

/// Read and write for the owner, nothing for anybody else.
pub(super) const MODE: u32 = 0o600;
/// Some hundred thousand accounts: past that, it is a directory service's work.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

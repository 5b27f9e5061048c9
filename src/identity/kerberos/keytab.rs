//! Keytabs: the keys of our services, several services, realms and key versions in one file of MIT's format.

use super::crypto::{Etype, Key};
use super::named::{LeftOut, Source, Used};
use std::collections::BTreeSet;
use std::fmt;

/// The keys of a file or of the cluster that can be used: those of AES, of services of the class HTTP.
#[derive(Clone, Default)]
pub struct Keytab {
    pub(super) keys: Vec<ServiceKey>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A key of one service.
#[derive(Clone)]
pub(super) struct ServiceKey {
    pub(super) name: Vec<String>,
    pub(super) realm: String,
    pub(super) version: u32,
    pub(super) key: Key,
    pub(super) source: Source,
    pub(super) used: Used,
}

/// Why a file is of no use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeytabError {
    /// It begins with something else.
    #[error("it is no keytab of format 0x0502; make it with ktpass, ktutil or msktutil")]
    NotAKeytab,
    /// It ends in the middle of an entry, or an entry is not as long as it says.
    #[error("entry {entry} is damaged or cut off")]
    Damaged {
        /// Which one, counted from 1.
        entry: usize,
    },
    /// No entry is for us.
    #[error(
        "none of its {entries} entries is an AES key of a service HTTP/HOST (RC4 and DES keys are not \
         taken); give the account AES keys and export HTTP/HOST again"
    )]
    NoKey {
        /// How many there are.
        entries: usize,
    },
    /// Each realm's controllers could name the accounts of every other one.
    #[error(
        "it has keys of realms for which nothing says whose accounts they may name: {realms}; write for each \
         realm of the keytab the SIDs of its domains under [identity.kerberos.realms], for instance \
         \"CONTOSO.COM\" = [\"S-1-5-21-…\"]"
    )]
    RealmsUnnamed {
        /// The realms.
        realms: String,
    },
}

impl Keytab {
    /// Reads a file's bytes. Keys of other ciphers and of other services are left out.
    ///
    /// # Errors
    /// When it is none, is damaged, or has no key that could be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeytabError> {
        let mut rest = bytes.strip_prefix(&FORMAT).ok_or(KeytabError::NotAKeytab)?;
        let (mut keys, mut left_out, mut entries) = (Vec::new(), Vec::new(), 0);
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = i32::from_be_bytes(*length);
            // What a deleted entry leaves is a hole, with its length as a negative number.
            let bytes = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
            let damaged = KeytabError::Damaged { entry: entries + 1 };
            let (entry, after) = after.split_at_checked(bytes).ok_or(damaged.clone())?;
            rest = after;
            if length == 0 {
                break;
            }
            if length > 0 {
                match read(entry).ok_or(damaged)? {
                    Ok(key) => keys.push(key),
                    Err(why) => left_out.push(why),
                }
                entries += 1;
            }
        }
        if keys.is_empty() { Err(KeytabError::NoKey { entries }) } else { Ok(Keytab { keys, left_out }) }
    }

    /// The services that there are keys of, `HTTP/host@REALM`.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.keys.iter().map(ServiceKey::to_string).collect();
        names.into_iter().collect()
    }

    /// The realms of the services, in capitals.
    pub(super) fn realms(&self) -> BTreeSet<String> {
        self.keys.iter().map(|key| key.realm.to_ascii_uppercase()).collect()
    }

    /// Whether all services are of one realm.
    pub(super) fn has_one_realm(&self) -> bool {
        let mut realms = self.keys.iter().map(|key| &key.realm);
        realms.next().is_none_or(|first| realms.all(|realm| realm.eq_ignore_ascii_case(first)))
    }

    /// The first few services, for a line of the log that a stranger can cause.
    pub(super) fn some_services(&self) -> String {
        let mut shown: Vec<&ServiceKey> = Vec::new();
        for key in &self.keys {
            if shown.iter().any(|seen| seen.name == key.name && seen.realm == key.realm) {
                continue;
            }
            if shown.len() == SERVICES_SHOWN_MAX {
                let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
                return format!("{} and others", shown.join(", "));
            }
            shown.push(key);
        }
        let mut shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
        shown.sort_unstable();
        shown.join(", ")
    }

    /// The keys of a service, the newest first. Windows compares the names of services without case.
    pub(super) fn of<'a>(&'a self, name: &[String], realm: &str) -> Vec<&'a ServiceKey> {
        let same = |one: &[String], other: &[String]| {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        let ours = |key: &&ServiceKey| same(&key.name, name) && key.realm.eq_ignore_ascii_case(realm);
        let mut keys: Vec<&ServiceKey> = self.keys.iter().filter(ours).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.version));
        keys
    }
}

impl fmt::Debug for Keytab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keytab").field("services", &self.services()).finish_non_exhaustive()
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name.join("/"), self.realm)
    }
}

/// An entry, or why it is left out; `None` if it is damaged.
fn read(entry: &[u8]) -> Option<Result<ServiceKey, LeftOut>> {
    let mut entry = entry;
    let components = usize::from(number(&mut entry)?);
    let realm = text(&mut entry)?;
    let mut name = Vec::new();
    for _ in 0..components {
        name.push(text(&mut entry)?);
    }
    // The type of the name, and when the entry was made: nothing depends on them.
    entry = entry.split_at_checked(8)?.1;
    let (short_version, after) = entry.split_first()?;
    entry = after;
    let etype = number(&mut entry)?;
    let length = usize::from(number(&mut entry)?);
    let (bytes, after) = entry.split_at_checked(length)?;
    // Versions above 255 follow the key, in writers that know of them.
    let version = match after.split_first_chunk() {
        Some((version, _)) if *version != [0; 4] => u32::from_be_bytes(*version),
        _ => u32::from(*short_version),
    };
    let left_out = |why| {
        let service = format!("{}@{realm}", name.join("/"));
        Some(Err(LeftOut { service, version, etype, why }))
    };
    let Some(taken) = Etype::of_number(etype.into()) else { return left_out(WEAK) };
    let key = Key::new(taken, bytes)?;
    if !name.first().is_some_and(|class| class.eq_ignore_ascii_case(CLASS)) {
        return left_out(OTHER_CLASS);
    }
    let (source, used) = (Source::File, Used::default());
    Some(Ok(ServiceKey { name, realm, version, key, source, used }))
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    let (number, after) = bytes.split_first_chunk()?;
    *bytes = after;
    Some(u16::from_be_bytes(*number))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = number(bytes)?;
    let (text, after) = bytes.split_at_checked(length.into())?;
    *bytes = after;
    let text = str::from_utf8(text).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A connector has a few names.
const SERVICES_SHOWN_MAX: usize = 10;
const FORMAT: [u8; 2] = [5, 2];
/// The class of the services that answer HTTP: a key of another one must not let anybody in here.
pub(super) const CLASS: &str = "HTTP";
const WEAK: &str = "only AES keys are taken";
const OTHER_CLASS: &str = "only keys of services HTTP/HOST are taken";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry as the tools write it, with its length in front.
    pub(crate) fn entry(spn: &str, realm: &str, version: u32, etype: u16, key: &[u8]) -> Vec<u8> {
        let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
        let names: Vec<&str> = spn.split('/').collect();
        let mut entry = (names.len() as u16).to_be_bytes().to_vec();
        entry.extend(text(realm));
        names.iter().for_each(|name| entry.extend(text(name)));
        entry.extend([0, 0, 0, 1, 0, 0, 0, 0, version as u8]);
        entry.extend(etype.to_be_bytes());
        entry.extend((key.len() as u16).to_be_bytes());
        entry.extend(key);
        entry.extend(version.to_be_bytes());
        [&(entry.len() as i32).to_be_bytes()[..], &entry].concat()
    }

    pub(crate) fn file(entries: &[Vec<u8>]) -> Vec<u8> {
        [&FORMAT[..], &entries.concat()].concat()
    }

    fn name(spn: &str) -> Vec<String> {
        spn.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn reads_services_realms_and_versions() {
        let hole = [&(-5i32).to_be_bytes()[..], b"12345"].concat();
        let bytes = file(&[
            entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 2, 18, &[1; 32]),
            hole,
            entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 300, 18, &[2; 32]),
            entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 300, 23, &[3; 16]),
            entry("HTTP/rms.fabrikam.test", "FABRIKAM.TEST", 1, 17, &[4; 16]),
            entry("host/rms.contoso.test", "CONTOSO.TEST", 1, 17, &[5; 16]),
        ]);
        let keytab = Keytab::parse(&bytes).unwrap();
        assert_eq!(
            keytab.services(),
            ["HTTP/rms.contoso.test@CONTOSO.TEST", "HTTP/rms.fabrikam.test@FABRIKAM.TEST"]
        );
        let keys = keytab.of(&name("http/RMS.contoso.test"), "CONTOSO.TEST");
        assert_eq!(keys.iter().map(|key| key.version).collect::<Vec<_>>(), [300, 2]);
        assert_eq!(keytab.of(&name("HTTP/rms.fabrikam.test"), "CONTOSO.TEST").len(), 0);
        assert_eq!(keytab.of(&name("host/rms.contoso.test"), "CONTOSO.TEST").len(), 0);
        assert!(!format!("{keytab:?}").contains("1, 1"));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let weak = file(&[entry("HTTP/a", "R", 1, 23, &[0; 16]), entry("host/a", "R", 1, 18, &[0; 32])]);
        assert_eq!(Keytab::parse(&weak).unwrap_err(), KeytabError::NoKey { entries: 2 });
        for bytes in [&b""[..], b"\x05", b"\x05\x01", b"-----BEGIN"] {
            assert_eq!(Keytab::parse(bytes).unwrap_err(), KeytabError::NotAKeytab);
        }
        let short_key = file(&[entry("HTTP/a", "R", 1, 18, &[0; 31])]);
        assert_eq!(Keytab::parse(&short_key).unwrap_err(), KeytabError::Damaged { entry: 1 });
        let forged = file(&[entry("HTTP/a\n", "R", 1, 18, &[0; 32])]);
        assert_eq!(Keytab::parse(&forged).unwrap_err(), KeytabError::Damaged { entry: 1 });
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = file(&[entry("HTTP/a", "R", 1, 18, &[9; 32]), entry("HTTP/b", "R", 2, 17, &[8; 16])]);
        for cut in 0..good.len() {
            // What is left may be whole entries, or four bytes of padding less.
            let _ = Keytab::parse(&good[..cut]);
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                let _ = Keytab::parse(&changed);
            }
        }
        let long = [&FORMAT[..], &i32::MIN.to_be_bytes()].concat();
        assert_eq!(Keytab::parse(&long).unwrap_err(), KeytabError::Damaged { entry: 1 });
    }
}

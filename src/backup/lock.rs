//! With what a backup is locked and unlocked: the keys of the tool `age`, or a passphrase.

use crate::secret::Secret;
use age::secrecy::{ExposeSecret, SecretString};
use age::{scrypt, x25519};
use std::str::FromStr;

/// For whom a backup is encrypted.
pub enum Lock {
    /// Who has one of the keys that belong to these.
    Recipients(Vec<x25519::Recipient>),
    /// Who knows this.
    Passphrase(Secret<String>),
}

/// With what a backup is opened.
pub enum Unlock {
    /// One of these keys.
    Identities(Vec<x25519::Identity>),
    /// This.
    Passphrase(Secret<String>),
}

/// A new key, and for whom to encrypt so that it opens.
pub struct NewKey {
    /// Public.
    pub recipient: String,
    /// Secret: a file as `age` reads it.
    pub file: Secret<String>,
}

/// For nobody can be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Nobody could open it, or two things are asked.
    #[error("a backup is encrypted either for recipients or with a passphrase: name one of the two")]
    Either,
    /// A recipient is none.
    #[error("{text:?} is no recipient; it begins with age1 and `rmsc backup key` makes one")]
    NoRecipient {
        /// What was given.
        text: String,
    },
    /// More than a head can hold.
    #[error("there are {count} recipients; at most {RECIPIENTS_MAX} are possible")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// It could be guessed.
    #[error("the passphrase has {chars} characters; it must have {PASSPHRASE_CHARS_MIN} at least")]
    Short {
        /// How many.
        chars: usize,
    },
}

/// There is no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key in it; a key begins with AGE-SECRET-KEY-1 and `rmsc backup key` makes one")]
pub struct UnlockError;

impl Lock {
    /// Out of what an administrator gave; an empty passphrase is none.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn new(recipients: &[String], passphrase: Secret<String>) -> Result<Self, LockError> {
        match (recipients, passphrase.expose().chars().count()) {
            ([], 0) => Err(LockError::Either),
            ([], chars) if chars < PASSPHRASE_CHARS_MIN => Err(LockError::Short { chars }),
            ([], _) => Ok(Lock::Passphrase(passphrase)),
            (some, 0) if some.len() > RECIPIENTS_MAX => Err(LockError::TooMany { count: some.len() }),
            (some, 0) => {
                some.iter().map(|text| recipient(text)).collect::<Result<_, _>>().map(Lock::Recipients)
            }
            (_, _) => Err(LockError::Either),
        }
    }

    pub(super) fn encryptor(&self) -> Result<age::Encryptor, age::EncryptError> {
        match self {
            Lock::Recipients(recipients) => {
                age::Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn age::Recipient))
            }
            Lock::Passphrase(passphrase) => {
                let mut recipient = scrypt::Recipient::new(secret(passphrase));
                recipient.set_work_factor(WORK_FACTOR);
                age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
        }
    }
}

impl Unlock {
    /// The keys in a file as `age` reads it: one a line, and comments.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn identities(file: &Secret<String>) -> Result<Self, UnlockError> {
        let lines = file.expose().lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Result<Vec<_>, _> = lines.map(x25519::Identity::from_str).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(Unlock::Identities(keys)),
            Ok(_) | Err(_) => Err(UnlockError),
        }
    }

    pub(super) fn identities_of_age(&self) -> Vec<Box<dyn age::Identity>> {
        match self {
            Unlock::Identities(keys) => {
                keys.iter().map(|key| Box::new(key.clone()) as Box<dyn age::Identity>).collect()
            }
            Unlock::Passphrase(passphrase) => {
                let mut identity = scrypt::Identity::new(secret(passphrase));
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                vec![Box::new(identity)]
            }
        }
    }
}

impl NewKey {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let key = x25519::Identity::generate();
        let recipient = key.to_public().to_string();
        let text = key.to_string();
        let file = format!("# opens backups for {recipient}\n{}\n", text.expose_secret());
        NewKey { recipient, file: Secret::new(file) }
    }
}

impl Default for NewKey {
    fn default() -> Self {
        NewKey::new()
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient, LockError> {
    text.trim().parse().map_err(|_| LockError::NoRecipient { text: text.chars().take(80).collect() })
}

fn secret(passphrase: &Secret<String>) -> SecretString {
    SecretString::from(passphrase.expose().clone())
}

/// More are a mistake, and would make the head long.
const RECIPIENTS_MAX: usize = 16;
/// A file can be tried without end.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// 128 MiB and some tenths of a second for each guess: as OWASP recommends, and a node can spare it.
const WORK_FACTOR: u8 = 17;
/// `age` itself writes 18. More could stop a host that only looks at a file.
const WORK_FACTOR_MAX: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_recipients_or_a_good_passphrase() {
        let none = || Secret::new(String::new());
        let words = |recipients: &[&str], passphrase: &str| {
            let recipients: Vec<String> = recipients.iter().map(ToString::to_string).collect();
            Lock::new(&recipients, Secret::new(passphrase.into())).err()
        };
        let key = NewKey::new();
        assert!(Lock::new(std::slice::from_ref(&key.recipient), none()).is_ok());
        assert_eq!(words(&[], "correct horse battery"), None);
        assert_eq!(words(&[], ""), Some(LockError::Either));
        assert_eq!(words(&[&key.recipient], "correct horse battery"), Some(LockError::Either));
        assert_eq!(words(&[], "short"), Some(LockError::Short { chars: 5 }));
        assert_eq!(words(&["age1x"], ""), Some(LockError::NoRecipient { text: "age1x".into() }));
        let many = vec![key.recipient.as_str(); 17];
        assert_eq!(words(&many, ""), Some(LockError::TooMany { count: 17 }));
    }

    #[test]
    fn reads_a_file_of_keys() {
        let key = NewKey::new();
        assert!(Unlock::identities(&key.file).is_ok());
        for wrong in ["", "# nothing", "age1x", "AGE-SECRET-KEY-1X"] {
            assert_eq!(Unlock::identities(&Secret::new(wrong.into())).err(), Some(UnlockError), "{wrong}");
        }
    }
}

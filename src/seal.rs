//! Sealing: bytes that only the holder of a key can read, bound to what they are for. The cluster has a
//! data key for what it replicates, and each node a key of its own for what it keeps.

mod node_key;

pub use node_key::{Config, Found, Kind, NodeKeyError, find, find_or_make};

use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use std::fmt;

/// 32 random bytes, wiped when they are dropped. AES-256-GCM-SIV: a nonce that came twice by chance would
/// only show that the same was sealed twice.
#[derive(Clone)]
pub struct Key(Secret<[u8; KEY_BYTES]>);

/// The bytes cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with another key or for something else, or not whole.
    #[error("it was sealed with another key or for something else, or is damaged")]
    Closed,
    /// A newer build sealed it.
    #[error("it was sealed in form {form}, which this build does not know")]
    OtherForm {
        /// The form.
        form: u8,
    },
}

impl Key {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Key(Secret::new(rand::random()))
    }

    /// One that was kept; it has 32 bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Key(Secret::new(bytes.try_into().ok()?)))
    }

    /// For whoever keeps it, or hands it to a new node.
    #[must_use]
    pub fn bytes(&self) -> Secret<Vec<u8>> {
        Secret::new(self.0.expose().to_vec())
    }

    /// Seals bytes for a purpose: whoever opens them has to name the same.
    #[must_use]
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut text = plain.to_vec();
        let nonce = self
            .cipher()
            .seal_in_place_append_tag(Aad::from(context), &mut text)
            .expect("AES-GCM-SIV seals up to 64 GiB, and there is no memory for more");
        [[FORM].as_slice(), nonce.as_ref(), &text].concat()
    }

    /// Opens what was sealed for this purpose.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let (form, rest) = sealed.split_first().ok_or(SealError::Closed)?;
        if *form != FORM {
            return Err(SealError::OtherForm { form: *form });
        }
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Closed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Closed)?;
        let mut text = text.to_vec();
        let opened = self.cipher().open_in_place(nonce, Aad::from(context), &mut text);
        let bytes = opened.map_err(|_| SealError::Closed)?.len();
        text.truncate(bytes);
        Ok(Secret::new(text))
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, self.0.expose()).expect("the key has 32 bytes")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

const KEY_BYTES: usize = 32;
/// The first byte of what is sealed: how it is.
const FORM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;

    #[test]
    fn opens_what_it_sealed_for_the_same_purpose() {
        let key = Key::random();
        let sealed = key.seal("c1 authority-key", b"canary");
        assert_eq!(key.open("c1 authority-key", &sealed).unwrap().expose(), b"canary");
        assert_eq!(key.open("c2 authority-key", &sealed).unwrap_err(), SealError::Closed);
        assert_eq!(Key::random().open("c1 authority-key", &sealed).unwrap_err(), SealError::Closed);
    }

    #[test]
    fn shows_nothing_of_what_it_sealed() {
        let (key, plain) = (Key::random(), [7; 64]);
        let sealed = key.seal("c1", &plain);
        assert!(!sealed.windows(8).any(|part| part == [7; 8]));
        assert_ne!(sealed, key.seal("c1", &plain));
        assert_eq!(format!("{key:?}"), "(key)");
    }

    #[test]
    fn what_was_released_is_opened() {
        let key = Key::of_bytes(&[7; KEY_BYTES]).unwrap();
        let frozen = frozen::keep("seal-1/secret", &key.seal("c1 secret name", b"what was sealed"));
        assert_eq!(key.open("c1 secret name", &frozen).unwrap().expose(), b"what was sealed");
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let key = Key::random();
        let sealed = key.seal("c1", b"canary");
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open("c1", &changed).unwrap_err(), SealError::Closed, "byte {at}");
        }
        assert_eq!(key.open("c1", &sealed[..20]).unwrap_err(), SealError::Closed);
        assert_eq!(key.open("c1", &[]).unwrap_err(), SealError::Closed);
        assert_eq!(key.open("c1", &[9, 1]).unwrap_err(), SealError::OtherForm { form: 9 });
    }
}

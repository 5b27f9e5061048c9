//! What an administrator copies from a node to a host that is to join: the hash of the authority's key,
//! the token's id, and its secret.

use crate::secret::Secret;
use crate::state::TokenId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A token as a text. It is a secret: it is printed once, by whoever made it.
#[derive(Clone)]
pub struct TokenText {
    /// SHA-256 of the public key of the cluster's authority.
    pub pin: [u8; 32],
    /// Names the token.
    pub id: TokenId,
    secret: Secret<[u8; SECRET_BYTES]>,
}

/// What both sides make out of a token's secret, to prove that they have it.
#[derive(Clone)]
pub struct TokenKey(Secret<Vec<u8>>);

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenTextError {
    /// It does not look like one.
    #[error("this is no token; it begins with {PREFIX}- and `rmsc token create` prints it")]
    Form,
    /// A part is missing or was changed.
    #[error("the token is not whole or has a wrong letter; copy it again, all {TEXT_CHARS} characters")]
    Check,
}

impl TokenText {
    /// A new token for the cluster whose authority has this key.
    #[must_use]
    pub fn new(pin: [u8; 32]) -> Self {
        TokenText { pin, id: TokenId(rand::random()), secret: Secret::new(rand::random()) }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        let check = self.check();
        let tail: Vec<u8> = [self.id.0.as_slice(), self.secret.expose(), &check].concat();
        let tail = Secret::new(tail);
        Secret::new(format!("{PREFIX}-{}-{}", hex(&self.pin), hex(tail.expose())))
    }

    /// The key that proves the token.
    #[must_use]
    pub fn key(&self) -> TokenKey {
        TokenKey(Secret::new(mac(self.secret.expose(), &[KEY_LABEL, &self.pin, &self.id.0]).to_vec()))
    }

    /// Tells a slip of the hand at once; no protection against anybody.
    fn check(&self) -> [u8; CHECK_BYTES] {
        let digest = Sha256::new()
            .chain_update(CHECK_LABEL)
            .chain_update(self.pin)
            .chain_update(self.id.0)
            .chain_update(self.secret.expose());
        let mut check = [0; CHECK_BYTES];
        check.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        check
    }
}

impl FromStr for TokenText {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let mut parts = text.trim().split('-');
        let (prefix, pin, tail) = (parts.next(), parts.next(), parts.next());
        if prefix.is_none_or(|prefix| !prefix.eq_ignore_ascii_case(PREFIX)) {
            return Err(TokenTextError::Form);
        }
        let (Some(pin), Some(tail), None) = (pin.and_then(bytes), tail.and_then(bytes), parts.next()) else {
            return Err(TokenTextError::Check);
        };
        let tail = Secret::new(tail);
        let (id, rest) = tail.expose().split_at_checked(8).ok_or(TokenTextError::Check)?;
        let (secret, check) = rest.split_at_checked(SECRET_BYTES).ok_or(TokenTextError::Check)?;
        let token = TokenText {
            pin: pin.try_into().map_err(|_| TokenTextError::Check)?,
            id: TokenId(id.try_into().map_err(|_| TokenTextError::Check)?),
            secret: Secret::new(secret.try_into().map_err(|_| TokenTextError::Check)?),
        };
        if check == token.check() { Ok(token) } else { Err(TokenTextError::Check) }
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({})", self.id)
    }
}

impl TokenKey {
    /// One that was kept.
    #[must_use]
    pub fn of_bytes(bytes: Secret<Vec<u8>>) -> Self {
        TokenKey(bytes)
    }

    /// To be sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// Proves a statement on the one connection that has this exporter.
    #[must_use]
    pub fn prove(&self, exporter: &[u8; 32], token: TokenId, statement: &[u8]) -> [u8; 32] {
        mac(self.0.expose(), &[PROOF_LABEL, exporter, &token.0, statement])
    }

    /// Whether a proof is right; takes as long if it is not.
    #[must_use]
    pub fn verify(&self, exporter: &[u8; 32], token: TokenId, statement: &[u8], proof: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.prove(exporter, token, statement).ct_eq(proof).into()
    }
}

/// Of parts that all have a fixed length but for the last one.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits?;
    let pairs = pairs.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs.collect()
}

const PREFIX: &str = "RMSC1";
/// 128 bits cannot be guessed, whatever the rate.
const SECRET_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;
const TEXT_CHARS: usize = PREFIX.len() + 2 + 2 * (32 + 8 + SECRET_BYTES + CHECK_BYTES);
const CHECK_LABEL: &[u8] = b"rmsc token check 1";
const KEY_LABEL: &[u8] = b"rmsc token key 1";
const PROOF_LABEL: &[u8] = b"rmsc join proof 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_back() {
        let token = TokenText::new([7; 32]);
        let text = token.text();
        assert_eq!(text.expose().len(), TEXT_CHARS);
        let read: TokenText = text.expose().parse().unwrap();
        assert_eq!((read.pin, read.id, read.key().bytes()), (token.pin, token.id, token.key().bytes()));
        let shouted: TokenText = format!(" {}\n", text.expose().to_uppercase()).parse().unwrap();
        assert_eq!(shouted.key().bytes(), token.key().bytes());
    }

    #[test]
    fn every_slip_is_noticed() {
        let text = TokenText::new([7; 32]).text();
        let text = text.expose();
        assert_eq!("".parse::<TokenText>().unwrap_err(), TokenTextError::Form);
        assert_eq!("hunter2".parse::<TokenText>().unwrap_err(), TokenTextError::Form);
        for at in 6..text.len() {
            let mut slip = text.clone();
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            slip.replace_range(at..=at, other);
            assert_eq!(slip.parse::<TokenText>().unwrap_err(), TokenTextError::Check, "{at}");
            assert_eq!(text[..at].parse::<TokenText>().unwrap_err(), TokenTextError::Check, "{at}");
        }
        assert_eq!(format!("{text}-00").parse::<TokenText>().unwrap_err(), TokenTextError::Check);
    }

    #[test]
    fn a_proof_is_for_one_connection_one_token_and_one_statement() {
        let token = TokenText::new([7; 32]);
        let (key, exporter) = (token.key(), [1; 32]);
        let proof = key.prove(&exporter, token.id, b"statement");
        assert!(key.verify(&exporter, token.id, b"statement", &proof));
        assert!(!key.verify(&[2; 32], token.id, b"statement", &proof));
        assert!(!key.verify(&exporter, TokenId([9; 8]), b"statement", &proof));
        assert!(!key.verify(&exporter, token.id, b"other", &proof));
        assert!(!key.verify(&exporter, token.id, b"statement", &proof[..31]));
        assert!(!TokenText::new([7; 32]).key().verify(&exporter, token.id, b"statement", &proof));
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let token = TokenText::new([7; 32]);
        assert_eq!(format!("{token:?}"), format!("TokenText({})", token.id));
    }
}

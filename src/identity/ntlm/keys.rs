//! The arithmetic of NTLMv2: hashes, proofs, session keys, signatures ([MS-NLMP] 3.3.2 and 3.4).

use super::messages::{Flags, utf16};
use crate::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use rc4::{Rc4, StreamCipher};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What a client claims, and the proof that only the holder of the account's password can make.
#[derive(Clone)]
pub struct NtlmProof {
    /// The account as the client wrote it: a short name, or a UPN.
    pub user: String,
    /// The domain as the client wrote it; empty with a UPN.
    pub domain: String,
    /// The name that the client gives its computer. Nothing proves it.
    pub workstation: String,
    /// What we asked.
    pub server_challenge: [u8; 8],
    /// What it answered: NTProofStr and the blob ([MS-NLMP] 2.2.2.8).
    pub nt_response: Vec<u8>,
}

/// The response would let a reader of the log guess the password, so it is left out.
impl fmt::Debug for NtlmProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NtlmProof")
            .field("user", &self.user)
            .field("domain", &self.domain)
            .field("workstation", &self.workstation)
            .finish_non_exhaustive()
    }
}

/// The key that follows from a proof that holds ([MS-NLMP] 3.3.2, SessionBaseKey).
///
/// Having one means that somebody who knows the password's hash has checked the proof: only such
/// code may make one.
#[derive(Debug)]
pub struct SessionBaseKey(Secret<[u8; 16]>);

impl SessionBaseKey {
    /// Takes the key that a verifier gave, after the verifier said that the proof holds.
    #[must_use]
    pub fn of_checked_proof(key: [u8; 16]) -> Self {
        SessionBaseKey(Secret::new(key))
    }
}

/// The hash of a password: MD4 over UTF-16 ([MS-NLMP] 3.3.1, NTOWFv1). As good as the password itself.
#[must_use]
pub fn nt_hash(password: &str) -> Secret<[u8; 16]> {
    Secret::new(Md4::digest(Zeroizing::new(utf16(password))).into())
}

/// Checks a proof against the hash of a password, in the same time whatever the outcome.
///
/// [MS-NLMP] 3.3.2: the names in the computation are those that the client wrote.
#[must_use]
pub fn verify(nt_hash: &Secret<[u8; 16]>, proof: &NtlmProof) -> Option<SessionBaseKey> {
    let (claimed, blob) = proof.nt_response.split_first_chunk::<16>()?;
    let response_key = response_key(nt_hash, &proof.user, &proof.domain);
    let computed = nt_proof(&response_key, &proof.server_challenge, blob);
    let base_key = session_base_key(&response_key, claimed);
    bool::from(computed.ct_eq(claimed)).then_some(base_key)
}

/// NTOWFv2, [MS-NLMP] 3.3.2.
pub(in crate::identity) fn response_key(
    nt_hash: &Secret<[u8; 16]>,
    user: &str,
    domain: &str,
) -> Secret<[u8; 16]> {
    let names = [utf16(&upper(user)), utf16(domain)].concat();
    Secret::new(hmac_md5(nt_hash.expose(), &[&names]))
}

/// NTProofStr, [MS-NLMP] 3.3.2.
pub(in crate::identity) fn nt_proof(
    response_key: &Secret<[u8; 16]>,
    server_challenge: &[u8; 8],
    blob: &[u8],
) -> [u8; 16] {
    hmac_md5(response_key.expose(), &[server_challenge, blob])
}

/// SessionBaseKey, [MS-NLMP] 3.3.2.
pub(in crate::identity) fn session_base_key(
    response_key: &Secret<[u8; 16]>,
    nt_proof: &[u8; 16],
) -> SessionBaseKey {
    SessionBaseKey::of_checked_proof(hmac_md5(response_key.expose(), &[nt_proof]))
}

/// The blob of an NTLMv2 response, NTLMv2_CLIENT_CHALLENGE ([MS-NLMP] 2.2.2.7).
pub(in crate::identity) struct Blob<'a> {
    pub(in crate::identity) target_info: &'a [u8],
}

/// Reads the blob; `None` if the response is of an older kind.
pub(in crate::identity) fn blob(nt_response: &[u8]) -> Option<Blob<'_>> {
    let (_, blob) = nt_response.split_first_chunk::<16>()?;
    // The type of the response and the highest type that the client knows: both 1.
    if blob.first_chunk() != Some(&[1, 1]) {
        return None;
    }
    // Past the reserved bytes, the timestamp and the client's challenge.
    blob.get(BLOB_FIXED_BYTES..).map(|target_info| Blob { target_info })
}

/// The key of this session ([MS-NLMP] 3.2.5.1.2, ExportedSessionKey); `None` if the client's is missing.
pub(in crate::identity) fn exported_key(
    base: &SessionBaseKey,
    flags: Flags,
    encrypted: &[u8],
) -> Option<Secret<[u8; 16]>> {
    if !flags.has(Flags::KEY_EXCHANGE) {
        return Some(base.0.clone());
    }
    // Without signing or sealing there is no key to exchange, whatever the flag says; some clients
    // send one all the same, and some a byte that means nothing.
    if !flags.has(Flags::SIGN | Flags::SEAL) && encrypted.len() != 16 {
        return Some(base.0.clone());
    }
    let mut key: [u8; 16] = encrypted.try_into().ok()?;
    rc4(base.0.expose(), &mut key);
    Some(Secret::new(key))
}

/// What encrypts a session key for the server, and decrypts it there: RC4 is its own inverse.
pub(in crate::identity) fn exchange_key(base: &SessionBaseKey, session_key: &[u8; 16]) -> [u8; 16] {
    let mut key = *session_key;
    rc4(base.0.expose(), &mut key);
    key
}

/// The MIC over the three messages, the third around the place of its own MIC ([MS-NLMP] 3.1.5.1.2).
pub(in crate::identity) fn mic(
    key: &Secret<[u8; 16]>,
    messages: [&[u8]; 2],
    around: (&[u8], &[u8]),
) -> [u8; 16] {
    let [negotiate, challenge] = messages;
    hmac_md5(key.expose(), &[negotiate, challenge, around.0, &[0; 16], around.1])
}

/// Whose signature it is.
#[derive(Clone, Copy)]
pub(in crate::identity) enum Signer {
    Client,
    Server,
}

/// The first signature of a session, with sequence number 0 ([MS-NLMP] 3.4.4.2).
///
/// `None` without extended session security: those signatures are a CRC, and prove nothing.
pub(in crate::identity) fn signature(
    key: &Secret<[u8; 16]>,
    flags: Flags,
    signer: Signer,
    message: &[u8],
) -> Option<[u8; 16]> {
    if !flags.has(Flags::EXTENDED_SESSION_SECURITY) {
        return None;
    }
    let (sign_magic, seal_magic) = match signer {
        Signer::Client => (CLIENT_SIGN_MAGIC, CLIENT_SEAL_MAGIC),
        Signer::Server => (SERVER_SIGN_MAGIC, SERVER_SEAL_MAGIC),
    };
    let sign_key = Zeroizing::new(md5(&[key.expose(), sign_magic]));
    let [c0, c1, c2, c3, c4, c5, c6, c7, ..] = hmac_md5(&sign_key, &[&[0; 4], message]);
    let mut checksum = [c0, c1, c2, c3, c4, c5, c6, c7];
    if flags.has(Flags::KEY_EXCHANGE) {
        // [MS-NLMP] 3.4.5.3: a weaker key is a shorter beginning of the same key.
        let (seven, five) = (key.expose().first_chunk::<7>()?, key.expose().first_chunk::<5>()?);
        let strength: &[u8] = if flags.has(Flags::KEY_128) {
            key.expose()
        } else if flags.has(Flags::KEY_56) {
            seven
        } else {
            five
        };
        rc4(&Zeroizing::new(md5(&[strength, seal_magic])), &mut checksum);
    }
    let mut out = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.get_mut(4..12)?.copy_from_slice(&checksum);
    Some(out)
}

/// As Windows does: each character by itself, and only where one becomes one.
fn upper(name: &str) -> String {
    name.chars()
        .map(|character| {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => character,
            }
        })
        .collect()
}

fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn rc4(key: &[u8; 16], bytes: &mut [u8]) {
    let mut cipher = Rc4::new_from_slice(key).expect("RC4 takes a key of 1 to 256 bytes");
    cipher.apply_keystream(bytes);
}

/// The blob before its pairs: types 2, reserved 6, timestamp 8, client challenge 8, reserved 4.
const BLOB_FIXED_BYTES: usize = 28;

// [MS-NLMP] 3.4.5.2 and 3.4.5.3.
const CLIENT_SIGN_MAGIC: &[u8] = b"session key to client-to-server signing key magic constant\0";
const SERVER_SIGN_MAGIC: &[u8] = b"session key to server-to-client signing key magic constant\0";
const CLIENT_SEAL_MAGIC: &[u8] = b"session key to client-to-server sealing key magic constant\0";
const SERVER_SEAL_MAGIC: &[u8] = b"session key to server-to-client sealing key magic constant\0";

#[cfg(test)]
mod tests {
    use super::*;

    // [MS-NLMP] 4.2.1: the values common to its examples.
    const SERVER_CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    const SESSION_KEY: [u8; 16] = [0x55; 16];

    /// [MS-NLMP] 4.2.4.1.3: no time, the client's challenge, "Domain" and "Server".
    fn example_blob() -> Vec<u8> {
        let pair = |id: u8, name: &str| [&[id, 0, 12, 0], &utf16(name)[..]].concat();
        [&[1, 1], &[0; 14][..], &[0xaa; 8], &[0; 4], &pair(2, "Domain"), &pair(1, "Server"), &[0; 8]].concat()
    }

    fn hex(text: &str) -> [u8; 16] {
        u128::from_str_radix(&text.replace(' ', ""), 16).unwrap().to_be_bytes()
    }

    fn example_proof() -> NtlmProof {
        let nt_proof = hex("68 cd 0a b8 51 e5 1c 96 aa bc 92 7b eb ef 6a 1c");
        NtlmProof {
            user: "User".into(),
            domain: "Domain".into(),
            workstation: "COMPUTER".into(),
            server_challenge: SERVER_CHALLENGE,
            nt_response: [&nt_proof[..], &example_blob()].concat(),
        }
    }

    /// [MS-NLMP] 4.2.2.1.2, 4.2.4.1.1, 4.2.4.1.2 and 4.2.4.2.
    #[test]
    fn computes_the_examples_of_the_specification() {
        let nt_hash = nt_hash("Password");
        assert_eq!(*nt_hash.expose(), hex("a4 f4 9c 40 65 10 bd ca b6 82 4e e7 c3 0f d8 52"));
        let response_key = response_key(&nt_hash, "User", "Domain");
        assert_eq!(*response_key.expose(), hex("0c 86 8a 40 3b fd 7a 93 a3 00 1e f2 2e f0 2e 3f"));
        let base_key = verify(&nt_hash, &example_proof()).unwrap();
        assert_eq!(*base_key.0.expose(), hex("8d e4 0c ca db c1 4a 82 f1 5c b0 ad 0d e9 5c a3"));
        let encrypted = exchange_key(&base_key, &SESSION_KEY);
        assert_eq!(encrypted, hex("c5 da d2 54 4f c9 79 90 94 ce 1c e9 0b c9 d0 3e"));
        let flags = Flags(Flags::KEY_EXCHANGE | Flags::SIGN);
        assert_eq!(*exported_key(&base_key, flags, &encrypted).unwrap().expose(), SESSION_KEY);
    }

    /// [MS-NLMP] 4.2.4.4: the keys, and the signature that follows 18 sealed bytes.
    #[test]
    fn signs_as_in_the_example_of_the_specification() {
        let sign_key = md5(&[&SESSION_KEY, CLIENT_SIGN_MAGIC]);
        assert_eq!(sign_key, hex("47 88 dc 86 1b 47 82 f3 5d 43 fd 98 fe 1a 2d 39"));
        let seal_key = md5(&[&SESSION_KEY, CLIENT_SEAL_MAGIC]);
        assert_eq!(seal_key, hex("59 f6 00 97 3c c4 96 0a 25 48 0a 7c 19 6e 4c 58"));
        let plaintext = utf16("Plaintext");
        let mut stream = [&plaintext[..], &hmac_md5(&sign_key, &[&[0; 4], &plaintext])[..8]].concat();
        rc4(&seal_key, &mut stream);
        assert_eq!(stream[18..], [0x7f, 0xb3, 0x8e, 0xc5, 0xc5, 0x5d, 0x49, 0x76]);
    }

    #[test]
    fn verifies_only_what_the_password_made() {
        let right = nt_hash("Password");
        let changed = |change: fn(&mut NtlmProof)| {
            let mut proof = example_proof();
            change(&mut proof);
            verify(&right, &proof).is_some()
        };
        assert!(changed(|_| ()));
        assert!(changed(|proof| proof.user = "uSER".into())); // [MS-NLMP] 3.3.2: the user in upper case
        assert!(!changed(|proof| proof.user = "User2".into()));
        assert!(!changed(|proof| proof.domain = "DOMAIN".into())); // and the domain as it is
        assert!(!changed(|proof| proof.server_challenge[0] ^= 1));
        assert!(!changed(|proof| proof.nt_response[0] ^= 1));
        assert!(!changed(|proof| proof.nt_response.push(0)));
        assert!(!changed(|proof| proof.nt_response.truncate(16)));
        assert!(!changed(|proof| proof.nt_response.truncate(15)));
        assert!(!changed(|proof| proof.nt_response.clear()));
        assert!(verify(&nt_hash("password"), &example_proof()).is_none());
    }

    #[test]
    fn takes_upper_case_a_character_at_a_time() {
        assert_eq!(upper("zoë-straße$"), "ZOË-STRAßE$");
    }

    #[test]
    fn signs_nothing_with_a_checksum() {
        let key = Secret::new(SESSION_KEY);
        assert!(signature(&key, Flags(Flags::KEY_EXCHANGE), Signer::Client, b"list").is_none());
    }

    #[test]
    fn does_not_print_a_response() {
        assert!(!format!("{:?}", example_proof()).contains("170"));
    }
}

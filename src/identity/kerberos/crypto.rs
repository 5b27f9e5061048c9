//! Kerberos' ciphers and checksums: AES with SHA-1 ([RFC 3962]) and with SHA-2 ([RFC 8009]), nothing weaker.

use crate::secret::Secret;
use aes::{Aes128, Aes256};
use cts::cipher::{Block, BlockCipherEncrypt, KeyIvInit};
use cts::{CbcCs3, Decrypt, Encrypt};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The encryption types that are taken, by their numbers ([RFC 3961] 8, [RFC 8009] 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Etype {
    Aes128Sha1 = 17,
    Aes256Sha1 = 18,
    Aes128Sha2 = 19,
    Aes256Sha2 = 20,
}

/// A key and what it is for.
#[derive(Clone)]
pub(in super::super) struct Key {
    etype: Etype,
    bytes: Secret<Vec<u8>>,
}

/// What a key is used for ([RFC 4120] 7.5.1): each use has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Usage {
    Ticket = 2,
    Authenticator = 11,
    Reply = 12,
    /// KERB_NON_KERB_CKSUM_SALT, [MS-PAC] 2.8.
    PacSignature = 17,
}

impl Etype {
    pub(in super::super) fn of_number(number: i64) -> Option<Self> {
        [Etype::Aes128Sha1, Etype::Aes256Sha1, Etype::Aes128Sha2, Etype::Aes256Sha2]
            .into_iter()
            .find(|etype| i64::from(etype.number()) == number)
    }

    pub(in super::super) fn number(self) -> u8 {
        self as u8
    }

    /// The checksum that belongs to it.
    pub(in super::super) fn checksum_type(self) -> u32 {
        match self {
            Etype::Aes128Sha1 => 15,
            Etype::Aes256Sha1 => 16,
            Etype::Aes128Sha2 => 19,
            Etype::Aes256Sha2 => 20,
        }
    }

    pub(in super::super) fn mac_bytes(self) -> usize {
        match self {
            Etype::Aes128Sha1 | Etype::Aes256Sha1 => 12,
            Etype::Aes128Sha2 => 16,
            Etype::Aes256Sha2 => 24,
        }
    }

    pub(in super::super) fn key_bytes(self) -> usize {
        match self {
            Etype::Aes128Sha1 | Etype::Aes128Sha2 => 16,
            Etype::Aes256Sha1 | Etype::Aes256Sha2 => 32,
        }
    }
}

impl fmt::Display for Etype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Etype::Aes128Sha1 => "aes128-cts-hmac-sha1-96",
            Etype::Aes256Sha1 => "aes256-cts-hmac-sha1-96",
            Etype::Aes128Sha2 => "aes128-cts-hmac-sha256-128",
            Etype::Aes256Sha2 => "aes256-cts-hmac-sha384-192",
        })
    }
}

impl Key {
    /// `None`: the type has keys of another length.
    pub(in super::super) fn new(etype: Etype, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == etype.key_bytes()).then(|| Key { etype, bytes: Secret::new(bytes.to_vec()) })
    }

    pub(in super::super) fn etype(&self) -> Etype {
        self.etype
    }

    pub(in super::super) fn bytes(&self) -> &[u8] {
        self.bytes.expose()
    }

    /// `None`: the bytes were not encrypted with this key for this use, or somebody changed them.
    pub(in super::super) fn decrypt(&self, usage: Usage, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (cipher, mac) = bytes.split_at_checked(bytes.len().checked_sub(self.etype.mac_bytes())?)?;
        // One block is the confounder alone: there would be no message.
        if cipher.len() <= BLOCK {
            return None;
        }
        let mut plain = Zeroizing::new(cipher.to_vec());
        match self.etype {
            Etype::Aes128Sha1 | Etype::Aes256Sha1 => {
                decrypt_blocks(&self.derived(usage, Purpose::Encrypt), &mut plain)?;
                holds(&self.mac(usage, Purpose::Integrity, &[&plain]), mac)?;
            }
            Etype::Aes128Sha2 | Etype::Aes256Sha2 => {
                holds(&self.mac(usage, Purpose::Integrity, &[&[0; BLOCK], cipher]), mac)?;
                decrypt_blocks(&self.derived(usage, Purpose::Encrypt), &mut plain)?;
            }
        }
        plain.drain(..BLOCK);
        Some(plain)
    }

    /// The confounder must be random, and never come again.
    pub(in super::super) fn encrypt(
        &self,
        usage: Usage,
        confounder: &[u8; BLOCK],
        plain: &[u8],
    ) -> Option<Vec<u8>> {
        let plain = Zeroizing::new([confounder, plain].concat());
        let mut bytes = plain.to_vec();
        encrypt_blocks(&self.derived(usage, Purpose::Encrypt), &mut bytes)?;
        let mac = match self.etype {
            Etype::Aes128Sha1 | Etype::Aes256Sha1 => self.mac(usage, Purpose::Integrity, &[&plain]),
            Etype::Aes128Sha2 | Etype::Aes256Sha2 => {
                self.mac(usage, Purpose::Integrity, &[&[0; BLOCK], &bytes])
            }
        };
        bytes.extend(mac);
        Some(bytes)
    }

    /// Whether a checksum is the one of these bytes.
    pub(in super::super) fn verifies(&self, usage: Usage, bytes: &[u8], checksum: &[u8]) -> bool {
        holds(&self.mac(usage, Purpose::Checksum, &[bytes]), checksum).is_some()
    }

    fn mac(&self, usage: Usage, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        let key = self.derived(usage, purpose);
        let mut mac = match self.etype {
            Etype::Aes128Sha1 | Etype::Aes256Sha1 => hmac::<Hmac<Sha1>>(&key, parts),
            Etype::Aes128Sha2 => hmac::<Hmac<Sha256>>(&key, parts),
            Etype::Aes256Sha2 => hmac::<Hmac<Sha384>>(&key, parts),
        };
        mac.truncate(self.etype.mac_bytes());
        mac
    }

    /// [RFC 3961] 5.3 and [RFC 8009] 3: the key of one use and purpose.
    fn derived(&self, usage: Usage, purpose: Purpose) -> Zeroizing<Vec<u8>> {
        let [a, b, c, d] = (usage as u32).to_be_bytes();
        let constant = [a, b, c, d, purpose as u8];
        let mut derived = Zeroizing::new(match self.etype {
            Etype::Aes128Sha1 => chained::<Aes128>(self.bytes(), &constant, 1),
            Etype::Aes256Sha1 => chained::<Aes256>(self.bytes(), &constant, 2),
            Etype::Aes128Sha2 => counted::<Hmac<Sha256>>(self.bytes(), &constant, 128),
            Etype::Aes256Sha2 => {
                let bits = if matches!(purpose, Purpose::Encrypt) { 256 } else { 192 };
                counted::<Hmac<Sha384>>(self.bytes(), &constant, bits)
            }
        });
        let bytes = match (self.etype, purpose) {
            (Etype::Aes256Sha2, Purpose::Integrity | Purpose::Checksum) => 24,
            (etype, _) => etype.key_bytes(),
        };
        derived.truncate(bytes);
        derived
    }
}

/// The last byte of the constant that a key is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Checksum = 0x99,
    Encrypt = 0xaa,
    Integrity = 0x55,
}

fn holds(computed: &[u8], came: &[u8]) -> Option<()> {
    bool::from(computed.ct_eq(came)).then_some(())
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// [RFC 3961] 5.1: encrypts the folded constant, then the outcome of that, until there are enough blocks.
fn chained<C: BlockCipherEncrypt + KeyInit>(key: &[u8], constant: &[u8; 5], blocks: usize) -> Vec<u8> {
    let cipher = C::new_from_slice(key).expect("the key has the type's length");
    let mut block = fold(constant).into_iter().collect::<Block<C>>();
    let mut out = Vec::new();
    for _ in 0..blocks {
        cipher.encrypt_block(&mut block);
        out.extend_from_slice(&block);
    }
    out
}

/// KDF-HMAC-SHA2, [RFC 8009] 3, for outcomes that one hash is long enough for.
fn counted<M: Mac + KeyInit>(key: &[u8], label: &[u8; 5], bits: u32) -> Vec<u8> {
    hmac::<M>(key, &[&1u32.to_be_bytes(), label, &[0], &bits.to_be_bytes()])
}

/// [RFC 3961] 5.1, n-fold from 5 to 16 bytes: sixteen copies, each 13 bits further to the right, make five
/// numbers of 128 bits, which are added with the carry brought round.
fn fold(constant: &[u8; 5]) -> [u8; 16] {
    let [a, b, c, d, e] = *constant;
    let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    let copies = (0..16u32).flat_map(|copy| {
        let by = 13 * copy % 40;
        let turned = number >> by | number << (40 - by) & 0xff_ffff_ffff;
        let [_, _, _, bytes @ ..] = turned.to_be_bytes();
        bytes
    });
    let copies: Vec<u8> = copies.collect();
    let sum = copies.as_chunks::<16>().0.iter().fold(0u128, |sum, chunk| {
        let (sum, carry) = sum.overflowing_add(u128::from_be_bytes(*chunk));
        sum + u128::from(carry)
    });
    sum.to_be_bytes()
}

/// CBC with ciphertext stealing, the last two blocks swapped, from a vector of zeros ([RFC 3962] 5).
fn decrypt_blocks(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    if key.len() == Etype::Aes128Sha1.key_bytes() {
        CbcCs3::<Aes128>::new_from_slices(key, &[0; BLOCK]).ok()?.decrypt(bytes).ok()
    } else {
        CbcCs3::<Aes256>::new_from_slices(key, &[0; BLOCK]).ok()?.decrypt(bytes).ok()
    }
}

fn encrypt_blocks(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    if key.len() == Etype::Aes128Sha1.key_bytes() {
        CbcCs3::<Aes128>::new_from_slices(key, &[0; BLOCK]).ok()?.encrypt(bytes).ok()
    } else {
        CbcCs3::<Aes256>::new_from_slices(key, &[0; BLOCK]).ok()?.encrypt(bytes).ok()
    }
}

/// A block of AES, which is also what a confounder has.
pub(in super::super) const BLOCK: usize = 16;

#[cfg(test)]
impl Key {
    /// For the tests of what a server checks.
    pub(in super::super) fn checksum(&self, usage: Usage, bytes: &[u8]) -> Vec<u8> {
        self.mac(usage, Purpose::Checksum, &[bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    const ALL: [Etype; 4] = [Etype::Aes128Sha1, Etype::Aes256Sha1, Etype::Aes128Sha2, Etype::Aes256Sha2];

    #[test]
    fn reads_back_what_it_encrypts_and_nothing_that_was_changed() {
        for etype in ALL {
            let key = Key::new(etype, &vec![7; etype.key_bytes()]).unwrap();
            for length in [1, 15, 16, 17, 31, 32, 33, 1_000] {
                let plain = vec![3; length];
                let bytes = key.encrypt(Usage::Reply, &[5; 16], &plain).unwrap();
                assert_eq!(key.decrypt(Usage::Reply, &bytes).as_deref(), Some(&plain), "{etype} {length}");
                assert!(key.decrypt(Usage::Ticket, &bytes).is_none());
                for at in 0..bytes.len() {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1;
                    assert!(key.decrypt(Usage::Reply, &changed).is_none(), "{etype} {length} at {at}");
                }
            }
            for length in 0..=BLOCK + etype.mac_bytes() {
                assert!(key.decrypt(Usage::Reply, &vec![0; length]).is_none(), "{etype} {length}");
            }
        }
    }

    #[test]
    fn refuses_keys_of_another_length() {
        assert!(Key::new(Etype::Aes128Sha1, &[0; 32]).is_none());
        assert!(Key::new(Etype::Aes256Sha2, &[0; 31]).is_none());
    }

    /// The derived keys of [RFC 8009] appendix A, whose usage is 2.
    #[test]
    fn derives_the_keys_of_rfc_8009() {
        let key = Key::new(Etype::Aes128Sha2, &hex("3705D96080C17728A0E800EAB6E0D23C")).unwrap();
        let derived = |key: &Key, purpose| key.derived(Usage::Ticket, purpose).to_vec();
        assert_eq!(derived(&key, Purpose::Checksum), hex("B31A018A48F54776F403E9A396325DC3"));
        assert_eq!(derived(&key, Purpose::Encrypt), hex("9B197DD1E8C5609D6E67C3E37C62C72E"));
        assert_eq!(derived(&key, Purpose::Integrity), hex("9FDA0E56AB2D85E1569A688696C26A6C"));
        let long = "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52";
        let key = Key::new(Etype::Aes256Sha2, &hex(long)).unwrap();
        let checksum = "EF5718BE86CC84963D8BBB5031E9F5C4BA41F28FAF69E73D";
        assert_eq!(derived(&key, Purpose::Checksum), hex(checksum));
        let encrypt = "56AB22BEE63D82D7BC5227F6773F8EA7A5EB1C825160C38312980C442E5C7E49";
        assert_eq!(derived(&key, Purpose::Encrypt), hex(encrypt));
        let integrity = "69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F";
        assert_eq!(derived(&key, Purpose::Integrity), hex(integrity));
    }

    /// The ciphers' own examples, [RFC 3962] appendix B: the last two blocks are swapped, and one is short.
    #[test]
    fn steals_ciphertext_as_rfc_3962_does() {
        let key = b"chicken teriyaki";
        let plain = b"I would like the General Gau's Chicken, please, and wonton soup.";
        for (length, wanted) in [
            (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
            (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
            (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        ] {
            let mut bytes = plain[..length].to_vec();
            encrypt_blocks(key, &mut bytes).unwrap();
            assert_eq!(bytes, hex(wanted), "{length}");
            decrypt_blocks(key, &mut bytes).unwrap();
            assert_eq!(bytes, plain[..length]);
        }
    }

    /// What MIT's own tests know, with the usage of a ticket.
    #[test]
    fn decrypts_what_mit_has_encrypted() {
        let check = |etype, key: &str, cipher: &str| {
            let key = Key::new(etype, &hex(key)).unwrap();
            assert_eq!(key.decrypt(Usage::Ticket, &hex(cipher)).unwrap()[..], *b"9 bytesss", "{etype}");
        };
        check(
            Etype::Aes128Sha1,
            "9062430C8CDA3388922E6D6A509F5B7A",
            "68FB9679601F45C78857B2BF820FD6E53ECA8D42FD4B1D7024A09205ABB7CD2EC26C355D2F",
        );
        check(
            Etype::Aes256Sha1,
            "B1AE4CD8462AFF1677053CC9279AAC30B796FB81CE21474DD3DDBCFEA4EC76D7",
            "09957AA25FCAF88F7B39E4406E633012D5FEA21853F6478DA7065CAEF41FD454A40824EEC5",
        );
    }

    /// And its example of six bytes.
    #[test]
    fn encrypts_as_rfc_8009_does() {
        let key = Key::new(Etype::Aes128Sha2, &hex("3705D96080C17728A0E800EAB6E0D23C")).unwrap();
        let confounder = hex("7BCA285E2FD4130FB55B1A5C83BC5B24").try_into().unwrap();
        let wanted = "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6877CE99E247E52D16ED4421DFDF8976C";
        let bytes = key.encrypt(Usage::Ticket, &confounder, &hex("000102030405")).unwrap();
        assert_eq!(bytes, hex(wanted));
        let long = "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52";
        let key = Key::new(Etype::Aes256Sha2, &hex(long)).unwrap();
        let confounder = hex("B80D3251C1F6471494256FFE712D0B9A").try_into().unwrap();
        let wanted =
            "4ED7B37C2BCAC8F74F23C1CF07E62BC7B75FB3F637B9F559C7F664F69EAB7B6092237526EA0D1F61CB20D69D10F2";
        let bytes = key.encrypt(Usage::Ticket, &confounder, &hex("000102030405")).unwrap();
        assert_eq!(bytes, hex(wanted));
        // More than one block.
        let confounder = hex("763E65367E864F02F55153C7E3B58AF1").try_into().unwrap();
        let wanted = "40013E2DF58E8751957D2878BCD2D6FE101CCFD556CB1EAE79DB3C3EE86429F2B2A602AC86\
            FEF6ECB647D6295FAE077A1FEB517508D2C16B4192E01F62";
        let plain: Vec<u8> = (0..21).collect();
        let bytes = key.encrypt(Usage::Ticket, &confounder, &plain).unwrap();
        assert_eq!(bytes, hex(wanted));
    }
}

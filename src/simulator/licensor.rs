//! The simulated service's keys, new in each run and the same for the whole of it, and what is signed with
//! them: SHA-256 over the bytes of the BODY, RSA with 2048 bits ([MS-RMPR] 2.2.9.1.12, 3.1.4.7).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::OnceLock;

/// Who signs, or whose key is certified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    CertificationAuthority,
    EnrolmentAuthority,
    EnrolmentService,
    /// The service itself.
    Server,
    /// Every account and client; a real service makes one for each.
    Principal,
}

/// The keys, each made when it is needed first.
#[derive(Default)]
pub struct Licensor {
    keys: [OnceLock<Key>; 5],
    pub(super) server_chain: OnceLock<String>,
}

struct Key {
    pair: KeyPair,
    modulus: String,
}

impl Licensor {
    /// Makes all keys, which takes a moment.
    pub(super) fn warm(&self) {
        for holder in Holder::ALL {
            self.key(holder);
        }
    }

    /// A holder's key, as `PUBLICKEY`.
    pub(super) fn public_key(&self, holder: Holder) -> String {
        format!(
            "<PUBLICKEY><ALGORITHM>RSA</ALGORITHM><PARAMETER name=\"public-exponent\">\
             <VALUE encoding=\"integer32\">65537</VALUE></PARAMETER><PARAMETER name=\"modulus\">\
             <VALUE encoding=\"base64\" size=\"2048\">{}</VALUE></PARAMETER></PUBLICKEY>",
            self.key(holder).modulus
        )
    }

    /// The `SIGNATURE` that belongs after a `BODY`.
    pub(super) fn signature(&self, holder: Holder, body: &str) -> String {
        let mut signature = [0; MODULUS_BYTES];
        self.key(holder)
            .pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body.as_bytes(), &mut signature)
            .expect("the buffer has the length of the modulus");
        signature.reverse();
        format!(
            "<SIGNATURE><DIGEST><ALGORITHM>SHA256</ALGORITHM><PARAMETER name=\"codingtype\">\
             <VALUE encoding=\"string\">surface-coding</VALUE></PARAMETER>\
             <VALUE encoding=\"base64\" size=\"256\">{}</VALUE></DIGEST>\
             <ALGORITHM>RSA PKCS#1-V1.5</ALGORITHM><VALUE encoding=\"base64\" size=\"2048\">{}</VALUE></SIGNATURE>",
            STANDARD.encode(digest(&SHA256, body.as_bytes())),
            STANDARD.encode(signature)
        )
    }

    fn key(&self, holder: Holder) -> &Key {
        let [authority, enrolment_authority, enrolment_service, server, principal] = &self.keys;
        let key = match holder {
            Holder::CertificationAuthority => authority,
            Holder::EnrolmentAuthority => enrolment_authority,
            Holder::EnrolmentService => enrolment_service,
            Holder::Server => server,
            Holder::Principal => principal,
        };
        key.get_or_init(Key::new)
    }
}

impl Holder {
    const ALL: [Holder; 5] = [
        Holder::CertificationAuthority,
        Holder::EnrolmentAuthority,
        Holder::EnrolmentService,
        Holder::Server,
        Holder::Principal,
    ];
}

impl Key {
    fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the length is a usual one");
        // RFC 8017 A.1.1: a sequence, the modulus with a zero before it, the exponent.
        let encoded = pair.public_key().as_ref();
        let mut modulus = encoded.get(MODULUS_AT..MODULUS_AT + MODULUS_BYTES).unwrap_or_default().to_vec();
        // XrML has numbers as CryptoAPI keeps them: the least byte first.
        modulus.reverse();
        Key { modulus: STANDARD.encode(modulus), pair }
    }
}

const MODULUS_BYTES: usize = 256;
const MODULUS_AT: usize = 9;

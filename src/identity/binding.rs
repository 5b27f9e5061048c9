//! Channel bindings: what ties a handshake to the TLS connection it runs on ([RFC 5929] 4.1).

use super::der::{Reader, only};
use super::{Bound, ChannelBindingPolicy, Refused};
use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// MD5 over the gss_channel_bindings of a TLS server's certificate: what a client puts into its
/// proof, so that the proof is worth nothing on another connection ([MS-NLMP] 2.2.2.1, MsvAvChannelBindings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBinding([u8; 16]);

/// The bytes are not a certificate ([RFC 5280] 4.1).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a text of {bytes} bytes is not a DER certificate")]
pub struct NotACertificate {
    bytes: usize,
}

impl ChannelBinding {
    /// The `tls-server-end-point` binding of a leaf certificate ([RFC 5929] 4.1): its hash is that of the
    /// certificate's own signature, but SHA-256 in place of MD5 and SHA-1, and where the signature
    /// has no hash of its own (Ed25519), which the document leaves undefined.
    ///
    /// # Errors
    /// When the bytes are not a certificate.
    pub fn of_certificate(leaf_der: &[u8]) -> Result<Self, NotACertificate> {
        let algorithm = signature_algorithm(leaf_der).ok_or(NotACertificate { bytes: leaf_der.len() })?;
        let hash = match algorithm {
            SHA224_WITH_RSA | ECDSA_WITH_SHA224 | SHA224 => Sha224::digest(leaf_der).to_vec(),
            SHA384_WITH_RSA | ECDSA_WITH_SHA384 | SHA384 => Sha384::digest(leaf_der).to_vec(),
            SHA512_WITH_RSA | ECDSA_WITH_SHA512 | SHA512 => Sha512::digest(leaf_der).to_vec(),
            _ => Sha256::digest(leaf_der).to_vec(),
        };
        Ok(ChannelBinding::of_application_data(&[b"tls-server-end-point:", &hash[..]].concat()))
    }

    /// [RFC 4121] 4.1.1.2 and [MS-NLMP] 3.1.5.1.2: no addresses, then the application data with its length.
    pub(super) fn of_application_data(data: &[u8]) -> Self {
        let mut hash = Md5::new();
        hash.update([0; 16]);
        hash.update((data.len() as u32).to_le_bytes()); // a prefix and one hash: below 100
        hash.update(data);
        ChannelBinding(hash.finalize().into())
    }

    /// The 16 bytes that a client sends.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether a client's bytes are this binding.
    #[must_use]
    pub fn holds(&self, sent: &[u8]) -> bool {
        self.0[..].ct_eq(sent).into()
    }
}

/// What a client that sends no binding says about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insistence {
    /// Nothing.
    None,
    /// It knows of bindings, and sends none only where it sees no TLS.
    KnowsOfBindings,
}

/// Holds what a client sent against this connection. Sixteen zero bytes mean that it knows of no channel
/// ([MS-NLMP] 3.2.5.1.2, [RFC 4121] 4.1.1.2).
pub(super) fn check(
    policy: ChannelBindingPolicy,
    sent: Option<&[u8]>,
    ours: Option<&ChannelBinding>,
    insistence: Insistence,
) -> Result<Bound, Refused> {
    let sent = sent.filter(|sent| sent.iter().any(|byte| *byte != 0));
    match (policy, sent, ours) {
        (ChannelBindingPolicy::Off, _, _) => Ok(Bound::NotChecked),
        (ChannelBindingPolicy::Allow, None, Some(_)) if insistence == Insistence::KnowsOfBindings => {
            Err(Refused::ChannelBindingMissing)
        }
        (ChannelBindingPolicy::Allow, None, _) => Ok(Bound::NotSent),
        (ChannelBindingPolicy::Require, None, _) => Err(Refused::ChannelBindingMissing),
        // On a clear connection a binding is that of somebody else's TLS: a relay looks like this.
        (ChannelBindingPolicy::Allow | ChannelBindingPolicy::Require, Some(_), None) => {
            Err(Refused::ChannelBindingDiffers)
        }
        (ChannelBindingPolicy::Allow | ChannelBindingPolicy::Require, Some(sent), Some(ours)) => {
            if ours.holds(sent) { Ok(Bound::ToChannel) } else { Err(Refused::ChannelBindingDiffers) }
        }
    }
}

/// The OID of the signature, or of the hash inside it where it is RSASSA-PSS.
fn signature_algorithm(leaf_der: &[u8]) -> Option<&[u8]> {
    let mut certificate = Reader::new(only(SEQUENCE, leaf_der)?);
    certificate.take(SEQUENCE)?; // the part that is signed
    let mut algorithm = Reader::new(certificate.take(SEQUENCE)?);
    certificate.take(BIT_STRING)?;
    if !certificate.is_empty() {
        return None;
    }
    let oid = algorithm.take(OID)?;
    if oid != RSASSA_PSS {
        return Some(oid);
    }
    // [RFC 4055] 3.1: without the field the hash is SHA-1, which is treated as SHA-256 above.
    let mut parameters = Reader::new(algorithm.take(SEQUENCE)?);
    match parameters.take_if(FIELD_0)? {
        None => Some(oid),
        Some(hash) => Reader::new(only(SEQUENCE, hash)?).take(OID),
    }
}

const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const FIELD_0: u8 = 0xa0;

// [RFC 4055] 5, 1.2.840.113549.1.1: signatures of RSA.
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const SHA384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const SHA512_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const SHA224_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e];
// [RFC 5758] 3.2, 1.2.840.10045.4.3: signatures of ECDSA.
const ECDSA_WITH_SHA224: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
// [RFC 5754] 2, 2.16.840.1.101.3.4.2: the hashes alone.
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
const SHA224: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04];

#[cfg(test)]
mod tests {
    use super::super::der::element;
    use super::*;

    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = element(SEQUENCE, &[&element(OID, &[oid]), parameters]);
        element(SEQUENCE, &[&element(SEQUENCE, &[b""]), &algorithm, &element(BIT_STRING, &[&[0, 1]])])
    }

    fn check_hash(oid: &[u8], parameters: &[u8], hash: fn(&[u8]) -> Vec<u8>) {
        let leaf = certificate(oid, parameters);
        let data = [b"tls-server-end-point:", &hash(&leaf)[..]].concat();
        assert_eq!(ChannelBinding::of_certificate(&leaf), Ok(ChannelBinding::of_application_data(&data)));
    }

    #[test]
    fn takes_the_hash_of_the_signature() {
        let pss = |hash: &[u8]| {
            let hash = element(SEQUENCE, &[&element(OID, &[hash]), &[5, 0]]);
            element(SEQUENCE, &[&element(FIELD_0, &[&hash])])
        };
        check_hash(SHA384_WITH_RSA, &[5, 0], |leaf| Sha384::digest(leaf).to_vec());
        check_hash(SHA512_WITH_RSA, &[5, 0], |leaf| Sha512::digest(leaf).to_vec());
        check_hash(ECDSA_WITH_SHA384, &[], |leaf| Sha384::digest(leaf).to_vec());
        check_hash(ECDSA_WITH_SHA512, &[], |leaf| Sha512::digest(leaf).to_vec());
        check_hash(RSASSA_PSS, &pss(SHA512), |leaf| Sha512::digest(leaf).to_vec());
        check_hash(RSASSA_PSS, &[0x30, 0], |leaf| Sha256::digest(leaf).to_vec());
    }

    #[test]
    fn takes_sha_256_for_older_hashes_and_for_none() {
        let sha1_with_rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
        let ed25519 = [0x2b, 0x65, 0x70];
        check_hash(&sha1_with_rsa, &[5, 0], |leaf| Sha256::digest(leaf).to_vec());
        check_hash(&ed25519, &[], |leaf| Sha256::digest(leaf).to_vec());
    }

    #[test]
    fn refuses_what_is_no_certificate() {
        let mut leaf = certificate(SHA384_WITH_RSA, &[5, 0]);
        leaf.push(0);
        for bytes in [&leaf[..], b"", b"-----BEGIN CERTIFICATE-----", &leaf[..20]] {
            assert!(ChannelBinding::of_certificate(bytes).is_err());
        }
    }
}

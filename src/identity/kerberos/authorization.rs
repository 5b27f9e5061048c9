//! Authorization data, in a ticket and in a proof: which elements there are, and whether they have their form.

use super::super::der::{Reader, element, only};
use super::messages::{Fields, integer};

/// The elements of an AuthorizationData, [RFC 4120] 5.2.6: their types and contents.
pub(super) fn authorization(bytes: &[u8]) -> Option<Vec<(i64, &[u8])>> {
    let mut list = Reader::new(only(SEQUENCE, bytes)?);
    let mut out = Vec::new();
    while !list.is_empty() {
        if out.len() == AUTHORIZATION_MAX {
            return None;
        }
        let mut fields = Fields { rest: Reader::new(list.take(SEQUENCE)?) };
        let kind = integer(fields.take(0)?)?;
        let data = only(OCTETS, fields.take(1)?)?;
        out.push(fields.end((kind, data))?);
    }
    Some(out)
}

/// Whether what is in an element has its form, for those that MIT reads as well: others inside it, and encryption
/// types. What a KDC signs for services of its own (AD-KDC-ISSUED, AD-CAMMAC) is refused: Windows issues none.
pub(super) fn is_known_form(kind: i64, data: &[u8], depth: u8) -> bool {
    let inside = || {
        let inner = authorization(data).filter(|_| depth < AUTHORIZATION_DEPTH_MAX)?;
        inner.iter().all(|(kind, data)| is_known_form(*kind, data, depth + 1)).then_some(())
    };
    match kind {
        IF_RELEVANT => inside().is_some(),
        KDC_ISSUED | CAMMAC => false,
        ETYPE_NEGOTIATION => only(SEQUENCE, data).is_some_and(|list| {
            let mut list = Reader::new(list);
            while !list.is_empty() {
                let digits = list.take(INTEGER);
                if digits.and_then(|digits| integer(&element(INTEGER, &[digits]))).is_none() {
                    return false;
                }
            }
            true
        }),
        _ => true,
    }
}

/// KDCs write one or two.
const AUTHORIZATION_MAX: usize = 32;
/// Nobody puts one AD-IF-RELEVANT into another.
const AUTHORIZATION_DEPTH_MAX: u8 = 3;
/// [RFC 4120] 7.5.4, [RFC 7751] and [RFC 4537].
pub(super) const IF_RELEVANT: i64 = 1;
const KDC_ISSUED: i64 = 4;
const CAMMAC: i64 = 96;
const ETYPE_NEGOTIATION: i64 = 129;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

//! Security identifiers, [MS-DTYP] 2.4.2: a type that can only hold a valid one.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A security identifier of revision 1, for instance `S-1-5-21-1004336348-1177238915-682003330-512`.
#[derive(Clone)]
pub struct Sid(Parts);

/// A node may hold millions. Nearly all are short: nothing of those is on the heap.
#[derive(Clone)]
enum Parts {
    Short { authority: [u8; 6], count: u8, sub_authorities: [u32; SHORT_MAX] },
    Long(Box<Long>),
}

#[derive(Clone)]
struct Long {
    authority: u64,
    sub_authorities: Box<[u32]>,
}

/// Why a text is not a SID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{} is not a SID; write it as S-1-5-21-…, as `whoami /user` or `rmsc authz test` shows it",
    super::quoted(text)
)]
pub struct ParseSidError {
    text: String,
}

impl Sid {
    /// Makes a SID of its parts; `None` where [MS-DTYP] 2.4.2 has no place for them.
    #[must_use]
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Option<Self> {
        if authority >= 1 << 48 || sub_authorities.is_empty() || sub_authorities.len() > SUB_AUTHORITIES_MAX {
            return None;
        }
        let mut short = [0; SHORT_MAX];
        let Some(places) = short.get_mut(..sub_authorities.len()) else {
            return Some(Sid(Parts::Long(Box::new(Long {
                authority,
                sub_authorities: sub_authorities.into(),
            }))));
        };
        places.copy_from_slice(sub_authorities);
        let [_, _, authority @ ..] = authority.to_be_bytes();
        let count = u8::try_from(sub_authorities.len()).ok()?;
        Some(Sid(Parts::Short { authority, count, sub_authorities: short }))
    }

    /// The SID of the account with this relative id in the domain that `self` names.
    #[must_use]
    pub fn with_rid(&self, rid: u32) -> Option<Self> {
        let (authority, sub_authorities) = self.parts();
        let mut sub_authorities = sub_authorities.to_vec();
        sub_authorities.push(rid);
        Sid::new(authority, &sub_authorities)
    }

    /// The domain of an account or a group of one: all but the last part of `S-1-5-21-a-b-c-rid`. `None`: no
    /// domain has given it out.
    #[must_use]
    pub fn domain(&self) -> Option<Sid> {
        let (5, [21, domain @ .., _]) = self.parts() else { return None };
        // `S-1-5-21-0-0-0-…` is whatever has claims, or came from a device that is known.
        let [a, b, c] = *domain else { return None };
        if (a, b, c) == (0, 0, 0) { None } else { Sid::new(5, &[21, a, b, c]) }
    }

    /// Whether it is that of a domain, `S-1-5-21-a-b-c`.
    #[must_use]
    pub fn is_domain(&self) -> bool {
        matches!(self.parts(), (5, [21, a, b, c]) if (*a, *b, *c) != (0, 0, 0))
    }

    /// The relative id of an account of this domain; `None`: it is of another one.
    #[must_use]
    pub fn rid_in(&self, domain: &Sid) -> Option<u32> {
        let (authority, sub_authorities) = self.parts();
        let (rid, above) = sub_authorities.split_last()?;
        ((authority, above) == domain.parts()).then_some(*rid)
    }

    /// The bytes that directories and tickets have, [MS-DTYP] 2.4.2.2.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (authority, sub_authorities) = self.parts();
        let [_, _, authority @ ..] = authority.to_be_bytes();
        let count = u8::try_from(sub_authorities.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![REVISION, count];
        bytes.extend(authority);
        sub_authorities.iter().for_each(|part| bytes.extend(part.to_le_bytes()));
        bytes
    }

    /// Reads such bytes; `None` if they are no SID, or more than one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([revision, count, authority @ ..], rest) = bytes.split_first_chunk::<8>()?;
        let (parts, odd) = rest.as_chunks::<4>();
        if *revision != REVISION || parts.len() != usize::from(*count) || !odd.is_empty() {
            return None;
        }
        let [a, b, c, d, e, f] = *authority;
        let sub_authorities: Vec<u32> = parts.iter().map(|part| u32::from_le_bytes(*part)).collect();
        Sid::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), &sub_authorities)
    }

    /// `S-1-5-7`: what an anonymous logon would be.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.parts() == (5, &[7])
    }

    /// A group that whole crowds are in: Everyone, Authenticated Users, Users and Guests, and a domain's
    /// users, guests and computers, and what Kerberos says of everybody ([MS-DTYP] 2.4.2.4). No entry should
    /// ever name one.
    #[must_use]
    pub fn is_crowd(&self) -> bool {
        match self.parts() {
            (1 | 2, [0]) | (5, [2 | 3 | 4 | 11 | 15 | 113] | [32, 545 | 546 | 554] | [64, _]) => true,
            (18, _) | (5, [21, 0, 0, 0, 496 | 497]) => true,
            (5, [21, .., rid]) => matches!(rid, 513..=515),
            _ => false,
        }
    }

    /// `S-1-18-2`: a service asked for the account's ticket, which the account itself did not ([MS-SFU]).
    #[must_use]
    pub fn is_service_asserted(&self) -> bool {
        self.parts() == (18, &[2])
    }

    /// The built-in Guest account of a domain: relative id 501.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        matches!(self.parts(), (5, [21, .., 501]))
    }

    /// A number that is the same for equal SIDs, everywhere, and hardly ever for others.
    #[must_use]
    pub fn mark(&self) -> u64 {
        let Parts::Short { authority, count, sub_authorities } = &self.0 else {
            let (authority, sub_authorities) = self.parts();
            return sub_authorities.iter().fold(authority, |mark, part| mixed(mark ^ u64::from(*part)));
        };
        let [a, b, c, d, e, f] = *authority;
        let [g, h, i, j, k, l] = sub_authorities.map(u64::from);
        // These three do not wait for each other: an account is in hundreds of groups.
        let kind = u64::from_le_bytes([*count, 0, a, b, c, d, e, f]).wrapping_mul(KIND_FACTOR);
        let forest = (g | h << 32).wrapping_mul(FOREST_FACTOR);
        let domain = (i | j << 32).wrapping_mul(DOMAIN_FACTOR);
        let before = kind ^ forest ^ domain;
        mixed(before ^ (before >> 32) ^ (k | l << 32))
    }

    /// The parts of one that is short, as numbers that have its order.
    fn short(&self) -> Option<([u64; 4], u8)> {
        let Parts::Short { authority: [a, b, c, d, e, f], count, sub_authorities } = &self.0 else {
            return None;
        };
        let authority = u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]);
        // What is not there is 0: it comes first, and of two that are the same but for it the count tells.
        let [g, h, i, j, k, l] = sub_authorities.map(u64::from);
        Some(([authority, g << 32 | h, i << 32 | j, k << 32 | l], *count))
    }

    fn parts(&self) -> (u64, &[u32]) {
        match &self.0 {
            Parts::Short { authority: [a, b, c, d, e, f], count, sub_authorities } => {
                let authority = u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]);
                (authority, sub_authorities.get(..usize::from(*count)).unwrap_or_default())
            }
            Parts::Long(long) => (long.authority, &*long.sub_authorities),
        }
    }
}

impl PartialEq for Sid {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sid {}

impl PartialOrd for Sid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sid {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.short(), other.short()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => self.parts().cmp(&other.parts()),
        }
    }
}

impl Hash for Sid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl FromStr for Sid {
    type Err = ParseSidError;

    fn from_str(text: &str) -> Result<Self, ParseSidError> {
        parse(text).ok_or_else(|| ParseSidError { text: text.chars().take(TEXT_SHOWN_CHARS_MAX).collect() })
    }
}

fn mixed(mark: u64) -> u64 {
    let mark = mark.wrapping_mul(MARK_FACTOR);
    mark ^ (mark >> 32)
}

fn parse(text: &str) -> Option<Sid> {
    let mut parts = text.strip_prefix("S-1-").or_else(|| text.strip_prefix("s-1-"))?.split('-');
    let authority = number(parts.next()?)?;
    let mut sub_authorities = Vec::new();
    for part in parts {
        if sub_authorities.len() == SUB_AUTHORITIES_MAX {
            return None;
        }
        sub_authorities.push(u32::try_from(number(part)?).ok()?);
    }
    Sid::new(authority, &sub_authorities)
}

/// Digits alone: `u64::from_str` would also take a sign.
fn number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authority, sub_authorities) = self.parts();
        write!(f, "S-1-{authority}")?;
        sub_authorities.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The only one there is.
const REVISION: u8 = 1;
/// [MS-DTYP] 2.4.2.2: the count of sub-authorities is at most 15.
const SUB_AUTHORITIES_MAX: usize = 15;
/// Accounts and groups of a domain have five.
const SHORT_MAX: usize = 6;
/// 2^64 divided by the golden ratio, made odd.
const MARK_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// The same with the square roots of 2, 3 and 5: odd, and far from each other.
const KIND_FACTOR: u64 = 0x6a09_e667_f3bc_c909;
const FOREST_FACTOR: u64 = 0xbb67_ae85_84ca_a73b;
const DOMAIN_FACTOR: u64 = 0x3c6e_f372_fe94_f82b;
/// How much of a wrong text an error repeats.
const TEXT_SHOWN_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints() {
        for text in ["S-1-5-7", "S-1-5-21-1-2-3-501", "S-1-281474976710655-4294967295"] {
            assert_eq!(text.parse::<Sid>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn reads_back_its_bytes_and_no_others() {
        for text in ["S-1-5-7", "S-1-5-21-1004336348-1177238915-682003330-512", "S-1-281474976710655-1"] {
            let bytes = text.parse::<Sid>().unwrap().to_bytes();
            assert_eq!(Sid::from_bytes(&bytes).unwrap().to_string(), text);
            for cut in 0..bytes.len() {
                assert_eq!(Sid::from_bytes(&bytes[..cut]), None, "{text} {cut}");
            }
            assert_eq!(Sid::from_bytes(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(Sid::from_bytes(&[&[2], &bytes[1..]].concat()), None);
        }
        let bytes = "S-1-5-32-544".parse::<Sid>().unwrap().to_bytes();
        assert_eq!(bytes, [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0]);
    }

    #[test]
    fn knows_the_accounts_of_a_domain() {
        let sid = |text: &str| text.parse::<Sid>().unwrap();
        assert_eq!(sid("S-1-5-21-1-2-3-1105").rid_in(&sid("S-1-5-21-1-2-3")), Some(1105));
        for other in ["S-1-5-21-1-2-4", "S-1-5-21-1-2", "S-1-5-21-1-2-3-1105"] {
            assert_eq!(sid("S-1-5-21-1-2-3-1105").rid_in(&sid(other)), None, "{other}");
        }
    }

    #[test]
    fn refuses_what_is_no_sid() {
        let sixteen = format!("S-1-5{}", "-1".repeat(16));
        for text in [
            "",
            "S-1",
            "S-1-5",
            "S-2-5-7",
            "S-1-5-",
            "S-1-5-+7",
            "S-1-5-4294967296",
            "S-1-5-x",
            " S-1-5-7",
            &sixteen,
        ] {
            assert!(text.parse::<Sid>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn long_and_short_ones_have_one_order() {
        let mut sids = Vec::new();
        for authority in [1, 5, (1 << 48) - 1] {
            for count in 1..=SUB_AUTHORITIES_MAX {
                for last in [0, 7, 21, u32::MAX] {
                    let mut parts = vec![21; count - 1];
                    parts.push(last);
                    sids.push((authority, parts));
                }
            }
        }
        for left in &sids {
            for right in &sids {
                let (a, b) = (Sid::new(left.0, &left.1).unwrap(), Sid::new(right.0, &right.1).unwrap());
                assert_eq!(a.cmp(&b), left.cmp(right), "{a} {b}");
                assert_eq!(a == b, left == right, "{a} {b}");
                assert_eq!(a.mark() == b.mark(), left == right, "{a} {b}");
            }
        }
    }

    #[test]
    fn takes_little_room() {
        assert_eq!(size_of::<Sid>(), 32);
    }

    #[test]
    fn knows_crowds() {
        for crowd in [
            "S-1-1-0",
            "S-1-5-11",
            "S-1-5-64-10",
            "S-1-5-32-545",
            "S-1-5-21-1-2-3-513",
            "S-1-5-21-1-2-3-515",
            "S-1-18-1",
            "S-1-18-6",
            "S-1-5-21-0-0-0-496",
            "S-1-5-21-0-0-0-497",
        ] {
            assert!(crowd.parse::<Sid>().unwrap().is_crowd(), "{crowd}");
        }
        for other in ["S-1-5-18", "S-1-5-32-544", "S-1-5-21-1-2-3-512", "S-1-5-21-1-2-3-1513"] {
            assert!(!other.parse::<Sid>().unwrap().is_crowd(), "{other}");
        }
    }

    #[test]
    fn knows_the_domain_of_an_account() {
        let domain = |text: &str| text.parse::<Sid>().unwrap().domain().map(|domain| domain.to_string());
        assert_eq!(domain("S-1-5-21-1-2-3-1103").as_deref(), Some("S-1-5-21-1-2-3"));
        for other in
            ["S-1-5-21-1-2-3", "S-1-5-21-1-2-3-4-5", "S-1-5-32-544", "S-1-18-1", "S-1-5-21-0-0-0-497"]
        {
            assert_eq!(domain(other), None, "{other}");
        }
        assert!("S-1-5-21-1-2-3".parse::<Sid>().unwrap().is_domain());
        for other in ["S-1-5-21-1-2-3-4", "S-1-5-21-1-2", "S-1-5-32-1-2-3", "S-1-5-21-0-0-0"] {
            assert!(!other.parse::<Sid>().unwrap().is_domain(), "{other}");
        }
    }

    #[test]
    fn knows_guest_and_anonymous() {
        assert!("S-1-5-21-1-2-3-501".parse::<Sid>().unwrap().is_guest());
        assert!("S-1-5-7".parse::<Sid>().unwrap().is_anonymous());
        assert!(!"S-1-5-21-1-2-3-1501".parse::<Sid>().unwrap().is_guest());
    }
}

//! Security identifiers, [MS-DTYP] 2.4.2: a type that can only hold a valid one.

use std::fmt;
use std::str::FromStr;

/// A security identifier of revision 1, for instance `S-1-5-21-1004336348-1177238915-682003330-512`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: u64,
    sub_authorities: Box<[u32]>,
}

/// Why a text is not a SID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a SID; write it as S-1-5-21-…, as `whoami /user` or `rmsc authz test` shows it")]
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
        Some(Sid { authority, sub_authorities: sub_authorities.into() })
    }

    /// The SID of the account with this relative id in the domain that `self` names.
    #[must_use]
    pub fn with_rid(&self, rid: u32) -> Option<Self> {
        let mut sub_authorities = self.sub_authorities.to_vec();
        sub_authorities.push(rid);
        Sid::new(self.authority, &sub_authorities)
    }

    /// `S-1-5-7`: what an anonymous logon would be.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.authority == 5 && *self.sub_authorities == [7]
    }

    /// A group that whole crowds are in: Everyone, Authenticated Users, Users and Guests, and a domain's
    /// users, guests and computers ([MS-DTYP] 2.4.2.4). No entry should ever name one.
    #[must_use]
    pub fn is_crowd(&self) -> bool {
        match (self.authority, &*self.sub_authorities) {
            (1 | 2, [0]) | (5, [2 | 3 | 4 | 11 | 15 | 113] | [32, 545 | 546 | 554] | [64, _]) => true,
            (5, [21, .., rid]) => matches!(rid, 513..=515),
            _ => false,
        }
    }

    /// The built-in Guest account of a domain: relative id 501.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.authority == 5
            && self.sub_authorities.first() == Some(&21)
            && self.sub_authorities.last() == Some(&501)
    }
}

impl FromStr for Sid {
    type Err = ParseSidError;

    fn from_str(text: &str) -> Result<Self, ParseSidError> {
        parse(text).ok_or_else(|| ParseSidError { text: text.chars().take(TEXT_SHOWN_CHARS_MAX).collect() })
    }
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
        write!(f, "S-1-{}", self.authority)?;
        self.sub_authorities.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// [MS-DTYP] 2.4.2.2: the count of sub-authorities is at most 15.
const SUB_AUTHORITIES_MAX: usize = 15;
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
    fn knows_crowds() {
        for crowd in
            ["S-1-1-0", "S-1-5-11", "S-1-5-64-10", "S-1-5-32-545", "S-1-5-21-1-2-3-513", "S-1-5-21-1-2-3-515"]
        {
            assert!(crowd.parse::<Sid>().unwrap().is_crowd(), "{crowd}");
        }
        for other in ["S-1-5-18", "S-1-5-32-544", "S-1-5-21-1-2-3-512", "S-1-5-21-1-2-3-1513"] {
            assert!(!other.parse::<Sid>().unwrap().is_crowd(), "{other}");
        }
    }

    #[test]
    fn knows_guest_and_anonymous() {
        assert!("S-1-5-21-1-2-3-501".parse::<Sid>().unwrap().is_guest());
        assert!("S-1-5-7".parse::<Sid>().unwrap().is_anonymous());
        assert!(!"S-1-5-21-1-2-3-1501".parse::<Sid>().unwrap().is_guest());
    }
}

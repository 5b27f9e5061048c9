//! Target information: the attribute-value pairs of a CHALLENGE, which the client sends back ([MS-NLMP] 2.2.2.1).

use super::super::{Refused, Settings};
use super::messages::{u16_at, utf16};

/// Pairs of an id and a value, each id once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) struct TargetInfo(Vec<(u16, Vec<u8>)>);

/// The ids, [MS-NLMP] 2.2.2.1.
pub(in crate::identity) struct AvId;

impl AvId {
    pub(in crate::identity) const END: u16 = 0;
    pub(in crate::identity) const COMPUTER: u16 = 1;
    pub(in crate::identity) const DOMAIN: u16 = 2;
    pub(in crate::identity) const DNS_COMPUTER: u16 = 3;
    pub(in crate::identity) const DNS_DOMAIN: u16 = 4;
    pub(in crate::identity) const DNS_TREE: u16 = 5;
    pub(in crate::identity) const FLAGS: u16 = 6;
    pub(in crate::identity) const TIMESTAMP: u16 = 7;
    pub(in crate::identity) const SINGLE_HOST: u16 = 8;
    pub(in crate::identity) const TARGET_NAME: u16 = 9;
    pub(in crate::identity) const CHANNEL_BINDINGS: u16 = 10;
}

/// MsvAvFlags: the client has signed the three messages.
pub(in crate::identity) const FLAG_MIC: u32 = 0x0000_0002;

impl TargetInfo {
    /// What we say of ourselves. The timestamp makes every client of today sign ([MS-NLMP] 3.1.5.1.2).
    pub(in crate::identity) fn of_server(settings: &Settings, filetime: u64) -> Self {
        TargetInfo(vec![
            (AvId::DOMAIN, utf16(settings.domain())),
            (AvId::COMPUTER, utf16(settings.computer())),
            (AvId::DNS_DOMAIN, utf16(settings.dns_domain())),
            (AvId::DNS_COMPUTER, utf16(&settings.dns_computer())),
            (AvId::TIMESTAMP, filetime.to_le_bytes().to_vec()),
        ])
    }

    /// Reads pairs up to the one that ends them. What a client puts after that has no meaning.
    pub(in crate::identity) fn read(mut bytes: &[u8]) -> Result<Self, Refused> {
        let malformed = |what| Refused::Malformed { what };
        let mut pairs: Vec<(u16, Vec<u8>)> = Vec::new();
        loop {
            let (Some(id), Some(length)) = (u16_at(bytes, 0), u16_at(bytes, 2)) else {
                return Err(malformed("target information: it does not end"));
            };
            let end = 4 + usize::from(length);
            let value = bytes.get(4..end).ok_or(malformed("target information: a value is cut short"))?;
            if id == AvId::END {
                return Ok(TargetInfo(pairs));
            }
            // Two of a kind have two readings, and a relay could add one (CVE-2019-1166).
            if pairs.len() == PAIRS_MAX || pairs.iter().any(|(other, _)| *other == id) {
                return Err(malformed("target information: a pair is there twice"));
            }
            pairs.push((id, value.to_vec()));
            bytes = bytes.get(end..).unwrap_or_default();
        }
    }

    /// Reads what a server says of itself, for a client that says it back under its proof. A server may be hostile: what
    /// is not exactly as long as it must be could be read in another way where the proof is passed on. A server's names
    /// and its time are all that is taken over; the client's own pairs follow.
    pub(in crate::identity) fn read_of_server(bytes: &[u8]) -> Result<Self, Refused> {
        let mut said = TargetInfo::read(bytes)?;
        for (id, value) in &said.0 {
            let good = match *id {
                AvId::FLAGS => value.len() == 4,
                AvId::TIMESTAMP => value.len() == 8,
                AvId::CHANNEL_BINDINGS => value.len() == 16,
                AvId::SINGLE_HOST => value.len() == 48, // [MS-NLMP] 2.2.2.2
                _ => value.len() <= NAME_BYTES_MAX,
            };
            if !good {
                return Err(Refused::Malformed { what: "target information: a value of a wrong length" });
            }
        }
        said.0.retain(|(id, _)| {
            let names = AvId::COMPUTER..=AvId::DNS_TREE;
            names.contains(id) || *id == AvId::TIMESTAMP
        });
        Ok(said)
    }

    /// The bytes of the pairs, and of the one that ends them.
    pub(in crate::identity) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, value) in self.0.iter().chain([&(AvId::END, Vec::new())]) {
            out.extend(id.to_le_bytes());
            out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend(value);
        }
        out
    }

    pub(in crate::identity) fn get(&self, id: u16) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, value)| &value[..])
    }

    /// Sets a pair, in place or at the end.
    pub(in crate::identity) fn set(&mut self, id: u16, value: Vec<u8>) {
        self.0.retain(|(other, _)| *other != id);
        self.0.push((id, value));
    }

    /// MsvAvFlags; none sent is none set.
    pub(in crate::identity) fn flags(&self) -> Result<u32, Refused> {
        match self.get(AvId::FLAGS) {
            None => Ok(0),
            Some(value) => value
                .try_into()
                .map(u32::from_le_bytes)
                .map_err(|_| Refused::Malformed { what: "target information: flags of a wrong length" }),
        }
    }

    /// Refuses a response to the challenge of another server: all that we said must be in it, unchanged.
    pub(in crate::identity) fn contained_in(&self, theirs: &TargetInfo) -> Result<(), Refused> {
        for (id, value) in &self.0 {
            if theirs.get(*id) != Some(value) {
                return Err(Refused::TargetInfoNotOurs { id: *id });
            }
        }
        Ok(())
    }
}

/// Eleven ids exist; a client may know some more.
const PAIRS_MAX: usize = 32;
/// DNS names have 255 characters at most.
const NAME_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(u16, &[u8])]) -> TargetInfo {
        TargetInfo(list.iter().map(|(id, value)| (*id, value.to_vec())).collect())
    }

    #[test]
    fn reads_back_what_it_writes_and_nothing_shorter() {
        let info = pairs(&[(2, b"L\0"), (7, &[9; 8])]);
        let bytes = info.encode();
        assert_eq!(TargetInfo::read(&bytes).unwrap(), info);
        assert_eq!(TargetInfo::read(&[&bytes[..], &[0; 4]].concat()).unwrap(), info);
        for cut in 0..bytes.len() {
            assert!(TargetInfo::read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn refuses_a_pair_that_is_there_twice() {
        assert!(TargetInfo::read(&pairs(&[(6, &[2, 0, 0, 0]), (6, &[0; 4])]).encode()).is_err());
    }

    #[test]
    fn finds_its_own_pairs_among_others() {
        let ours = pairs(&[(2, b"L\0"), (7, &[9; 8])]);
        let check = |theirs: &TargetInfo, wanted| assert_eq!(ours.contained_in(theirs).is_ok(), wanted);
        check(&pairs(&[(2, b"L\0"), (7, &[9; 8]), (6, &[2, 0, 0, 0])]), true);
        check(&pairs(&[(7, &[9; 8]), (9, b""), (2, b"L\0")]), true);
        check(&pairs(&[(2, b"M\0"), (7, &[9; 8])]), false);
        check(&pairs(&[(2, b"L\0"), (7, &[8; 8])]), false);
        check(&pairs(&[(2, b"L\0")]), false);
        check(&pairs(&[]), false);
    }
}

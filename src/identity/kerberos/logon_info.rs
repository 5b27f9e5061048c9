//! KERB_VALIDATION_INFO: the account and its groups, in the encoding of Windows' remote calls
//! ([MS-PAC] 2.5, C706 14). A fixed part, then what its pointers name, in the order of the pointers.

use super::pac::{number, utf16};
use crate::principal::Sid;

/// What the domain says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogonInfo {
    pub(super) sid: Sid,
    pub(super) domain: String,
    pub(super) name: String,
    /// The domain's own groups, those of others (extra SIDs), and those of our own domain (resource groups).
    pub(super) groups: Vec<Sid>,
    /// The domain could not prove who it is, and takes it for Guest.
    pub(super) guest: bool,
    /// A service asked for the ticket in the account's name: `S-1-18-2` is there, whether it counts or not.
    pub(super) service_asserted: bool,
}

impl LogonInfo {
    /// `None` if it is not what it should be.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        // [MS-RPCE] 2.2.6: version 1, little-endian, a header of 8 bytes; the object's length; its pointer.
        if number(bytes, 0)? != 0x0008_1001 || number(bytes, 16)? == 0 {
            return None;
        }
        let fixed = bytes.get(20..)?.split_at_checked(FIXED_BYTES)?.0;
        let at = |place: usize| number(fixed, place);
        let mut pointed = Pointed { rest: bytes.get(20 + FIXED_BYTES..)? };
        let flags = at(USER_FLAGS)?;
        let mut names = Vec::new();
        for index in 0..6 {
            names.push(pointed.text(at(EFFECTIVE_NAME + 8 * index + 4)?)?);
        }
        let group_ids = pointed.groups(at(GROUPS)?, at(GROUPS + 4)?)?;
        pointed.text(at(LOGON_SERVER + 4)?)?;
        let domain = pointed.text(at(LOGON_SERVER + 12)?)?;
        let domain_sid = pointed.sid(at(DOMAIN_SID)?)??;
        let extra = pointed.sids(at(EXTRA_SIDS)?, at(EXTRA_SIDS + 4)?)?;
        let resource_domain = pointed.sid(at(RESOURCE_GROUPS)?)?;
        let resource_ids = pointed.groups(at(RESOURCE_GROUPS + 4)?, at(RESOURCE_GROUPS + 8)?)?;
        let primary = at(PRIMARY_GROUP)?;
        let mut groups = Vec::new();
        // It is among the others as a rule, and then counts as it does there.
        if group_ids.iter().all(|(rid, _)| *rid != primary) {
            groups.push(domain_sid.with_rid(primary)?);
        }
        for (rid, _) in group_ids.into_iter().filter(counts) {
            groups.push(domain_sid.with_rid(rid)?);
        }
        let service_asserted = extra.iter().any(|(sid, _)| sid.is_service_asserted());
        // Without their flags the fields are there, and mean nothing.
        if flags & HAS_EXTRA_SIDS != 0 {
            groups.extend(extra.into_iter().filter(counts).map(|(sid, _)| sid));
        }
        if flags & HAS_RESOURCE_GROUPS != 0 {
            for (rid, _) in resource_ids.into_iter().filter(counts) {
                groups.push(resource_domain.as_ref()?.with_rid(rid)?);
            }
        }
        groups.sort_unstable();
        groups.dedup();
        // [MS-PAC] 2.5: with 0 the account would be the first of the extra SIDs, as no domain of ours writes it.
        let sid = domain_sid.with_rid(Some(at(USER)?).filter(|rid| *rid != 0)?)?;
        let name = names.swap_remove(0);
        let guest = flags & LOGON_AS_GUEST != 0;
        Some(LogonInfo { sid, domain, name, groups, guest, service_asserted })
    }
}

/// What the pointers of the fixed part name.
struct Pointed<'a> {
    rest: &'a [u8],
}

impl<'a> Pointed<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        number(self.take(4)?, 0)
    }

    /// A count that comes before this many bytes for each; what is not there cannot be counted.
    fn count(&mut self, each: usize) -> Option<usize> {
        let count = self.number()? as usize;
        (count.checked_mul(each)? <= self.rest.len()).then_some(count)
    }

    /// RPC_UNICODE_STRING: a conformant and varying array, C706 14.3.3.4.
    fn text(&mut self, pointer: u32) -> Option<String> {
        if pointer == 0 {
            return Some(String::new());
        }
        let (room, offset, units) = (self.number()?, self.number()?, self.count(2)?);
        if offset != 0 || units > room as usize {
            return None;
        }
        let text = utf16(self.take(2 * units)?)?;
        // The next one begins at a multiple of four; after the last one there may be nothing.
        let padding = (2 * units % 4).min(self.rest.len());
        self.take(padding)?;
        Some(text)
    }

    /// GROUP_MEMBERSHIPs, [MS-PAC] 2.2.2: the relative ids of groups, and their attributes.
    fn groups(&mut self, announced: u32, pointer: u32) -> Option<Vec<(u32, u32)>> {
        if pointer == 0 {
            return (announced == 0).then(Vec::new);
        }
        let count = self.count(8)?;
        if count != announced as usize {
            return None;
        }
        let mut groups = Vec::new();
        for _ in 0..count {
            groups.push((self.number()?, self.number()?));
        }
        Some(groups)
    }

    /// KERB_SID_AND_ATTRIBUTES, [MS-PAC] 2.2.1. The SIDs follow the whole array.
    fn sids(&mut self, announced: u32, pointer: u32) -> Option<Vec<(Sid, u32)>> {
        if pointer == 0 {
            return (announced == 0).then(Vec::new);
        }
        let count = self.count(8)?;
        if count != announced as usize {
            return None;
        }
        let mut rows = Vec::new();
        for _ in 0..count {
            rows.push((self.number()?, self.number()?));
        }
        let mut sids = Vec::new();
        for (pointer, attributes) in rows {
            sids.extend(self.sid(pointer)?.map(|sid| (sid, attributes)));
        }
        Some(sids)
    }

    /// RPC_SID, [MS-DTYP] 2.4.2.3: its count of parts comes once more in front.
    fn sid(&mut self, pointer: u32) -> Option<Option<Sid>> {
        if pointer == 0 {
            return Some(None);
        }
        let parts = self.count(4)?;
        let bytes = self.take(8 + 4 * parts)?;
        sid(bytes).map(Some)
    }
}

/// A SID as Windows stores it, [MS-DTYP] 2.4.2.2; `None` if there is more or less of it than it says.
pub(super) fn sid(bytes: &[u8]) -> Option<Sid> {
    let (head, parts) = bytes.split_first_chunk::<8>()?;
    let [1, count, a, b, c, d, e, f] = *head else { return None };
    let (parts, rest) = parts.as_chunks::<4>();
    if !rest.is_empty() || parts.len() != usize::from(count) {
        return None;
    }
    let parts: Vec<u32> = parts.iter().map(|part| u32::from_le_bytes(*part)).collect();
    Sid::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), &parts)
}

/// [MS-PAC] 2.2.1: a group that is not enabled, or only there for refusals, lets nobody in.
fn counts<T>((_, attributes): &(T, u32)) -> bool {
    attributes & ENABLED != 0 && attributes & DENY_ONLY == 0
}

const ENABLED: u32 = 0x4;
const DENY_ONLY: u32 = 0x10;

/// The fixed part of KERB_VALIDATION_INFO, and the places in it.
const FIXED_BYTES: usize = 216;
const EFFECTIVE_NAME: usize = 48;
const USER: usize = 100;
const PRIMARY_GROUP: usize = 104;
const GROUPS: usize = 108;
const USER_FLAGS: usize = 116;
const LOGON_SERVER: usize = 136;
const DOMAIN_SID: usize = 152;
const EXTRA_SIDS: usize = 196;
const RESOURCE_GROUPS: usize = 204;
/// Bits of the user flags.
const LOGON_AS_GUEST: u32 = 0x1;
const HAS_EXTRA_SIDS: u32 = 0x20;
const HAS_RESOURCE_GROUPS: u32 = 0x200;

//! The PAC: what the domain says about an account, signed with our own key ([MS-PAC] 2). Without a valid
//! signature nothing of it counts.

use super::authorization::{IF_RELEVANT, authorization, is_known_form};
use super::crypto::{Key, Usage};
use super::logon_info::{LogonInfo, sid};
use crate::principal::Sid;

/// Why there are no groups.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PacError {
    /// The KDC left it out, or is none of a domain.
    #[error("the ticket has no PAC; the account must not have the flag NO_AUTH_DATA_REQUIRED")]
    Missing,
    /// It is not what it should be.
    #[error("the PAC is malformed: {what}")]
    Malformed {
        /// Where.
        what: &'static str,
    },
    /// It was not made by a KDC that shares our key, or somebody changed it.
    #[error("the PAC's server signature does not hold")]
    NotSigned,
    /// It is that of another ticket.
    #[error("the PAC names another client than the ticket")]
    OtherClient,
}

/// The ticket that a PAC came in.
pub(super) struct Ticket<'a> {
    /// The client's name, its parts joined with `/`.
    pub(super) client: &'a str,
    /// When it proved its password, in seconds since 1970.
    pub(super) authenticated: i64,
}

/// Finds the PAC in a ticket's authorization data: AD-IF-RELEVANT around AD-WIN2K-PAC, [MS-KILE] 3.3.5.6.4.
pub(super) fn find(authorization_data: &[u8]) -> Result<&[u8], PacError> {
    let malformed = PacError::Malformed { what: "the authorization data" };
    let mut found = None;
    for (kind, inner) in authorization(authorization_data).ok_or(malformed)? {
        if !is_known_form(kind, inner, 0) {
            return Err(malformed);
        }
        if kind != IF_RELEVANT {
            continue;
        }
        for (kind, pac) in authorization(inner).ok_or(malformed)? {
            if kind == WINDOWS_PAC && found.replace(pac).is_some() {
                return Err(PacError::Malformed { what: "two of them" });
            }
        }
    }
    found.ok_or(PacError::Missing)
}

/// What a PAC says.
pub(super) struct Said {
    pub(super) info: LogonInfo,
    /// PAC_DELEGATION_INFO is there, [MS-PAC] 2.9: a service uses the account's ticket in its name.
    pub(super) delegated: bool,
}

/// Checks the signature, then reads who the account is.
pub(super) fn read(pac: &[u8], key: &Key, ticket: &Ticket<'_>) -> Result<Said, PacError> {
    let buffers = Buffers::read(pac)?;
    buffers.check_signature(pac, key)?;
    let delegated = buffers.0.iter().any(|(kind, ..)| *kind == DELEGATION_INFO);
    Ok(Said { info: buffers.account(pac, ticket)?, delegated })
}

/// For the tests of what is behind the signature.
#[cfg(test)]
pub(super) fn read_unsigned(pac: &[u8], ticket: &Ticket<'_>) -> Result<LogonInfo, PacError> {
    Buffers::read(pac)?.account(pac, ticket)
}

/// The table of contents: type, offset and length of each buffer.
struct Buffers(Vec<(u32, usize, usize)>);

impl Buffers {
    fn read(pac: &[u8]) -> Result<Self, PacError> {
        let malformed = PacError::Malformed { what: "the table of contents" };
        let count = number(pac, 0).filter(|_| number(pac, 4) == Some(0)).ok_or(malformed)?;
        if count > BUFFERS_MAX {
            return Err(malformed);
        }
        let mut buffers = Vec::new();
        let first = 8 + 16 * count as usize;
        for index in 0..count as usize {
            let at = 8 + 16 * index;
            let row = || {
                let (length, offset) = (number(pac, at + 4)? as usize, number(pac, at + 8)? as usize);
                let end = offset.checked_add(length)?;
                // [MS-PAC] 2.3: behind the table, at a multiple of eight. The offset is one of 64 bits.
                let placed = offset >= first && offset % 8 == 0 && number(pac, at + 12)? == 0;
                let inside = placed && end <= pac.len();
                Some((number(pac, at).filter(|_| inside)?, offset, length))
            };
            buffers.push(row().ok_or(malformed)?);
        }
        let mut places: Vec<(usize, usize)> =
            buffers.iter().map(|(_, at, length)| (*at, at + length)).collect();
        places.sort_unstable();
        // What lies in two buffers could be read in two ways.
        let apart = places.iter().zip(places.iter().skip(1)).all(|((_, end), (next, _))| end <= next);
        if apart { Ok(Buffers(buffers)) } else { Err(malformed) }
    }

    /// Where the buffer of a type is; two of a type could be read in two ways.
    fn place(&self, kind: u32, what: &'static str) -> Result<Option<(usize, usize)>, PacError> {
        let mut places = self.0.iter().filter(|(found, ..)| *found == kind);
        let place = places.next().map(|(_, offset, length)| (*offset, *length));
        if places.next().is_some() { Err(PacError::Malformed { what }) } else { Ok(place) }
    }

    fn find<'a>(&self, pac: &'a [u8], kind: u32, what: &'static str) -> Result<Option<&'a [u8]>, PacError> {
        let place = self.place(kind, what)?;
        Ok(place.and_then(|(offset, length)| pac.get(offset..)?.get(..length)))
    }

    fn one<'a>(&self, pac: &'a [u8], kind: u32, what: &'static str) -> Result<&'a [u8], PacError> {
        self.find(pac, kind, what)?.ok_or(PacError::Malformed { what })
    }

    /// Who the account is, if the PAC is that of this ticket.
    fn account(&self, pac: &[u8], ticket: &Ticket<'_>) -> Result<LogonInfo, PacError> {
        check_client(self.one(pac, CLIENT_INFO, "CLIENT_INFO")?, ticket)?;
        let bytes = self.one(pac, LOGON_INFO, "LOGON_INFO")?;
        let info = LogonInfo::read(bytes).ok_or(PacError::Malformed { what: "LOGON_INFO" })?;
        if let Some(bytes) = self.find(pac, UPN_DNS_INFO, "UPN_DNS_INFO")? {
            let said = sid_of_upn_info(bytes).ok_or(PacError::Malformed { what: "UPN_DNS_INFO" })?;
            if said.is_some_and(|said| said != info.sid) {
                return Err(PacError::Malformed { what: "two SIDs for one account" });
            }
        }
        Ok(info)
    }

    /// [MS-PAC] 2.8.1: the server's signature is over the whole PAC, with both signatures set to zero.
    fn check_signature(&self, pac: &[u8], key: &Key) -> Result<(), PacError> {
        let ours = self.find(pac, SERVER_SIGNATURE, "two signatures")?.ok_or(PacError::NotSigned)?;
        if number(ours, 0) != Some(key.etype().checksum_type()) {
            return Err(PacError::NotSigned);
        }
        let signature = ours.get(4..4 + key.etype().mac_bytes()).ok_or(PacError::NotSigned)?;
        let mut zeroed = pac.to_vec();
        for kind in [SERVER_SIGNATURE, KDC_SIGNATURE] {
            let (offset, length) = self.place(kind, "two signatures")?.ok_or(PacError::NotSigned)?;
            let known = number(pac, offset).and_then(signature_bytes);
            let bytes = known.filter(|bytes| 4 + bytes <= length).ok_or(PacError::NotSigned)?;
            zeroed.get_mut(offset + 4..offset + 4 + bytes).ok_or(PacError::NotSigned)?.fill(0);
        }
        if key.verifies(Usage::PacSignature, &zeroed, signature) { Ok(()) } else { Err(PacError::NotSigned) }
    }
}

/// How long a signature of a type is; that of the KDC's own key is of any that Windows has.
fn signature_bytes(kind: u32) -> Option<usize> {
    match kind {
        0xffff_ff76 | 19 => Some(16), // HMAC-MD5 of RC4, and SHA-256
        15 | 16 => Some(12),
        20 => Some(24),
        _ => None,
    }
}

/// PAC_CLIENT_INFO, [MS-PAC] 2.7: the same name and the same login as in the ticket.
fn check_client(bytes: &[u8], ticket: &Ticket<'_>) -> Result<(), PacError> {
    let read = || {
        let (time, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let name = utf16(rest.get(..usize::from(u16::from_le_bytes(*length)))?)?;
        Some((u64::from_le_bytes(*time), name))
    };
    let (time, name) = read().ok_or(PacError::Malformed { what: "CLIENT_INFO" })?;
    let seconds = i64::try_from(time / TICKS_IN_A_SECOND).unwrap_or(i64::MAX) - SECONDS_1601_TO_1970;
    if seconds == ticket.authenticated && name == ticket.client { Ok(()) } else { Err(PacError::OtherClient) }
}

/// UPN_DNS_INFO, [MS-PAC] 2.10: the SID, if it says one.
fn sid_of_upn_info(bytes: &[u8]) -> Option<Option<Sid>> {
    if number(bytes, 8)? & HAS_SID == 0 {
        return Some(None);
    }
    let half = |at: usize| number(bytes, at).map(|pair| (pair & 0xffff) as usize);
    let (length, offset) = (half(16)?, number(bytes, 16)? >> 16);
    sid(bytes.get(offset as usize..)?.get(..length)?).map(Some)
}

/// A text; `None` if it is damaged.
pub(super) fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    rest.is_empty().then(|| char::decode_utf16(units).collect::<Result<_, _>>().ok())?
}

/// The number of 32 bits at a place.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

const WINDOWS_PAC: i64 = 128;
/// [MS-PAC] 2.4 knows about fifteen types.
const BUFFERS_MAX: u32 = 64;
const LOGON_INFO: u32 = 1;
const SERVER_SIGNATURE: u32 = 6;
const KDC_SIGNATURE: u32 = 7;
const CLIENT_INFO: u32 = 10;
const DELEGATION_INFO: u32 = 11;
const UPN_DNS_INFO: u32 = 12;
/// A flag of UPN_DNS_INFO.
const HAS_SID: u32 = 2;
/// [MS-DTYP] 2.3.3.
const TICKS_IN_A_SECOND: u64 = 10_000_000;
const SECONDS_1601_TO_1970: i64 = 11_644_473_600;

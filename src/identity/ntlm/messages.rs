//! The three NTLM messages as bytes ([MS-NLMP] 2.2.1): every length and offset is the client's word.

use super::super::Refused;

/// What every message starts with ([MS-NLMP] 2.2.1).
pub(in crate::identity) const SIGNATURE: &[u8] = b"NTLMSSP\0";

pub(in crate::identity) const NEGOTIATE: u32 = 1;
pub(in crate::identity) const CHALLENGE: u32 = 2;
pub(in crate::identity) const AUTHENTICATE: u32 = 3;

/// NEGOTIATE flags, [MS-NLMP] 2.2.2.5.
#[derive(Clone, Copy)]
pub(in crate::identity) struct Flags(pub(in crate::identity) u32);

impl Flags {
    pub(in crate::identity) const UNICODE: u32 = 0x0000_0001;
    pub(in crate::identity) const OEM: u32 = 0x0000_0002;
    pub(in crate::identity) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(in crate::identity) const SIGN: u32 = 0x0000_0010;
    pub(in crate::identity) const SEAL: u32 = 0x0000_0020;
    pub(in crate::identity) const DATAGRAM: u32 = 0x0000_0040;
    pub(in crate::identity) const NTLM: u32 = 0x0000_0200;
    pub(in crate::identity) const ANONYMOUS: u32 = 0x0000_0800;
    pub(in crate::identity) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(in crate::identity) const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
    pub(in crate::identity) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(in crate::identity) const TARGET_INFO: u32 = 0x0080_0000;
    pub(in crate::identity) const VERSION: u32 = 0x0200_0000;
    pub(in crate::identity) const KEY_128: u32 = 0x2000_0000;
    pub(in crate::identity) const KEY_EXCHANGE: u32 = 0x4000_0000;
    pub(in crate::identity) const KEY_56: u32 = 0x8000_0000;

    pub(in crate::identity) fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// How a message writes its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Encoding {
    /// UTF-16, little endian.
    Utf16,
    /// The client's own code page. It does not say which, so ASCII alone can be read.
    Oem,
}

/// AUTHENTICATE, [MS-NLMP] 2.2.1.3.
pub(in crate::identity) struct Authenticate<'a> {
    pub(in crate::identity) flags: Flags,
    pub(in crate::identity) lm_response: &'a [u8],
    pub(in crate::identity) nt_response: &'a [u8],
    pub(in crate::identity) domain: String,
    pub(in crate::identity) user: String,
    pub(in crate::identity) workstation: String,
    pub(in crate::identity) encrypted_key: &'a [u8],
    message: &'a [u8],
    /// Where the first of the fields begins.
    payload_start: usize,
}

impl<'a> Authenticate<'a> {
    /// Reads the message; every field must be inside it, and nothing may follow the last.
    pub(in crate::identity) fn read(message: &'a [u8]) -> Result<Self, Refused> {
        let malformed = Refused::Malformed { what: "AUTHENTICATE: a field outside the message" };
        let mut extent = Extent { start: message.len(), end: AUTHENTICATE_FIXED_BYTES };
        let mut field = |at| extent.field(message, at, AUTHENTICATE_FIXED_BYTES);
        let (Some(lm_response), Some(nt_response), Some(domain), Some(user), Some(workstation), Some(key)) =
            (field(12), field(20), field(28), field(36), field(44), field(52))
        else {
            return Err(malformed);
        };
        let flags = Flags(u32_at(message, 60).ok_or(malformed)?);
        if extent.end != message.len() {
            return Err(Refused::Malformed { what: "AUTHENTICATE: something follows the last field" });
        }
        let encoding = if flags.has(Flags::UNICODE) { Encoding::Utf16 } else { Encoding::Oem };
        Ok(Authenticate {
            flags,
            lm_response,
            nt_response,
            domain: name("domain", domain, encoding)?,
            user: name("user", user, encoding)?,
            workstation: name("workstation", workstation, encoding)?,
            encrypted_key: key,
            message,
            payload_start: extent.start,
        })
    }

    /// The MIC. Its place is ours to read only when no field lies there.
    pub(in crate::identity) fn mic(&self) -> Result<[u8; 16], Refused> {
        let mic = self.message.get(MIC_START..MIC_END).and_then(|mic| mic.try_into().ok());
        match mic {
            Some(mic) if self.payload_start >= MIC_END => Ok(mic),
            _ => Err(Refused::MicMissing),
        }
    }
}

/// The message around its MIC: what comes before, and what comes after.
pub(in crate::identity) fn around_mic(message: &[u8]) -> Option<(&[u8], &[u8])> {
    Some((message.get(..MIC_START)?, message.get(MIC_END..)?))
}

/// The message type of anything that starts with the signature.
pub(in crate::identity) fn kind(message: &[u8]) -> Option<u32> {
    message.strip_prefix(SIGNATURE).and_then(|rest| u32_at(rest, 0))
}

/// NEGOTIATE, [MS-NLMP] 2.2.1.1: its flags. The names in it are not protected and not used.
pub(in crate::identity) fn read_negotiate(message: &[u8]) -> Result<Flags, Refused> {
    let malformed = |what| Refused::Malformed { what };
    let flags = Flags(u32_at(message, 12).ok_or(malformed("NEGOTIATE: cut short"))?);
    if message.len() == NEGOTIATE_BARE_BYTES {
        return Ok(flags); // the oldest clients stop here
    }
    // curl sends no version; others send the place of it, filled with zeros.
    let version = message.get(NEGOTIATE_FIXED_BYTES..NEGOTIATE_VERSION_END);
    let end = match version {
        Some(bytes) if flags.has(Flags::VERSION) || bytes.iter().all(|byte| *byte == 0) => {
            NEGOTIATE_VERSION_END
        }
        _ if flags.has(Flags::VERSION) => return Err(malformed("NEGOTIATE: no room for the version")),
        _ => NEGOTIATE_FIXED_BYTES,
    };
    let mut extent = Extent { start: message.len(), end };
    for at in [16, 24] {
        extent
            .field(message, at, NEGOTIATE_FIXED_BYTES)
            .ok_or(malformed("NEGOTIATE: a field outside the message"))?;
    }
    if extent.end != message.len() {
        return Err(malformed("NEGOTIATE: something follows the last field"));
    }
    Ok(flags)
}

/// CHALLENGE, [MS-NLMP] 2.2.1.2.
pub(in crate::identity) fn write_challenge(
    flags: Flags,
    server_challenge: &[u8; 8],
    target_name: &[u8],
    target_info: &[u8],
) -> Vec<u8> {
    let mut payload = Payload::after(CHALLENGE_FIXED_BYTES);
    let target_name = payload.field(target_name);
    let target_info = payload.field(target_info);
    [
        SIGNATURE,
        &CHALLENGE.to_le_bytes(),
        &target_name,
        &flags.0.to_le_bytes(),
        server_challenge,
        &[0; 8],
        &target_info,
        &VERSION_BYTES,
        &payload.bytes,
    ]
    .concat()
}

/// The fields at the end of a message that is being written.
pub(in crate::identity) struct Payload {
    start: usize,
    pub(in crate::identity) bytes: Vec<u8>,
}

impl Payload {
    pub(in crate::identity) fn after(start: usize) -> Self {
        Payload { start, bytes: Vec::new() }
    }

    /// Adds a field, and gives the length, length and offset that the fixed part says of it.
    pub(in crate::identity) fn field(&mut self, contents: &[u8]) -> [u8; 8] {
        let offset = u32::try_from(self.start + self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let length = u16::try_from(contents.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.bytes.extend_from_slice(contents);
        let ([l0, l1], [o0, o1, o2, o3]) = (length, offset);
        [l0, l1, l0, l1, o0, o1, o2, o3]
    }
}

/// The part of a message that its fields cover.
struct Extent {
    start: usize,
    end: usize,
}

impl Extent {
    /// The field that the eight bytes at `at` name; not before `floor`, where the fixed part is.
    fn field<'a>(&mut self, message: &'a [u8], at: usize, floor: usize) -> Option<&'a [u8]> {
        let length = usize::from(u16_at(message, at)?);
        let offset = usize::try_from(u32_at(message, at.checked_add(4)?)?).ok()?;
        if length == 0 {
            return Some(&[]); // [MS-NLMP] 2.2.1.3: the offset of an empty field means nothing
        }
        let end = offset.checked_add(length)?;
        let contents = message.get(offset..end)?;
        self.start = self.start.min(offset);
        self.end = self.end.max(end);
        (offset >= floor).then_some(contents)
    }
}

/// The field of a CHALLENGE at `at`, for the client.
pub(in crate::identity) fn challenge_field(message: &[u8], at: usize) -> Option<&[u8]> {
    Extent { start: 0, end: 0 }.field(message, at, CHALLENGE_FIXED_BYTES - VERSION_BYTES.len())
}

/// A name out of a message: whole characters, and none that could forge a line of a log.
pub(in crate::identity) fn name(
    what: &'static str,
    bytes: &[u8],
    encoding: Encoding,
) -> Result<String, Refused> {
    let text = match encoding {
        Encoding::Utf16 => from_utf16(bytes),
        Encoding::Oem if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
        Encoding::Oem => None,
    };
    match text {
        Some(text) if text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(forbidden) => Ok(text),
        _ => Err(Refused::BadName { what }),
    }
}

/// Control characters, line separators, and what turns the direction of text around.
fn forbidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn from_utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))).collect::<Result<_, _>>().ok()
}

/// UTF-16, little endian.
pub(in crate::identity) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(in crate::identity) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(in crate::identity) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// [MS-NLMP] 2.2.2.10: any version will do; revision 15 is the only one there is.
pub(in crate::identity) const VERSION_BYTES: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];
/// A NEGOTIATE that ends after its flags.
const NEGOTIATE_BARE_BYTES: usize = 16;
/// A NEGOTIATE before its version, and where the version ends.
const NEGOTIATE_FIXED_BYTES: usize = 32;
const NEGOTIATE_VERSION_END: usize = 40;
/// A CHALLENGE before its fields.
const CHALLENGE_FIXED_BYTES: usize = 56;
/// An AUTHENTICATE before its version, which old clients leave out, and before its MIC.
const AUTHENTICATE_FIXED_BYTES: usize = 64;
const MIC_START: usize = 72;
/// Where the fields of an AUTHENTICATE with a MIC begin.
pub(in crate::identity) const MIC_END: usize = 88;
/// [MS-ADA3] 2.222 allows 256 for an account; a target name holds a service and a host (253).
const NAME_CHARS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_are_not_text() {
        let check = |bytes: &[u8], encoding| assert!(name("user", bytes, encoding).is_err(), "{bytes:x?}");
        check(&[0x61], Encoding::Utf16); // half a unit
        check(&[0x00, 0xd8, 0x61, 0x00], Encoding::Utf16); // a surrogate alone
        check(&utf16("a\nb"), Encoding::Utf16);
        check(&utf16("a\0"), Encoding::Utf16);
        check(&utf16("a\u{202e}b"), Encoding::Utf16);
        check(&utf16(&"a".repeat(NAME_CHARS_MAX + 1)), Encoding::Utf16);
        check(b"a\xe4", Encoding::Oem);
        check(b"a\x1b[2J", Encoding::Oem);
        assert_eq!(name("user", &utf16("Zoë$"), Encoding::Utf16).unwrap(), "Zoë$");
        assert_eq!(name("user", b"alice", Encoding::Oem).unwrap(), "alice");
    }

    #[test]
    fn reads_the_negotiates_of_old_and_new_clients() {
        let start = [SIGNATURE, &[1, 0, 0, 0, 0x02, 0x82, 0x08, 0x00]].concat();
        let check = |tail: &[u8], wanted: bool| {
            assert_eq!(read_negotiate(&[&start, tail].concat()).is_ok(), wanted, "{tail:x?}");
        };
        check(&[], true);
        check(&[0; 16], true); // curl
        check(&[0; 24], true); // the place of a version
        check(&[0; 15], false);
        check(&[0; 17], false);
        check(&[0; 25], false);
        check(&[1, 0, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'L'], true);
        check(&[1, 0, 1, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'L'], false);
        check(&[1, 0, 1, 0, 31, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false);
        check(&[255, 255, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0], false);
    }

    #[test]
    fn refuses_fields_inside_the_fixed_part() {
        let mut message = [SIGNATURE, &[3, 0, 0, 0], &[0; 76]].concat();
        message.extend(b"ab");
        let mut with_user_at = |offset: u32| {
            message[36..44].copy_from_slice(&[2, 0, 2, 0, 0, 0, 0, 0]);
            message[40..44].copy_from_slice(&offset.to_le_bytes());
            Authenticate::read(&message).is_ok()
        };
        assert!(with_user_at(88));
        for offset in [0, 62, 63, 87, 89, u32::MAX, u32::MAX - 1] {
            assert!(!with_user_at(offset), "{offset}");
        }
    }
}

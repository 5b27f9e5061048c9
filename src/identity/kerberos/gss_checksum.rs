//! What GSS puts in the place of a proof's checksum, [RFC 4121] 4.1.1: no sum, but the channel's binding and flags.

use super::messages::Checksum;

/// What [RFC 4121] 4.1.1 puts into it, up to the delegated credentials, which nobody looks at.
pub(super) struct GssChecksum<'a> {
    pub(super) bindings: &'a [u8; 16],
}

impl<'a> Checksum<'a> {
    /// [RFC 4121] 4.1.1; `None` if it is another one, or cut off.
    pub(super) fn of_gss(&self) -> Option<GssChecksum<'a>> {
        let rest = self.bytes.strip_prefix(&16u32.to_le_bytes()).filter(|_| self.kind == GSS_CHECKSUM)?;
        let (bindings, rest) = rest.split_first_chunk()?;
        // The flags: all that they ask for is either given in any case, or not given to anybody.
        let (flags, mut rest) = rest.split_first_chunk()?;
        let flags = u32::from_le_bytes(*flags);
        // A handshake of three legs, which HTTP has not.
        if flags & DCE_STYLE != 0 {
            return None;
        }
        if flags & DELEGATED != 0 {
            rest = after_credentials(rest)?;
        }
        while !rest.is_empty() {
            rest = after_extension(rest)?;
        }
        Some(GssChecksum { bindings })
    }
}

/// What follows delegated credentials: their number, their length, and they themselves.
fn after_credentials(bytes: &[u8]) -> Option<&[u8]> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(usize::from(u16::from_le_bytes(*length))..).filter(|_| u16::from_le_bytes(*number) == 1)
}

/// What follows an extension: its type, its length, and its value.
fn after_extension(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)
}

/// [RFC 4121] 4.1.1.
pub(in super::super) const GSS_CHECKSUM: i64 = 0x8003;
/// GSS_C_DELEG_FLAG and GSS_C_DCE_STYLE, [RFC 4121] 4.1.1.1 and [RFC 4757] 7.1.
const DELEGATED: u32 = 1;
const DCE_STYLE: u32 = 0x1000;

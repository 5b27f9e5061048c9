//! Whether bytes are UTF-8 without NUL: some services replace what is not, others end a text there.

use super::Malformed;
use memchr::memchr;

/// What is left of a character that is cut between two pieces.
#[derive(Debug, Default)]
pub(super) struct Text {
    cut: [u8; CHARACTER_BYTES_MAX],
    cut_bytes: usize,
}

impl Text {
    /// Takes the next bytes, which begin at this offset.
    pub(super) fn read(&mut self, bytes: &[u8], offset: usize) -> Result<(), Malformed> {
        if let Some(at) = memchr(0, bytes) {
            return Err(Malformed::Character { offset: offset + at });
        }
        let mut rest = bytes;
        while self.cut_bytes > 0 {
            let Some((byte, behind)) = rest.split_first() else { return Ok(()) };
            self.keep(&[*byte], offset)?;
            rest = behind;
            match std::str::from_utf8(self.kept()) {
                Ok(_) => self.cut_bytes = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Malformed::NotUtf8 { offset }),
            }
        }
        let Err(error) = std::str::from_utf8(rest) else { return Ok(()) };
        let at = offset + (bytes.len() - rest.len()) + error.valid_up_to();
        match error.error_len() {
            None => self.keep(rest.get(error.valid_up_to()..).unwrap_or_default(), at),
            Some(_) => Err(Malformed::NotUtf8 { offset: at }),
        }
    }

    /// Says that there are no more bytes.
    pub(super) fn finish(&self, offset: usize) -> Result<(), Malformed> {
        if self.cut_bytes == 0 { Ok(()) } else { Err(Malformed::NotUtf8 { offset }) }
    }

    fn kept(&self) -> &[u8] {
        self.cut.get(..self.cut_bytes).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8], offset: usize) -> Result<(), Malformed> {
        let room = self.cut.get_mut(self.cut_bytes..self.cut_bytes + bytes.len());
        room.ok_or(Malformed::NotUtf8 { offset })?.copy_from_slice(bytes);
        self.cut_bytes += bytes.len();
        Ok(())
    }
}

/// The longest character of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8], piece: usize) -> Result<(), Malformed> {
        let (mut text, mut offset) = (Text::default(), 0);
        for piece in bytes.chunks(piece) {
            text.read(piece, offset)?;
            offset += piece.len();
        }
        text.finish(offset)
    }

    #[test]
    fn takes_what_is_utf_8_however_it_is_cut_and_nothing_else() {
        let long = "\u{20ac}abc\u{10348}\u{e9}".repeat(9);
        let cases: [(&[u8], bool); 9] = [
            (b"", true),
            (long.as_bytes(), true),
            (b"a\0b", false),
            (b"abc\xff", false),
            (b"\xe2\x82", false),
            (b"\xe2\x82a", false),
            (b"\xed\xa0\x80", false),
            (b"\xf8\x88\x80\x80\x80", false),
            (b"\xc0\x80", false),
        ];
        for (bytes, is_text) in cases {
            assert_eq!(std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')), is_text);
            for piece in 1..8 {
                assert_eq!(verdict(bytes, piece).is_ok(), is_text, "{bytes:?} by {piece}");
            }
        }
    }
}

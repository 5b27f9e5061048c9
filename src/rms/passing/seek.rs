//! Finds the ends of what markup is made of, where many of them are near.

use memchr::memchr;

/// Where the `>` is that ends the tag that these bytes begin with, behind the first of its name, and whether its element
/// has no content; `None` if it is not among them.
pub(super) fn tag_end(tag: &[u8]) -> Option<(usize, bool)> {
    let mut before = 0;
    let mut bytes = tag.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'>' => return Some((tag.len() - bytes.len() - 1, before == b'/')),
            b'"' | b'\'' => {
                let value = bytes.as_slice();
                bytes = value.get(near(*byte, value)? + 1..).unwrap_or_default().iter();
            }
            _ => {}
        }
        before = *byte;
    }
    None
}

/// Where the `>` is that ends a comment or a section, behind two of these; `before` goes before the bytes.
pub(super) fn end_of(marks: [u8; 2], before: [u8; 2], bytes: &[u8]) -> Option<usize> {
    let at = |place: usize| match place.checked_sub(2) {
        Some(place) => bytes.get(place),
        None => before.get(place),
    };
    let mut from = 0;
    loop {
        let end = from + near(b'>', bytes.get(from..)?)?;
        if at(end) == marks.first() && at(end + 1) == marks.last() {
            return Some(end);
        }
        from = end + 1;
    }
}

/// How many bytes of a comment there are behind its `<!`; none if it is not one, or not at its end.
pub(super) fn comment_bytes(bytes: &[u8]) -> usize {
    let content = bytes.strip_prefix(b"--").and_then(|content| end_of(*b"--", [0; 2], content));
    content.map_or(0, |end| b"--".len() + end + 1)
}

/// Where the first of these bytes is, which is mostly near.
pub(super) fn near(wanted: u8, bytes: &[u8]) -> Option<usize> {
    let (first, rest) = bytes.split_at_checked(NEAR_BYTES).unwrap_or((bytes, &[]));
    match first.iter().position(|byte| *byte == wanted) {
        Some(at) => Some(at),
        None => memchr(wanted, rest).map(|at| at + first.len()),
    }
}

/// Whether a name is over with this byte.
pub(super) fn is_end_of_name(byte: u8) -> bool {
    matches!(byte, b'>' | b'/' | b':' | b'?' | b' ' | b'\t' | b'\r' | b'\n')
}

/// A search that goes through many bytes at once costs more than these, one by one.
const NEAR_BYTES: usize = 8;

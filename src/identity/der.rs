//! Reads and writes the little of DER that SPNEGO and certificates need ([X.690] 8.1 and 10.1).

/// Walks the elements of a constructed value, front to back.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element: its tag, and its contents. `None` when it is not DER, or there is none.
    pub(super) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, contents, rest) = split(self.rest)?;
        self.rest = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, contents) = self.element()?;
        (found == tag).then_some(contents)
    }

    /// The contents of the next element if it has this tag; an element of another tag stays.
    pub(super) fn take_if(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.rest.first() != Some(&tag) {
            return Some(None);
        }
        self.take(tag).map(Some)
    }
}

/// The contents of the one element that the bytes are; `None` if anything follows it.
pub(super) fn only(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (found, contents, rest) = split(bytes)?;
    (found == tag && rest.is_empty()).then_some(contents)
}

/// Writes an element whose contents are the parts, one after the other.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut out = vec![tag];
    let digits = contents.len().to_be_bytes();
    let significant = digits.iter().skip_while(|digit| **digit == 0);
    if contents.len() < LONG_LENGTH {
        out.extend(significant.clone());
        if contents.is_empty() {
            out.push(0);
        }
    } else {
        // At most eight digits, so the count fits in the byte.
        out.push(0x80 | significant.clone().count() as u8);
        out.extend(significant);
    }
    out.extend(contents);
    out
}

fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    if tag & TAG_NUMBER == TAG_NUMBER {
        return None; // a tag of several bytes: nothing we read has one
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if usize::from(first) < LONG_LENGTH {
        (usize::from(first), rest)
    } else {
        long_length(usize::from(first & 0x7f), rest)?
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

fn long_length(digits: usize, rest: &[u8]) -> Option<(usize, &[u8])> {
    if digits == 0 || digits > LENGTH_DIGITS_MAX {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(digits)?;
    let length = digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit));
    // [X.690] 10.1: the shortest form, or the same value would have two readings.
    let shortest = digits.first() != Some(&0) && length >= LONG_LENGTH;
    shortest.then_some((length, rest))
}

/// From this many bytes on, a length is written as a count of digits and the digits.
const LONG_LENGTH: usize = 0x80;
/// Three digits reach 16 MiB, far past any token.
const LENGTH_DIGITS_MAX: usize = 3;
/// The low bits of a tag; all set, the number is in the bytes that follow.
const TAG_NUMBER: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for length in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536, 100_000] {
            let contents = vec![7; length];
            let written = element(0x30, &[&contents]);
            assert_eq!(only(0x30, &written), Some(&contents[..]), "{length}");
            for cut in [0, 1, written.len() / 2, written.len() - 1] {
                assert_eq!(only(0x30, &written[..cut]), None, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn refuses_a_second_reading() {
        for bytes in [
            &[0x30, 0x81, 0x01, 0x00][..],         // one byte in the long form
            &[0x30, 0x82, 0x00, 0x80],             // a leading zero
            &[0x30, 0x80, 0x00, 0x00],             // indefinite length: BER
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], // more digits than any token needs
            &[0x3f, 0x21, 0x00],                   // a tag of several bytes
            &[0x30, 0x00, 0x00],                   // something follows
            &[0x31, 0x00],                         // another tag
        ] {
            assert_eq!(only(0x30, bytes), None, "{bytes:x?}");
        }
    }
}

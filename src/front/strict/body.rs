//! Where a body ends: counted, not looked at. Of a chunked one the lines between the chunks are read.

use super::Kind;
use super::head::header;

/// A body on its way.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks.
    Chunks(Chunks),
}

/// Where in its chunks a body is.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Of the extensions or of the trailer, or digits of a size.
    bytes: usize,
    size: u64,
    /// A line of the trailer.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerEnd,
    Over,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Framing::Chunks(Chunks { at: At::Size, bytes: 0, size: 0, line: Vec::new() })
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunks(chunks) => chunks.at == At::Over,
        }
    }

    /// How many of these bytes belong to the body.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Kind> {
        match self {
            Framing::Length(left) => Ok(count(left, bytes)),
            Framing::Chunks(chunks) => chunks.read(bytes),
        }
    }
}

impl Chunks {
    fn read(&mut self, bytes: &[u8]) -> Result<usize, Kind> {
        let mut read = 0;
        while self.at != At::Over {
            let rest = bytes.get(read..).unwrap_or_default();
            let Some(byte) = rest.first() else { break };
            if self.at == At::Data {
                read += count(&mut self.size, rest);
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.take(*byte)?;
            read += 1;
        }
        Ok(read)
    }

    /// One byte between the data.
    fn take(&mut self, byte: u8) -> Result<(), Kind> {
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                self.bytes += 1;
                if self.bytes > SIZE_DIGITS_MAX {
                    return Err(Kind::ChunkMalformed);
                }
                self.size = self.size * 16 + u64::from(char::from(byte).to_digit(16).unwrap_or_default());
                At::Size
            }
            (At::Size, b'\r') if self.bytes > 0 => At::SizeEnd,
            (At::Size, b';') if self.bytes > 0 => {
                self.bytes = 0;
                At::Extension
            }
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\t' | b' '..=b'~') => {
                self.bytes += 1;
                if self.bytes > EXTENSION_BYTES_MAX {
                    return Err(Kind::ChunkMalformed);
                }
                At::Extension
            }
            (At::SizeEnd, b'\n') => {
                self.bytes = 0;
                if self.size == 0 { At::Trailer } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.size = 0;
                At::Size
            }
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::Trailer, b'\n') => return Err(Kind::BareLineEnd),
            (At::Trailer, _) => {
                self.bytes += 1;
                if self.bytes > TRAILER_BYTES_MAX {
                    return Err(Kind::TrailerMalformed);
                }
                self.line.push(byte);
                At::Trailer
            }
            (At::TrailerEnd, b'\n') => self.trailer()?,
            (At::TrailerEnd, _) => return Err(Kind::BareLineEnd),
            _ => return Err(Kind::ChunkMalformed),
        };
        Ok(())
    }

    /// A line of the trailer is whole; the empty one is its end.
    fn trailer(&mut self) -> Result<At, Kind> {
        if self.line.is_empty() {
            return Ok(At::Over);
        }
        let line = std::mem::take(&mut self.line);
        let (name, _) = header(&line).map_err(|_| Kind::TrailerMalformed)?;
        if NEVER_IN_TRAILER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes())) {
            return Err(Kind::TrailerMalformed);
        }
        Ok(At::Trailer)
    }
}

/// How many of these are of the `left` ones.
fn count(left: &mut u64, bytes: &[u8]) -> usize {
    let read = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= read as u64;
    read
}

/// What a head must have said (RFC 9110 6.5.1).
const NEVER_IN_TRAILER: [&str; 5] =
    ["transfer-encoding", "content-length", "host", "authorization", "connection"];
/// A body has 16 MiB at the most, so seven are enough.
const SIZE_DIGITS_MAX: usize = 8;
/// Nobody uses them.
const EXTENSION_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 4 << 10;

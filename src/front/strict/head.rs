//! A request's head, line by line as it comes.

use super::Kind;
use super::body::Framing;
use memchr::memchr;
use std::ops::Range;

/// The head that is being read. Places in it are counted from its first byte.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Up to here there is nothing new.
    searched: usize,
    /// Where the line begins that is not whole.
    line: usize,
    version: Option<Version>,
    /// Of an absolute target.
    authority: Option<Range<usize>>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    is_chunked: bool,
    has_authorization: bool,
    headers: usize,
    /// Of all headers but `Authorization`.
    header_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1_0,
    V1_1,
}

/// How far a head is.
#[derive(Debug)]
pub(super) enum Read {
    /// It is not whole.
    More,
    /// It is, and so long; what follows it, if anything does.
    Whole {
        /// Its length.
        bytes: usize,
        /// How its body is framed.
        framing: Option<Framing>,
    },
}

impl Head {
    /// Reads on. `bytes` begin with the head's first one, each time.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<Read, Kind> {
        while let Some(found) = memchr(b'\n', part(bytes, self.searched..bytes.len())) {
            let end = self.searched + found;
            let Some(line) = part(bytes, self.line..end).strip_suffix(b"\r") else {
                return Err(Kind::BareLineEnd);
            };
            let line = self.line..self.line + line.len();
            self.searched = end + 1;
            self.line = end + 1;
            if self.version.is_none() {
                self.request_line(bytes, line)?;
            } else if line.is_empty() {
                return Ok(Read::Whole { bytes: end + 1, framing: self.end(bytes)? });
            } else {
                self.header(bytes, &line)?;
                mask(bytes.get_mut(line).unwrap_or_default());
            }
        }
        self.begun(bytes)?;
        self.searched = bytes.len();
        Ok(Read::More)
    }

    /// What can be said of a line without its end: it must not be waited for what is refused in any case.
    fn begun(&self, bytes: &[u8]) -> Result<(), Kind> {
        let line = part(bytes, self.line..bytes.len());
        let new = part(bytes, self.searched.max(self.line)..bytes.len());
        let ended_in_cr = self.searched > self.line && part(bytes, 0..self.searched).ends_with(b"\r");
        if ended_in_cr && !new.is_empty() {
            return Err(Kind::BareLineEnd);
        }
        let new = new.strip_suffix(b"\r").unwrap_or(new);
        check_text(new)?;
        if self.version.is_none() {
            return if line.len() > REQUEST_LINE_BYTES_MAX { Err(Kind::RequestLineTooLong) } else { Ok(()) };
        }
        self.check_length(line)
    }

    fn check_length(&self, line: &[u8]) -> Result<(), Kind> {
        let is_authorization = is_named(line, b"authorization:");
        let bytes_max = if is_authorization { AUTHORIZATION_BYTES_MAX } else { HEADER_BYTES_MAX };
        let others = self.header_bytes + if is_authorization { 0 } else { line.len() };
        if line.len() > bytes_max || others > HEADERS_BYTES_MAX { Err(Kind::HeaderTooLong) } else { Ok(()) }
    }

    fn request_line(&mut self, bytes: &[u8], line: Range<usize>) -> Result<(), Kind> {
        let text = part(bytes, line.clone());
        if text.len() > REQUEST_LINE_BYTES_MAX {
            return Err(Kind::RequestLineTooLong);
        }
        check_text(text)?;
        let mut words = text.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Kind::RequestLine);
        };
        self.version = Some(match version {
            b"HTTP/1.1" => Version::V1_1,
            b"HTTP/1.0" => Version::V1_0,
            _ => return Err(Kind::RequestLine),
        });
        let is_method =
            (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.iter().all(|byte| is_token(*byte));
        let is_target = target.iter().all(|byte| is_in_target(*byte));
        if !is_method || !is_target || method == b"CONNECT" {
            return Err(Kind::RequestLine);
        }
        if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
            return Ok(());
        }
        let scheme = ["http://", "https://"].iter().find(|scheme| is_named(target, scheme.as_bytes()));
        let scheme = scheme.ok_or(Kind::RequestLine)?.len();
        let behind = target.get(scheme..).unwrap_or_default();
        let authority = behind.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(behind.len());
        let start = line.start + method.len() + 1 + scheme;
        self.authority = Some(start..start + authority);
        Ok(())
    }

    fn header(&mut self, bytes: &[u8], line: &Range<usize>) -> Result<(), Kind> {
        let text = part(bytes, line.clone());
        self.headers += 1;
        if self.headers > HEADERS_MAX {
            return Err(Kind::HeadersTooMany);
        }
        self.check_length(text)?;
        let (name, value) = header(text)?;
        let value_at = line.end - value.len();
        if name.eq_ignore_ascii_case(b"authorization") {
            return once(!std::mem::replace(&mut self.has_authorization, true));
        }
        self.header_bytes += text.len();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                once(self.host.is_none())?;
                let host = trimmed(value);
                let before = value.iter().take_while(|byte| is_blank(**byte)).count();
                self.host = Some(value_at + before..value_at + before + host.len());
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                once(self.length.is_none())?;
                self.length = Some(length(exact(value))?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                once(!std::mem::replace(&mut self.is_chunked, true))?;
                if exact(value) != b"chunked" {
                    return Err(Kind::EncodingUnknown);
                }
            }
            10 if name.eq_ignore_ascii_case(b"connection") => connection(value)?,
            _ => {}
        }
        Ok(())
    }

    /// All lines are there: what they say together.
    fn end(&mut self, bytes: &[u8]) -> Result<Option<Framing>, Kind> {
        let head = std::mem::take(self);
        let host = part(bytes, head.host.ok_or(Kind::HostMissing)?);
        if host.is_empty() || !host.iter().all(|byte| is_in_host(*byte)) {
            return Err(Kind::HostMalformed);
        }
        if head.authority.is_some_and(|authority| !part(bytes, authority).eq_ignore_ascii_case(host)) {
            return Err(Kind::HostMismatch);
        }
        if head.is_chunked && head.length.is_some() {
            return Err(Kind::LengthAndEncoding);
        }
        if head.is_chunked && head.version == Some(Version::V1_0) {
            return Err(Kind::EncodingInVersion10);
        }
        Ok(if head.is_chunked {
            Some(Framing::chunked())
        } else {
            head.length.filter(|length| *length > 0).map(Framing::Length)
        })
    }
}

/// A wish to go on with another protocol is not heard, which a server may always do (RFC 9110 7.8). hyper ends a connection
/// on which it was said without sending what is left of the last answer, so it must not hear it either: the name becomes
/// one that nobody knows.
fn mask(line: &mut [u8]) {
    if is_named(line, b"upgrade:")
        && let Some(first) = line.first_mut()
    {
        *first = b'x';
    }
}

/// A header's name and value, of a line without its end.
pub(super) fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Kind> {
    if line.first().is_some_and(|byte| is_blank(*byte)) {
        return Err(Kind::FoldedLine);
    }
    check_text(line)?;
    let colon = memchr(b':', line).ok_or(Kind::HeaderName)?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Kind::HeaderName);
    }
    Ok((name, value.get(1..).unwrap_or_default()))
}

/// Control characters must not be there; a tab may, and what is beyond ASCII.
fn check_text(text: &[u8]) -> Result<(), Kind> {
    // Without an early end the compiler looks at many bytes at once.
    let bad =
        text.iter().fold(false, |bad, byte| bad | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f));
    match bad {
        false => Ok(()),
        true if text.contains(&b'\r') => Err(Kind::BareLineEnd),
        true => Err(Kind::ControlCharacter),
    }
}

/// What the headers may name that hold for this connection alone; anything else would take a header away that
/// somebody behind us counts on.
fn connection(value: &[u8]) -> Result<(), Kind> {
    let good =
        |option: &[u8]| CONNECTION_OPTIONS.iter().any(|known| option.eq_ignore_ascii_case(known.as_bytes()));
    let good = value.split(|byte| *byte == b',').all(|option| good(trimmed(option)));
    if good { Ok(()) } else { Err(Kind::ConnectionNames) }
}

fn once(is_first: bool) -> Result<(), Kind> {
    if is_first { Ok(()) } else { Err(Kind::Repeated) }
}

/// Digits alone: no sign, no blanks, no list, and no zero before them.
fn length(text: &[u8]) -> Result<u64, Kind> {
    let good = (1..=LENGTH_DIGITS_MAX).contains(&text.len())
        && text.iter().all(u8::is_ascii_digit)
        && (text.len() == 1 || text.first() != Some(&b'0'));
    if !good {
        return Err(Kind::LengthMalformed);
    }
    Ok(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// The value of a header that decides where the next request begins: nothing but one space may be before it.
fn exact(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

fn trimmed(value: &[u8]) -> &[u8] {
    let begin = value.iter().take_while(|byte| is_blank(**byte)).count();
    let value = value.get(begin..).unwrap_or_default();
    let end = value.iter().rev().take_while(|byte| is_blank(**byte)).count();
    value.get(..value.len() - end).unwrap_or_default()
}

fn part(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

/// Whether it begins so, in any case.
fn is_named(line: &[u8], beginning: &[u8]) -> bool {
    line.get(..beginning.len()).is_some_and(|found| found.eq_ignore_ascii_case(beginning))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_in_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`')
}

fn is_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

/// The longest path of the protocol has 50.
const REQUEST_LINE_BYTES_MAX: usize = 8 << 10;
/// A Windows token has up to 48,000 bytes, 64,000 in base64.
pub(super) const AUTHORIZATION_BYTES_MAX: usize = 64 << 10;
/// A long user agent has a few hundred.
const HEADER_BYTES_MAX: usize = 4 << 10;
/// All headers but `Authorization`: Windows clients send half a kilobyte.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// All of these together, and their ends.
pub(in crate::front) const HEAD_BYTES_MAX: usize = 96 << 10;
/// Windows clients send about ten.
pub(in crate::front) const HEADERS_MAX: usize = 64;
const METHOD_BYTES_MAX: usize = 16;
/// More than any body has, less than overflows.
const LENGTH_DIGITS_MAX: usize = 15;
const CONNECTION_OPTIONS: [&str; 5] = ["close", "keep-alive", "te", "upgrade", "http2-settings"];

//! Kerberos' messages, as far as an acceptor reads and writes them ([RFC 4120] 5, [RFC 4121] 4.1). Bytes alone.

use super::super::der::{Reader, element, only};
use std::ops::RangeInclusive;
use time::{Date, Month, PrimitiveDateTime, Time};

/// AP-REQ, [RFC 4120] 5.5.1: a ticket, and the proof that the sender knows the key in it.
pub(super) struct Request<'a> {
    pub(super) options: u32,
    pub(super) ticket: Ticket<'a>,
    pub(super) authenticator: Encrypted<'a>,
}

/// Ticket, [RFC 4120] 5.3: for whom it is, in clear, and what only that service can open.
pub(super) struct Ticket<'a> {
    pub(super) realm: String,
    pub(super) service: Vec<String>,
    pub(super) encrypted: Encrypted<'a>,
}

/// EncryptedData, [RFC 4120] 5.2.9.
pub(super) struct Encrypted<'a> {
    pub(super) etype: i64,
    pub(super) key_version: Option<u32>,
    pub(super) cipher: &'a [u8],
}

/// EncryptionKey, [RFC 4120] 5.2.9.
pub(super) struct SessionKey<'a> {
    pub(super) etype: i64,
    pub(super) bytes: &'a [u8],
}

/// Who asked the KDC.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) realm: String,
    pub(super) name: Vec<String>,
}

/// EncTicketPart, [RFC 4120] 5.3: what the KDC says. Addresses and where it came through must have their form, and
/// count for nothing: nobody sends the one any more, and a KDC of ours has checked the other, or it would not have
/// signed.
pub(super) struct TicketPart<'a> {
    pub(super) flags: u32,
    pub(super) key: SessionKey<'a>,
    pub(super) client: Client,
    pub(super) authenticated: i64,
    pub(super) begins: i64,
    pub(super) ends: i64,
    pub(super) authorization: Option<&'a [u8]>,
}

/// Authenticator, [RFC 4120] 5.5.1: what the client says now.
pub(super) struct Authenticator<'a> {
    pub(super) client: Client,
    pub(super) checksum: Option<Checksum<'a>>,
    /// The elements as they came: the reply repeats them.
    pub(super) microseconds: &'a [u8],
    pub(super) time: &'a [u8],
    /// The same, in seconds since 1970.
    pub(super) seconds: i64,
    pub(super) subkey: Option<SessionKey<'a>>,
    pub(super) sequence: Option<i64>,
    pub(super) authorization: Option<&'a [u8]>,
}

/// Checksum, [RFC 4120] 5.2.9; that of GSS is no checksum but a carrier.
pub(super) struct Checksum<'a> {
    pub(super) kind: i64,
    pub(super) bytes: &'a [u8],
}

/// Whether a GSS token's frame names Kerberos.
pub(in super::super) fn is_framed(token: &[u8]) -> bool {
    only(FRAME, token).is_some_and(|frame| Reader::new(frame).take(OID) == Some(KERBEROS))
}

/// The AP-REQ in a GSS token, [RFC 2743] 3.1 and [RFC 4121] 4.1.
pub(super) fn unframe(token: &[u8]) -> Option<&[u8]> {
    let rest = after_oid(only(FRAME, token)?)?;
    rest.strip_prefix(&REQUEST_TOKEN)
}

impl<'a> Request<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::application(14, bytes)?;
        fields.constant(0, VERSION)?;
        fields.constant(1, 14)?;
        let options = bits(fields.take(2)?)?;
        let ticket = Ticket::read(fields.take(3)?)?;
        let authenticator = Encrypted::read(fields.take(4)?)?;
        fields.end(Request { options, ticket, authenticator })
    }
}

impl<'a> Ticket<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::application(1, bytes)?;
        fields.constant(0, VERSION)?;
        let realm = string(fields.take(1)?)?;
        let service = name(fields.take(2)?)?;
        let encrypted = Encrypted::read(fields.take(3)?)?;
        fields.end(Ticket { realm, service, encrypted })
    }
}

impl<'a> Encrypted<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::sequence(bytes)?;
        let etype = integer(fields.take(0)?)?;
        let key_version = match fields.take_if(1)? {
            // Windows writes the versions of read-only controllers as negative numbers.
            Some(version) => Some(u32::try_from(integer(version)? & 0xffff_ffff).ok()?),
            None => None,
        };
        let cipher = only(OCTETS, fields.take(2)?)?;
        fields.end(Encrypted { etype, key_version, cipher })
    }
}

impl<'a> SessionKey<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::sequence(bytes)?;
        let etype = integer(fields.take(0)?)?;
        let bytes = only(OCTETS, fields.take(1)?)?;
        fields.end(SessionKey { etype, bytes })
    }
}

impl<'a> TicketPart<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::application(3, bytes)?;
        let flags = bits(fields.take(0)?)?;
        let key = SessionKey::read(fields.take(1)?)?;
        let client = Client { realm: string(fields.take(2)?)?, name: name(fields.take(3)?)? };
        // transited, whose type is a small number
        typed(Fields::sequence(fields.take(4)?)?).filter(|kind| (0..=255).contains(kind))?;
        let authenticated = seconds(fields.take(5)?)?;
        let begins = match fields.take_if(6)? {
            Some(begins) => seconds(begins)?,
            None => authenticated,
        };
        let ends = seconds(fields.take(7)?)?;
        if let Some(renewable) = fields.take_if(8)? {
            seconds(renewable)?;
        }
        if let Some(addresses) = fields.take_if(9)? {
            let mut addresses = Reader::new(only(SEQUENCE, addresses)?);
            while !addresses.is_empty() {
                typed(Fields { rest: Reader::new(addresses.take(SEQUENCE)?) })?;
            }
        }
        let authorization = fields.take_if(10)?;
        fields.end(TicketPart { flags, key, client, authenticated, begins, ends, authorization })
    }
}

impl<'a> Authenticator<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::application(2, bytes)?;
        fields.constant(0, VERSION)?;
        let client = Client { realm: string(fields.take(1)?)?, name: name(fields.take(2)?)? };
        let checksum = match fields.take_if(3)? {
            Some(checksum) => Some(Checksum::read(checksum)?),
            None => None,
        };
        let microseconds = fields.take(4)?;
        let time = fields.take(5)?;
        if !(0..1_000_000).contains(&integer(microseconds)?) {
            return None;
        }
        let seconds = seconds(time)?;
        let subkey = match fields.take_if(6)? {
            Some(subkey) => Some(SessionKey::read(subkey)?),
            None => None,
        };
        let sequence = match fields.take_if(7)? {
            Some(sequence) => {
                Some(integer(sequence)?).filter(|number| SEQUENCES.contains(number)).map(Some)?
            }
            None => None,
        };
        let authorization = fields.take_if(8)?;
        fields.end(Authenticator {
            client,
            checksum,
            microseconds,
            time,
            seconds,
            subkey,
            sequence,
            authorization,
        })
    }
}

impl<'a> Checksum<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::sequence(bytes)?;
        let kind = integer(fields.take(0)?)?;
        let bytes = only(OCTETS, fields.take(1)?)?;
        fields.end(Checksum { kind, bytes })
    }
}

/// The inside of an AP-REP, [RFC 4120] 5.5.2.
pub(super) fn write_reply_part(
    authenticator: &Authenticator<'_>,
    subkey: Option<(u8, &[u8])>,
    sequence: Option<u32>,
) -> Vec<u8> {
    let subkey = subkey.map_or_else(Vec::new, |(etype, bytes)| {
        let etype = element(FIELD_0, &[&element(INTEGER, &[&[etype]])]);
        let bytes = element(FIELD_0 | 1, &[&element(OCTETS, &[bytes])]);
        element(FIELD_0 | 2, &[&element(SEQUENCE, &[&etype, &bytes])])
    });
    let sequence = sequence.map_or_else(Vec::new, |number| {
        // The highest bit is never set, so that the shortest form is also a positive number.
        let digits = (number & 0x7fff_ffff).to_be_bytes();
        let zeros = digits.iter().take(3).take_while(|digit| **digit == 0).count();
        let shortest = digits.get(zeros..).unwrap_or_default();
        let sign: &[u8] = if shortest.first().is_some_and(|digit| *digit > 0x7f) { &[0] } else { &[] };
        element(FIELD_0 | 3, &[&element(INTEGER, &[sign, shortest])])
    });
    let time = element(FIELD_0, &[authenticator.time]);
    let microseconds = element(FIELD_0 | 1, &[authenticator.microseconds]);
    element(APPLICATION | 27, &[&element(SEQUENCE, &[&time, &microseconds, &subkey, &sequence])])
}

/// The AP-REP around it, as a GSS token.
pub(super) fn write_reply(etype: u8, cipher: &[u8]) -> Vec<u8> {
    let etype = element(FIELD_0, &[&element(INTEGER, &[&[etype]])]);
    let cipher = element(FIELD_0 | 2, &[&element(OCTETS, &[cipher])]);
    let version = element(FIELD_0, &[&element(INTEGER, &[&[VERSION as u8]])]);
    let kind = element(FIELD_0 | 1, &[&element(INTEGER, &[&[15]])]);
    let encrypted = element(FIELD_0 | 2, &[&element(SEQUENCE, &[&etype, &cipher])]);
    let reply = element(APPLICATION | 15, &[&element(SEQUENCE, &[&version, &kind, &encrypted])]);
    element(FRAME, &[&element(OID, &[KERBEROS]), &REPLY_TOKEN, &reply])
}

/// The fields of a sequence, each in a tag of its own.
pub(super) struct Fields<'a> {
    pub(super) rest: Reader<'a>,
}

impl<'a> Fields<'a> {
    fn sequence(bytes: &'a [u8]) -> Option<Self> {
        Some(Fields { rest: Reader::new(only(SEQUENCE, bytes)?) })
    }

    fn application(number: u8, bytes: &'a [u8]) -> Option<Self> {
        Fields::sequence(only(APPLICATION | number, bytes)?)
    }

    pub(super) fn take(&mut self, number: u8) -> Option<&'a [u8]> {
        self.rest.take(FIELD_0 | number)
    }

    fn take_if(&mut self, number: u8) -> Option<Option<&'a [u8]>> {
        self.rest.take_if(FIELD_0 | number)
    }

    fn constant(&mut self, number: u8, wanted: i64) -> Option<()> {
        (integer(self.take(number)?)? == wanted).then_some(())
    }

    /// What was read, if nothing follows it.
    pub(super) fn end<T>(self, read: T) -> Option<T> {
        self.rest.is_empty().then_some(read)
    }
}

fn after_oid(frame: &[u8]) -> Option<&[u8]> {
    let oid = element(OID, &[KERBEROS]);
    frame.strip_prefix(&oid[..])
}

/// [X.690] 8.3, of at most 8 bytes, in the shortest form.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let digits = only(INTEGER, bytes)?;
    let (first, rest) = digits.split_first()?;
    let redundant = rest.first().is_some_and(|second| {
        (*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80) // the sign is there already
    });
    if redundant || digits.len() > 8 {
        return None;
    }
    let sign = if *first < 0x80 { 0 } else { -1 };
    Some(digits.iter().fold(sign, |number: i64, digit| number << 8 | i64::from(*digit)))
}

/// The fields of a number and of some octets, whose type it says.
fn typed(mut fields: Fields<'_>) -> Option<i64> {
    let kind = integer(fields.take(0)?)?;
    only(OCTETS, fields.take(1)?)?;
    fields.end(kind)
}

/// KerberosFlags, [RFC 4120] 5.2.8: 32 of them.
fn bits(bytes: &[u8]) -> Option<u32> {
    match only(BITS, bytes)? {
        [0, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// KerberosString, [RFC 4120] 5.2.1. It may come to be in a log line.
fn string(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(only(GENERAL_STRING, bytes)?).ok()?;
    let good = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
}

/// PrincipalName, [RFC 4120] 5.2.2; its type decides nothing.
fn name(bytes: &[u8]) -> Option<Vec<String>> {
    let mut fields = Fields::sequence(bytes)?;
    integer(fields.take(0)?)?;
    let mut parts = Reader::new(only(SEQUENCE, fields.take(1)?)?);
    let mut name = Vec::new();
    while !parts.is_empty() {
        if name.len() == NAME_PARTS_MAX {
            return None;
        }
        name.push(string(&element(GENERAL_STRING, &[parts.take(GENERAL_STRING)?]))?);
    }
    fields.end(name).filter(|name| !name.is_empty())
}

/// KerberosTime, [RFC 4120] 5.2.3: `20261121093000Z`, in seconds since 1970.
fn seconds(bytes: &[u8]) -> Option<i64> {
    let digits = only(TIME, bytes)?.strip_suffix(b"Z").filter(|digits| digits.len() == 14)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = digits.as_chunks::<2>().0.iter().map(|[tens, ones]| (tens - b'0') * 10 + (ones - b'0'));
    let mut pair = || pairs.next();
    let year = i32::from(pair()?) * 100 + i32::from(pair()?);
    let date = Date::from_calendar_date(year, Month::try_from(pair()?).ok()?, pair()?).ok()?;
    let time = Time::from_hms(pair()?, pair()?, pair()?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// 1.2.840.113554.1.2.2, [RFC 4121] 1: the contents of the OID.
pub(in super::super) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
/// 1.2.840.48018.1.2.2: what Windows 2000 wrote by mistake, and all later ones offer beside the right one.
pub(in super::super) const KERBEROS_OF_WINDOWS: &[u8] =
    &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// The version of the protocol.
const VERSION: i64 = 5;
/// [RFC 4121] 4.1.
pub(in super::super) const REQUEST_TOKEN: [u8; 2] = [1, 0];
const REPLY_TOKEN: [u8; 2] = [2, 0];
/// A name has two parts, a few services have three.
const NAME_PARTS_MAX: usize = 4;
/// A DNS name has 255.
const TEXT_BYTES_MAX: usize = 255;
/// 32 bits, with a sign or without.
const SEQUENCES: RangeInclusive<i64> = i32::MIN as i64..=u32::MAX as i64;

pub(in super::super) const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
pub(in super::super) const OCTETS: u8 = 0x04;
pub(in super::super) const OID: u8 = 0x06;
pub(in super::super) const TIME: u8 = 0x18;
pub(in super::super) const GENERAL_STRING: u8 = 0x1b;
pub(in super::super) const SEQUENCE: u8 = 0x30;
const FRAME: u8 = 0x60;
const APPLICATION: u8 = 0x60;
const FIELD_0: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_in_one_form() {
        let read = |digits: &[u8]| integer(&element(INTEGER, &[digits]));
        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[0x80]), Some(-128));
        assert_eq!(read(&[0, 0x80, 3]), Some(0x8003));
        assert_eq!(read(&[0x7f; 8]), Some(0x7f7f_7f7f_7f7f_7f7f));
        for wrong in [&[][..], &[0, 1], &[0xff, 0x80], &[1; 9]] {
            assert_eq!(read(wrong), None, "{wrong:x?}");
        }
    }

    #[test]
    fn reads_times_of_the_calendar_alone() {
        let read = |text: &str| seconds(&element(TIME, &[text.as_bytes()]));
        assert_eq!(read("19700101000000Z"), Some(0));
        assert_eq!(read("20261121093000Z"), Some(1_795_253_400));
        for wrong in ["20261121093000", "20261321093000Z", "20260230093000Z", "2026112109300+Z", "", "Z"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn refuses_names_that_could_forge_a_log_line() {
        let read = |text: &[u8]| string(&element(GENERAL_STRING, &[text]));
        assert_eq!(read(b"HTTP"), Some("HTTP".into()));
        for wrong in [&b""[..], b"a\nb", b"a\x1b[31m", &[0xff], &[b'a'; TEXT_BYTES_MAX + 1]] {
            assert_eq!(read(wrong), None, "{wrong:x?}");
        }
    }

    #[test]
    fn writes_sequence_numbers_in_the_shortest_form() {
        for number in [0, 1, 127, 128, 255, 256, 0x7fff_ffff] {
            let authenticator = Authenticator {
                client: Client { realm: String::new(), name: Vec::new() },
                checksum: None,
                microseconds: &[2, 1, 0],
                time: &[],
                seconds: 0,
                subkey: None,
                sequence: None,
                authorization: None,
            };
            let part = write_reply_part(&authenticator, None, Some(number));
            let mut fields = Fields::application(27, &part).unwrap();
            fields.take(0).unwrap();
            fields.take(1).unwrap();
            assert_eq!(integer(fields.take(3).unwrap()), Some(number.into()));
        }
    }
}

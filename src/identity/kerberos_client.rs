//! Kerberos, the client's side ([RFC 4120] 3.2.2, [RFC 4121] 4.1.1), with a ticket that kinit and kvno have
//! got: for sample traffic. The domain is not asked here.

use super::ChannelBinding;
use super::der::element;
use super::kerberos::crypto::{BLOCK, Etype, Key, Usage};
use super::kerberos::gss_checksum::GSS_CHECKSUM;
use super::kerberos::messages::{
    GENERAL_STRING, INTEGER, KERBEROS, OCTETS, OID, REQUEST_TOKEN, SEQUENCE, TIME,
};
use super::spnego;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// A ticket for one service, with the key that its owner proves itself with.
pub struct ServiceTicket {
    realm: String,
    name: Vec<String>,
    key: Key,
    ticket: Vec<u8>,
    ends_at: OffsetDateTime,
}

/// Why a credential cache is of no use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheError {
    /// It begins with something else.
    #[error("it is no credential cache of format 4; let kinit write a file")]
    NotACache,
    /// It ends in the middle of something.
    #[error("it is damaged or cut off")]
    Damaged,
    /// The ticket is not there.
    #[error("it has no ticket with an AES key for {service}; get one: kvno {service}")]
    NoTicket {
        /// The service that was looked for.
        service: String,
    },
}

/// What a token needs that nobody can foresee, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Random bytes.
    pub confounder: [u8; BLOCK],
    /// Now.
    pub now: OffsetDateTime,
}

impl ServiceTicket {
    /// Finds the ticket for a service, `HTTP/host`, in the bytes of a cache in MIT's file format 4.
    ///
    /// # Errors
    /// When it is no such file, or has no such ticket.
    pub fn of_cache(bytes: &[u8], service: &str) -> Result<Self, CacheError> {
        let mut cache = Cache { rest: bytes.strip_prefix(&FORMAT).ok_or(CacheError::NotACache)? };
        let head = cache.short().ok_or(CacheError::Damaged)?;
        cache.skip(head.into()).and_then(|()| cache.principal()).ok_or(CacheError::Damaged)?;
        while !cache.rest.is_empty() {
            let credential = cache.credential().ok_or(CacheError::Damaged)?;
            // Settings of the cache are kept as if they were tickets; they have no key.
            if credential.service.join("/") == service
                && let Some(ticket) = credential.ticket
            {
                return Ok(ticket);
            }
        }
        Err(CacheError::NoTicket { service: service.to_owned() })
    }

    /// Until when it can be used.
    #[must_use]
    pub fn ends_at(&self) -> OffsetDateTime {
        self.ends_at
    }

    /// The same inside SPNEGO, as the word `Negotiate` asks for ([RFC 4559] 4.2).
    #[must_use]
    pub fn negotiate_token(&self, binding: Option<&ChannelBinding>, moment: Moment) -> Vec<u8> {
        spnego::client::init(&[KERBEROS], Some(&self.token(binding, moment)))
    }

    /// A fresh GSS token with an AP-REQ: proves the owner once, on a connection with this binding.
    #[must_use]
    pub fn token(&self, binding: Option<&ChannelBinding>, moment: Moment) -> Vec<u8> {
        let authenticator = Zeroizing::new(self.authenticator(binding, moment.now));
        let cipher = self
            .key
            .encrypt(Usage::Authenticator, &moment.confounder, &authenticator)
            .expect("an authenticator is longer than a block");
        let encrypted = element(
            SEQUENCE,
            &[&field(0, &number(self.key.etype().number().into())), &field(2, &element(OCTETS, &[&cipher]))],
        );
        let no_options = element(BITS, &[&[0; 5]]);
        let request = element(
            APPLICATION_REQUEST,
            &[&element(
                SEQUENCE,
                &[
                    &field(0, &number(VERSION)),
                    &field(1, &number(AP_REQ)),
                    &field(2, &no_options),
                    &field(3, &self.ticket),
                    &field(4, &encrypted),
                ],
            )],
        );
        element(FRAME, &[&element(OID, &[KERBEROS]), &REQUEST_TOKEN, &request])
    }

    fn authenticator(&self, binding: Option<&ChannelBinding>, now: OffsetDateTime) -> Vec<u8> {
        let text = |text: &str| element(GENERAL_STRING, &[text.as_bytes()]);
        let parts: Vec<u8> = self.name.iter().flat_map(|part| text(part)).collect();
        let name =
            element(SEQUENCE, &[&field(0, &number(NT_PRINCIPAL)), &field(1, &element(SEQUENCE, &[&parts]))]);
        // [RFC 4121] 4.1.1: the length of the binding, the binding, and no flags.
        let none = [0; 16];
        let binding = binding.map_or(&none, ChannelBinding::bytes);
        let carried = [&16u32.to_le_bytes()[..], binding, &[0; 4]].concat();
        let checksum =
            element(SEQUENCE, &[&field(0, &number(GSS_CHECKSUM)), &field(1, &element(OCTETS, &[&carried]))]);
        let now = now.to_offset(time::UtcOffset::UTC);
        let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
        let time = format!("{date}{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
        let fields = [
            field(0, &number(VERSION)),
            field(1, &text(&self.realm)),
            field(2, &name),
            field(3, &checksum),
            field(4, &number(now.microsecond().into())),
            field(5, &element(TIME, &[time.as_bytes()])),
        ];
        element(APPLICATION_AUTHENTICATOR, &[&element(SEQUENCE, &[&fields.concat()])])
    }
}

fn field(number: u8, contents: &[u8]) -> Vec<u8> {
    element(FIELD_0 + number, &[contents])
}

/// In the shortest form ([X.690] 8.3.2); none of ours is negative.
fn number(number: i64) -> Vec<u8> {
    let digits = number.to_be_bytes();
    let mut shortest = &digits[..];
    // A digit of 0x80 and more would be the sign.
    while let [0, next, ..] = shortest
        && *next < 0x80
        && let Some((_, rest)) = shortest.split_first()
    {
        shortest = rest;
    }
    element(INTEGER, &[shortest])
}

/// What is left of a cache.
struct Cache<'a> {
    rest: &'a [u8],
}

/// A ticket of a cache, as far as it is of use.
struct Credential {
    service: Vec<String>,
    /// `None`: its key is of another cipher.
    ticket: Option<ServiceTicket>,
}

impl<'a> Cache<'a> {
    fn credential(&mut self) -> Option<Credential> {
        let (realm, name) = self.principal()?;
        let (_, service) = self.principal()?;
        let etype = Etype::of_number(self.short()?.into());
        let key = self.data()?;
        // When it was got, from when on and until when it can be used, until when it can be renewed; whether it is
        // for another ticket's key; its flags.
        self.skip(4 + 4)?;
        let ends_at = OffsetDateTime::from_unix_timestamp(self.long()?.into()).ok()?;
        self.skip(4 + 1 + 4)?;
        // Addresses and authorization data: each with a type.
        for _ in 0..2 {
            for _ in 0..self.long()? {
                self.short()?;
                self.data()?;
            }
        }
        let ticket = self.data()?.to_vec();
        self.data()?;
        let key = etype.and_then(|etype| Key::new(etype, key));
        Some(Credential {
            service,
            ticket: key.map(|key| ServiceTicket { realm, name, key, ticket, ends_at }),
        })
    }

    /// A realm, and the parts of a name.
    fn principal(&mut self) -> Option<(String, Vec<String>)> {
        self.long()?;
        let parts = self.long()?;
        let realm = self.text()?;
        // Whatever the count says, each part takes bytes of the file.
        let name = (0..parts).map(|_| self.text()).collect::<Option<_>>()?;
        Some((realm, name))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.data()?.to_vec()).ok()
    }

    fn data(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok()?;
        let (data, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(data)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.split_at_checked(bytes)?.1;
        Some(())
    }

    fn short(&mut self) -> Option<u16> {
        let (digits, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*digits))
    }

    fn long(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*digits))
    }
}

/// The first two bytes of MIT's file format 4.
const FORMAT: [u8; 2] = [5, 4];
const VERSION: i64 = 5;
const AP_REQ: i64 = 14;
/// [RFC 4120] 6.2: a name of a user or a computer.
const NT_PRINCIPAL: i64 = 1;
const BITS: u8 = 0x03;
const FRAME: u8 = 0x60;
const APPLICATION_AUTHENTICATOR: u8 = 0x62;
const APPLICATION_REQUEST: u8 = 0x6e;
const FIELD_0: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    fn data(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn principal(realm: &str, parts: &[&str]) -> Vec<u8> {
        let parts_data: Vec<u8> = parts.iter().flat_map(|part| data(part.as_bytes())).collect();
        [&1u32.to_be_bytes()[..], &(parts.len() as u32).to_be_bytes(), &data(realm.as_bytes()), &parts_data]
            .concat()
    }

    fn credential(service: &[&str], etype: u16, key: &[u8]) -> Vec<u8> {
        let client = principal("CONTOSO.TEST", &["EXCH01$"]);
        let address = [&1u32.to_be_bytes()[..], &[0, 2], &data(&[127, 0, 0, 1])].concat();
        [
            &client[..],
            &principal("CONTOSO.TEST", service),
            &etype.to_be_bytes(),
            &data(key),
            &[0; 21],
            &address,
            &[0; 4],
            &data(b"the ticket"),
            &data(b""),
        ]
        .concat()
    }

    fn cache() -> Vec<u8> {
        let head = [0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        [
            &FORMAT[..],
            &head,
            &principal("CONTOSO.TEST", &["EXCH01$"]),
            &credential(&["krb5_ccache_conf_data", "pa_type"], 0, b""),
            &credential(&["HTTP", "weak.contoso.test"], 23, &[1; 16]),
            &credential(&["HTTP", "rms.contoso.test"], 18, &[7; 32]),
        ]
        .concat()
    }

    #[test]
    fn finds_the_ticket_of_a_service() {
        let ticket = ServiceTicket::of_cache(&cache(), "HTTP/rms.contoso.test").unwrap();
        assert_eq!(
            (ticket.realm.as_str(), ticket.name.as_slice()),
            ("CONTOSO.TEST", &["EXCH01$".into()][..])
        );
        assert_eq!((ticket.key.bytes(), ticket.ticket.as_slice()), (&[7; 32][..], &b"the ticket"[..]));
    }

    #[test]
    fn says_what_is_wrong_with_a_cache() {
        let error = |bytes: &[u8], service: &str| ServiceTicket::of_cache(bytes, service).err();
        for service in ["HTTP/weak.contoso.test", "HTTP/other.contoso.test"] {
            let none = CacheError::NoTicket { service: service.into() };
            assert_eq!(error(&cache(), service), Some(none));
        }
        assert_eq!(error(b"\x05\x02", "HTTP/a"), Some(CacheError::NotACache));
        let whole = cache();
        for cut in 2..whole.len() {
            assert!(error(&whole[..cut], "HTTP/rms.contoso.test").is_some(), "{cut}");
        }
    }

    #[test]
    fn writes_numbers_in_the_shortest_form() {
        for (value, digits) in
            [(0, &[0][..]), (5, &[5]), (127, &[127]), (128, &[0, 128]), (0x8003, &[0, 0x80, 3])]
        {
            assert_eq!(number(value), element(INTEGER, &[digits]), "{value}");
        }
    }
}

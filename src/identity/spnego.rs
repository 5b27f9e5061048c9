//! SPNEGO: the wrapping in which a client offers mechanisms ([RFC 4178], [MS-SPNG]). Bytes alone.

use super::der::{Reader, element, only};

/// A token of the client.
pub(super) enum Token<'a> {
    Init(Init<'a>),
    Response(Response<'a>),
}

/// NegTokenInit, [RFC 4178] 4.2.1: what the client could do, and a first token of its favourite.
pub(super) struct Init<'a> {
    /// The list as it came: the mechListMIC is computed over these bytes.
    pub(super) mech_list: &'a [u8],
    pub(super) mechs: Vec<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
}

/// NegTokenResp, [RFC 4178] 4.2.2.
pub(super) struct Response<'a> {
    pub(super) state: Option<u8>,
    pub(super) mech: Option<&'a [u8]>,
    pub(super) token: Option<&'a [u8]>,
    pub(super) mech_list_mic: Option<&'a [u8]>,
}

/// negState, [RFC 4178] 4.2.2: where the negotiation is.
#[derive(Clone, Copy)]
pub(super) enum State {
    Completed = 0,
    Incomplete = 1,
    /// NTLM was not the client's favourite: it must prove that nobody shortened its list.
    RequestMic = 3,
}

/// negState of a client that gives up.
pub(super) const REJECT: u8 = 2;

/// 1.3.6.1.4.1.311.2.2.10, [MS-SPNG] 1.9: the contents of the OID.
pub(super) const NTLM: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];

/// Reads a token; `None` if it is not one, or if anything follows it.
pub(super) fn parse(token: &[u8]) -> Option<Token<'_>> {
    match *token.first()? {
        INIT_FRAME => init(only(INIT_FRAME, token)?).map(Token::Init),
        FIELD_1 => response(only(FIELD_1, token)?).map(Token::Response),
        _ => None,
    }
}

/// Writes a NegTokenResp.
pub(super) fn write_response(
    state: State,
    mech: Option<&[u8]>,
    token: Option<&[u8]>,
    mech_list_mic: Option<&[u8]>,
) -> Vec<u8> {
    let field = |number: u8, tag: u8, contents: Option<&[u8]>| {
        contents.map_or_else(Vec::new, |contents| element(number, &[&element(tag, &[contents])]))
    };
    let fields = [
        field(FIELD_0, ENUMERATED, Some(&[state as u8])),
        field(FIELD_1, OID, mech),
        field(FIELD_2, OCTET_STRING, token),
        field(FIELD_3, OCTET_STRING, mech_list_mic),
    ];
    element(FIELD_1, &[&element(SEQUENCE, &[&fields.concat()])])
}

/// [RFC 2743] 3.1: the frame of the first token, with the OID of SPNEGO in front.
fn init(frame: &[u8]) -> Option<Init<'_>> {
    let mut frame = Reader::new(frame);
    if frame.take(OID)? != SPNEGO {
        return None;
    }
    let body = only(SEQUENCE, frame.take(FIELD_0)?)?;
    let mut fields = Reader::new(body);
    let mech_list = fields.take(FIELD_0)?;
    // It is kept until the client signs it.
    if mech_list.len() > MECH_LIST_BYTES_MAX {
        return None;
    }
    let mechs = mechs(only(SEQUENCE, mech_list)?)?;
    if let Some(flags) = fields.take_if(FIELD_1)? {
        only(BITS, flags)?; // reqFlags: not protected, so nobody may act on them
    }
    let token = octets(fields.take_if(FIELD_2)?)?;
    // No mechListMIC: there is no key yet that could have made one.
    (frame.is_empty() && fields.is_empty()).then_some(Init { mech_list, mechs, token })
}

fn mechs(list: &[u8]) -> Option<Vec<&[u8]>> {
    let mut list = Reader::new(list);
    let mut mechs = Vec::new();
    while !list.is_empty() {
        if mechs.len() == MECHS_MAX {
            return None;
        }
        let mech = list.take(OID)?;
        // In a list by preference: acceptors differ about which of the two counts.
        if !is_oid(mech) || mechs.contains(&mech) {
            return None;
        }
        mechs.push(mech);
    }
    (!mechs.is_empty()).then_some(mechs)
}

/// [X.690] 8.19: each number in the fewest groups of seven bits, the last of which has no eighth.
fn is_oid(contents: &[u8]) -> bool {
    let numbers = contents.split_inclusive(|byte| byte & 0x80 == 0);
    contents.last().is_some_and(|last| last & 0x80 == 0)
        && numbers.into_iter().all(|it| !it.starts_with(&[0x80]))
}

fn response(body: &[u8]) -> Option<Response<'_>> {
    let mut fields = Reader::new(only(SEQUENCE, body)?);
    let state = match fields.take_if(FIELD_0)? {
        None => None,
        Some(field) => match only(ENUMERATED, field)? {
            [state] if *state <= State::RequestMic as u8 => Some(*state),
            _ => return None,
        },
    };
    let mech = match fields.take_if(FIELD_1)? {
        None => None,
        Some(field) => Some(only(OID, field)?),
    };
    let token = octets(fields.take_if(FIELD_2)?)?;
    let mech_list_mic = octets(fields.take_if(FIELD_3)?)?;
    fields.is_empty().then_some(Response { state, mech, token, mech_list_mic })
}

/// The octets of an optional field; `None` if it is there and holds something else.
fn octets(field: Option<&[u8]>) -> Option<Option<&[u8]>> {
    match field {
        None => Some(None),
        Some(field) => only(OCTET_STRING, field).map(Some),
    }
}

/// More than any client offers; a list is otherwise as long as the token.
const MECHS_MAX: usize = 32;
/// Windows' four have 50 bytes.
const MECH_LIST_BYTES_MAX: usize = 512;
/// 1.3.6.1.5.5.2, [RFC 4178] appendix A: the contents of the OID.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

const INIT_FRAME: u8 = 0x60;
const BITS: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const FIELD_0: u8 = 0xa0;
const FIELD_1: u8 = 0xa1;
const FIELD_2: u8 = 0xa2;
const FIELD_3: u8 = 0xa3;

/// What a client writes ([RFC 4178] 4.2.1).
pub(super) mod client {
    use super::*;

    /// A Kerberos that the client would rather use: 1.2.840.113554.1.2.2.
    #[cfg(test)]
    pub(crate) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

    /// The list as the mechListMIC sees it.
    pub(crate) fn mech_list(mechs: &[&[u8]]) -> Vec<u8> {
        let mechs: Vec<u8> = mechs.iter().flat_map(|mech| element(OID, &[mech])).collect();
        element(SEQUENCE, &[&mechs])
    }

    pub(crate) fn init(mechs: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let list = element(FIELD_0, &[&mech_list(mechs)]);
        let token =
            token.map_or_else(Vec::new, |token| element(FIELD_2, &[&element(OCTET_STRING, &[token])]));
        let body = element(FIELD_0, &[&element(SEQUENCE, &[&list, &token])]);
        element(INIT_FRAME, &[&element(OID, &[SPNEGO]), &body])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_offer_of_kerberos_and_ntlm() {
        let bytes = client::init(&[client::KERBEROS, NTLM], Some(b"ticket"));
        let Some(Token::Init(init)) = parse(&bytes) else { panic!("not an Init") };
        assert_eq!(init.mechs, [client::KERBEROS, NTLM]);
        assert_eq!(init.token, Some(&b"ticket"[..]));
        assert_eq!(init.mech_list, client::mech_list(&[client::KERBEROS, NTLM]));
    }

    /// Byte for byte what [MS-SPNG] and [RFC 4178] ask for: accept-incomplete, NTLM, a token.
    #[test]
    fn writes_the_bytes_of_the_specification() {
        let written = write_response(State::Incomplete, Some(NTLM), Some(b"T"), None);
        let wanted = [
            &[0xa1, 0x1a, 0x30, 0x18, 0xa0, 0x03, 0x0a, 0x01, 0x01][..],
            &[0xa1, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a],
            &[0xa2, 0x03, 0x04, 0x01, b'T'],
        ]
        .concat();
        assert_eq!(written, wanted);
    }

    #[test]
    fn reads_back_a_response() {
        let bytes = write_response(State::RequestMic, Some(NTLM), Some(b"T"), Some(b"M"));
        let Some(Token::Response(response)) = parse(&bytes) else { panic!("not a Response") };
        assert_eq!(response.state, Some(3));
        assert_eq!(
            (response.mech, response.token, response.mech_list_mic),
            (Some(NTLM), Some(&b"T"[..]), Some(&b"M"[..]))
        );
    }

    #[test]
    fn takes_flags_and_no_signature_in_an_offer() {
        let list = element(FIELD_0, &[&client::mech_list(&[NTLM])]);
        let offer = |fields: &[u8]| {
            let body = element(FIELD_0, &[&element(SEQUENCE, &[&list, fields])]);
            parse(&element(INIT_FRAME, &[&element(OID, &[SPNEGO]), &body])).is_some()
        };
        assert!(offer(&[]) && offer(&[FIELD_1, 4, BITS, 2, 1, 0x40]));
        assert!(!offer(&[FIELD_1, 3, BITS, 2, 1]) && !offer(&[FIELD_1, 2, OCTET_STRING, 0]));
        assert!(!offer(&[FIELD_3, 3, OCTET_STRING, 1, 7]));
    }

    #[test]
    fn refuses_anything_that_follows_at_any_depth() {
        let mut init = client::init(&[NTLM], Some(b"T"));
        init.push(0);
        assert!(parse(&init).is_none());
        // The same bytes inside the frame, then inside the sequence.
        let in_frame = element(
            INIT_FRAME,
            &[
                &element(OID, &[SPNEGO]),
                &element(
                    FIELD_0,
                    &[&element(SEQUENCE, &[&element(FIELD_0, &[&client::mech_list(&[NTLM])])])],
                ),
                &[5, 0],
            ],
        );
        assert!(parse(&in_frame).is_none());
        let in_sequence = element(FIELD_1, &[&element(SEQUENCE, &[&[0xa0, 3, 0x0a, 1, 1, 0xa4, 0]])]);
        assert!(parse(&in_sequence).is_none());
        let out_of_order = element(FIELD_1, &[&element(SEQUENCE, &[&[0xa2, 2, 4, 0, 0xa0, 3, 0x0a, 1, 1]])]);
        assert!(parse(&out_of_order).is_none());
    }

    #[test]
    fn refuses_an_empty_list_another_mechanism_frame_and_an_unknown_state() {
        assert!(parse(&client::init(&[], None)).is_none());
        let numbers: Vec<[u8; 2]> = (0..=MECHS_MAX as u8).map(|number| [0x2b, number]).collect();
        let mechs: Vec<&[u8]> = numbers.iter().map(|mech| &mech[..]).collect();
        assert!(parse(&client::init(&mechs[..MECHS_MAX], None)).is_some());
        assert!(parse(&client::init(&mechs, None)).is_none());
        assert!(parse(&client::init(&[NTLM, client::KERBEROS, NTLM], None)).is_none());
        assert!(parse(&client::init(&[NTLM, &[0x2b; MECH_LIST_BYTES_MAX]], None)).is_none());
        for no_oid in [&[][..], &[0xff; 4], &[0x2b, 0x80, 1], &[0x2b, 0x81]] {
            assert!(parse(&client::init(&[NTLM, no_oid], None)).is_none(), "{no_oid:x?}");
        }
        assert!(parse(&element(INIT_FRAME, &[&element(OID, &[client::KERBEROS]), &[1, 0]])).is_none());
        assert!(parse(&element(FIELD_1, &[&element(SEQUENCE, &[&[0xa0, 3, 0x0a, 1, 4]])])).is_none());
        assert!(parse(b"").is_none());
    }
}

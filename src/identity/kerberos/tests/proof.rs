//! What a proof and the ticket with it may look like, and what of it counts: each check alone.

use super::built::{IN_TICKET, authorization_element, edited};
use super::claims::{check_refused, step};
use super::forged::Opened;
use super::*;
use crate::identity::der::element;

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A proof with this authorization data, in AD-IF-RELEVANT.
pub(super) fn with_proof_data(elements: &[(u8, Vec<u8>)]) -> Opened {
    let elements: Vec<u8> =
        elements.iter().flat_map(|(kind, data)| authorization_element(*kind, data)).collect();
    with_data(&element(0x30, &[&authorization_element(1, &element(0x30, &[&elements]))]))
}

fn with_data(data: &[u8]) -> Opened {
    let mut opened = Opened::of("EXCH01-raw");
    let field = element(0xa8, &[data]);
    opened.proof = edited(&opened.proof, &[0x62, 0x30], &|fields| [fields, &field].concat());
    opened
}

#[test]
fn reads_what_a_client_says_about_the_connection() {
    let said = |opened: &Opened| ClientSaid::read(&Authenticator::read(&opened.proof).unwrap());
    let options = |options: u32| options.to_le_bytes().to_vec();
    let windows = with_proof_data(&[
        (141, vec![1; 72]),
        (142, vec![2; 16]),
        (143, options(0xc000)),
        (144, utf16("HTTP/rms.contoso.test@CONTOSO.TEST")),
    ]);
    let target = Some("HTTP/rms.contoso.test@CONTOSO.TEST".to_owned());
    assert_eq!(said(&windows), Ok(ClientSaid { options: Some(0xc000), target }));
    let knows = |opened: &Opened| said(opened).unwrap().knows_bindings();
    assert!(!knows(&with_proof_data(&[(143, options(0x8000))])));
    // As it is, without AD-IF-RELEVANT around it; and not deeper than in one.
    let bare = authorization_element(143, &options(0x4000));
    assert!(knows(&with_data(&element(0x30, &[&bare]))));
    let inner = element(0x30, &[&authorization_element(1, &element(0x30, &[&bare]))]);
    assert!(!knows(&with_data(&element(0x30, &[&authorization_element(1, &inner)]))));
    let wrong = Err(Refused::Malformed { what: "authenticator" });
    for twisted in [vec![(143, vec![0, 0x40])], vec![(143, options(0)); 2]] {
        assert_eq!(said(&with_proof_data(&twisted)), wrong, "{twisted:?}");
    }
    for twisted in [vec![(144, vec![0x41])], vec![(144, utf16("HTTP/a")); 2], vec![(144, utf16("a\n"))]] {
        assert_eq!(said(&with_proof_data(&twisted)), wrong, "{twisted:?}");
    }
    let many = vec![(142, vec![0]); 33];
    assert_eq!(said(&with_proof_data(&many)), wrong);
    assert!(said(&with_proof_data(&many[1..])).is_ok());
}

#[test]
fn the_keys_in_a_ticket_and_a_proof_fit_each_other() {
    let mut short = Opened::of("EXCH01-raw");
    short.ticket = edited(&short.ticket, &[0x63, 0x30, 0xa1, 0x30, 0xa1, 4], &|_| vec![5; 16]);
    check_refused(&short.closed(), Refused::Malformed { what: "ticket's key" });
    // The bytes are right, and the type in front of them is another one.
    let token = Opened::of("EXCH01-raw").closed();
    for other in [17, 20, 23] {
        let token = edited(&token, &[0x60, 0x6e, 0x30, 0xa4, 0x30, 0xa0, 2], &|_| vec![other]);
        check_refused(&token, Refused::ProofWrong);
    }
}

#[test]
fn a_proof_without_a_whole_checksum_is_refused() {
    let mut none = Opened::of("EXCH01-raw");
    none.proof = edited(&none.proof, &[0x62, 0x30], &|fields| {
        let mut out = Vec::new();
        let mut reader = crate::identity::der::Reader::new(fields);
        while let Some((tag, contents)) = reader.element() {
            if tag != 0xa3 {
                out.extend(element(tag, &[contents]));
            }
        }
        out
    });
    check_refused(&none.closed(), Refused::NoGssChecksum);
    let cut = |bytes: usize| {
        let mut opened = Opened::of("EXCH01-raw");
        opened.proof =
            edited(&opened.proof, &[0x62, 0x30, 0xa3, 0x30, 0xa1, 4], &|checksum| checksum[..bytes].to_vec());
        opened.closed()
    };
    assert!(judge(&cut(24)).is_ok());
    for bytes in [23, 20, 19, 4, 0] {
        check_refused(&cut(bytes), Refused::NoGssChecksum);
    }
    // Delegated credentials and extensions have their form; nobody looks at what is in them.
    let followed = |flags: u32, rest: &[u8]| {
        let mut opened = Opened::of("EXCH01-raw");
        let checksum = |bytes: &[u8]| [&bytes[..20], &flags.to_le_bytes(), rest].concat();
        opened.proof = edited(&opened.proof, &[0x62, 0x30, 0xa3, 0x30, 0xa1, 4], &checksum);
        judge(&opened.closed()).is_ok()
    };
    let (credentials, extension) = ([1, 0, 3, 0, 7, 7, 7], [0, 0, 0, 2, 0, 0, 0, 1, 7]);
    assert!(followed(2, &[]) && followed(2, &extension) && followed(3, &credentials));
    assert!(followed(3, &[&credentials[..], &extension, &extension].concat()));
    for wrong in [&credentials[..6], &[], &[2, 0, 0, 0]] {
        assert!(!followed(3, wrong), "{wrong:x?}");
    }
    assert!(!followed(2, &extension[..8]) && !followed(2, &[7]));
    // As of DCE, with a leg more.
    assert!(!followed(0x1002, &[]));
}

/// What is not read has its form all the same, as MIT's acceptor would have it.
#[test]
fn what_counts_for_nothing_is_whole() {
    let ticket = Opened::of("EXCH01-raw").ticket;
    let reads = |field: u8, contents: &[u8]| {
        let ticket = edited(&ticket, &[0x63, 0x30, field], &|_| contents.to_vec());
        TicketPart::read(&ticket).is_some()
    };
    // Where it came through.
    let transited = [0x30, 9, 0xa0, 3, 2, 1, 1, 0xa1, 2, 4, 0];
    assert!(reads(0xa4, &transited));
    assert!(
        !reads(0xa4, &transited[2..])
            && !reads(0xa4, &[])
            && !reads(0xa4, &[&transited[..], &[5, 0]].concat())
    );
    let in_proof = |kind, bytes: &[u8]| judge(&with_proof_data(&[(kind, bytes.to_vec())]).closed()).is_ok();
    let list = element(0x30, &[&element(2, &[&[18]]), &element(2, &[&[17]])]);
    assert!(in_proof(129, &list) && in_proof(99, b"anything"));
    assert!(
        !in_proof(129, &element(0x30, &[&element(4, &[b"x"])])) && !in_proof(129, &element(0x30, &[&[2, 0]]))
    );
    assert!(!in_proof(129, &list[1..]) && !in_proof(129, &element(0x30, &[b"x"])));
    // Signed by a KDC for its own services.
    assert!(!in_proof(4, &element(0x30, &[])) && !in_proof(96, &element(0x30, &[])));
    assert!(in_proof(1, &element(0x30, &[])) && !in_proof(1, b"x"));
    let deep =
        (0..5).fold(element(0x30, &[]), |inner, _| element(0x30, &[&authorization_element(1, &inner)]));
    assert!(!in_proof(1, &deep));
}

#[test]
fn a_key_that_a_client_adds_is_one_of_aes() {
    let with_subkey = |etype: u8, bytes: usize| {
        let mut opened = Opened::of("EXCH01-raw");
        opened.proof = edited(&opened.proof, &[0x62, 0x30, 0xa6, 0x30, 0xa0, 2], &|_| vec![etype]);
        opened.proof = edited(&opened.proof, &[0x62, 0x30, 0xa6, 0x30, 0xa1, 4], &|_| vec![7; bytes]);
        judge(&opened.closed()).map(|_| ())
    };
    assert_eq!((with_subkey(18, 32), with_subkey(17, 16)), (Ok(()), Ok(())));
    assert_eq!(with_subkey(18, 31).unwrap_err(), Refused::Malformed { what: "client's own key" }.into());
    assert!(with_subkey(23, 16).unwrap_err().to_string().contains("client's own key"));
}

#[test]
fn numbers_and_names_in_a_proof_are_within_bounds() {
    let proof = Opened::of("EXCH01-raw").proof;
    let read = |path: &[u8], contents: &[u8]| {
        Authenticator::read(&edited(&proof, path, &|_| contents.to_vec())).is_some()
    };
    let microseconds = [0x62, 0x30, 0xa4, 2];
    assert!(read(&microseconds, &[0x0f, 0x42, 0x3f]));
    assert!(!read(&microseconds, &[0x0f, 0x42, 0x40]));
    assert!(!read(&microseconds, &[0xff]));
    let version = [0x62, 0x30, 0xa0, 2];
    assert!(read(&version, &[5]) && !read(&version, &[4]));
    let parts = |count: usize| element(0x1b, &[b"a"]).repeat(count);
    let name = [0x62, 0x30, 0xa2, 0x30, 0xa1, 0x30];
    assert!(read(&name, &parts(4)) && !read(&name, &parts(5)) && !read(&name, &parts(0)));
    // And in front of it all.
    let token = captured("EXCH01-raw");
    let request = |path: &[u8], number: u8| {
        let token = edited(&token, path, &|_| vec![number]);
        messages::unframe(&token).and_then(Request::read).is_some()
    };
    for (field, number) in [(0xa0, 5), (0xa1, 14)] {
        let path = [0x60, 0x6e, 0x30, field, 2];
        assert!(request(&path, number) && !request(&path, number + 1), "{field:x}");
    }
    let sequence = [0x62, 0x30, 0xa7, 2];
    assert!(read(&sequence, &[0, 0xff, 0xff, 0xff, 0xff]) && read(&sequence, &[0x80, 0, 0, 0]));
    assert!(!read(&sequence, &[1, 0, 0, 0, 0]) && !read(&sequence, &[0xff, 0x7f, 0xff, 0xff, 0xff]));
    let ticket_version = [&IN_TICKET[..6], &[0xa0, 2]].concat();
    assert!(request(&ticket_version, 5) && !request(&ticket_version, 4));
}

#[test]
fn an_account_for_which_there_is_no_room_has_to_wait() {
    let acceptor = Acceptor { replays: Mutex::new(replay::tests::full()), ..Acceptor::new(keytab()) };
    let refused = step(acceptor, &captured("EXCH01-raw")).unwrap_err();
    assert_eq!(refused, Refused::TooMany { account: "CONTOSO\\EXCH01$".into() }.into());
}

#[test]
fn a_proof_that_was_refused_is_not_remembered() {
    let acceptor = acceptor();
    let send = |policy| {
        let mut handshake = handshake(&acceptor, policy);
        handshake.step(Scheme::Negotiate, &captured("EXCH01-raw"), leg(MADE)).map(|_| ())
    };
    assert_eq!(send(ChannelBindingPolicy::Require), Err(Outer::ChannelBindingMissing));
    assert_eq!(send(ChannelBindingPolicy::Allow), Ok(()));
    assert_eq!(send(ChannelBindingPolicy::Allow), Err(Refused::Replayed.into()));
}

/// A stranger can cause the line in the log.
#[test]
fn a_refusal_names_few_services_and_not_much_of_a_wrong_one() {
    use super::super::keytab::tests::{entry, file};
    let entries: Vec<Vec<u8>> = (0..2_000)
        .map(|number| entry(&format!("HTTP/host{number}"), "CONTOSO.TEST", 1, 18, &[7; 32]))
        .collect();
    let parts = [b"HTTP".to_vec(), vec![b'a'; 255], vec![b'b'; 255], vec![b'c'; 255]];
    let parts: Vec<u8> = parts.iter().flat_map(|part| element(0x1b, &[part])).collect();
    let path = [&IN_TICKET[..6], &[0xa2, 0x30, 0xa1, 0x30]].concat();
    let token = edited(&captured("EXCH01-raw"), &path, &|_| parts.clone());
    let refused =
        step(Acceptor::new(Keytab::parse(&file(&entries)).unwrap()), &token).unwrap_err().to_string();
    assert!(refused.len() < 1_000, "{}", refused.len());
    assert!(refused.contains("HTTP/host9@CONTOSO.TEST and others"), "{refused}");
}

//! Tickets and proofs as somebody would make them who knows a key of ours: what the checks behind it refuse.

use super::super::keytab::tests::{entry, file};
use super::built::{IN_PROOF, IN_TICKET, Pac, TO_PAC, edited};
use super::*;

/// A captured token, opened with the keys that we have.
pub(super) struct Opened {
    token: Vec<u8>,
    pub(super) ticket: Vec<u8>,
    pub(super) proof: Vec<u8>,
}

impl Opened {
    pub(super) fn of(name: &str) -> Self {
        let token = captured(name);
        let request = request(&token);
        let ticket = service_key().decrypt(Usage::Ticket, request.ticket.encrypted.cipher).unwrap().to_vec();
        let cipher = request.authenticator.cipher;
        let mut opened = Opened { token: token.clone(), ticket, proof: Vec::new() };
        opened.proof = opened.session_key().decrypt(Usage::Authenticator, cipher).unwrap().to_vec();
        opened
    }

    pub(super) fn session_key(&self) -> Key {
        let ticket = TicketPart::read(&self.ticket).unwrap();
        let etype = Etype::of_number(ticket.key.etype).unwrap_or(Etype::Aes256Sha1);
        // Where a test spoils the key, the proof is made with another one, and never looked at.
        Key::new(etype, ticket.key.bytes).unwrap_or_else(|| Key::new(Etype::Aes256Sha1, &[0; 32]).unwrap())
    }

    /// How many bytes at the end of an AP-REP are its cipher.
    pub(super) fn reply_cipher_bytes(&self, reply: &[u8]) -> usize {
        (1..reply.len())
            .rev()
            .find(|bytes| self.session_key().decrypt(Usage::Reply, &reply[reply.len() - bytes..]).is_some())
            .unwrap()
    }

    /// The token with what was changed in it.
    pub(super) fn closed(&self) -> Vec<u8> {
        self.closed_with(&service_key())
    }

    /// The same, as if the service had another key.
    pub(super) fn closed_with(&self, key: &Key) -> Vec<u8> {
        let session_key = self.session_key();
        let ticket = key.encrypt(Usage::Ticket, &[4; 16], &self.ticket).unwrap();
        let proof = session_key.encrypt(Usage::Authenticator, &[5; 16], &self.proof).unwrap();
        let token = edited(&self.token, &[&IN_TICKET[..], &[0xa2, 4]].concat(), &|_| ticket.clone());
        let number = |key: &Key| vec![key.etype().number()];
        let token = edited(&token, &[&IN_TICKET[..], &[0xa0, 2]].concat(), &|_| number(key));
        let token = edited(&token, &[&IN_PROOF[..], &[0xa2, 4]].concat(), &|_| proof.clone());
        edited(&token, &[&IN_PROOF[..], &[0xa0, 2]].concat(), &|_| number(&session_key))
    }

    pub(super) fn pac(&self) -> Pac {
        let part = TicketPart::read(&self.ticket).unwrap();
        Pac::of(pac::find(part.authorization.unwrap()).unwrap())
    }

    /// Puts another one in its place, as it is.
    pub(super) fn set_pac(&mut self, pac: &[u8]) {
        self.ticket = edited(&self.ticket, &TO_PAC, &|_| pac.to_vec());
    }

    /// Signs the PAC again, as a KDC does.
    pub(super) fn sign(&mut self) {
        let pac = self.pac().signed(&service_key());
        self.set_pac(&pac.bytes());
    }
}

fn request(token: &[u8]) -> Request<'_> {
    Request::read(messages::unframe(token).unwrap()).unwrap()
}

pub(super) fn service_key() -> Key {
    let keytab = keytab();
    let name = ["HTTP".to_owned(), "rms.contoso.test".into()];
    let keys = keytab.of(&name, "CONTOSO.TEST");
    keys.iter().find(|key| key.key.etype() == Etype::Aes256Sha1).unwrap().key.clone()
}

/// Puts bytes in the place of others of the same length, wherever they are.
pub(super) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "{from:02x?} is nowhere");
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to);
    }
}

#[track_caller]
fn check(change: impl Fn(&mut Opened), wanted: Result<(), Refused>) {
    let mut opened = Opened::of("EXCH01-raw");
    change(&mut opened);
    let came = judge(&opened.closed()).map(|_| ());
    assert_eq!(came, wanted.map_err(Outer::from));
}

#[test]
fn what_is_only_closed_again_is_taken() {
    check(|_| (), Ok(()));
    check(Opened::sign, Ok(()));
}

#[test]
fn the_proof_must_name_the_tickets_client() {
    check(|it| replace(&mut it.proof, b"EXCH01$", b"EXCH02$"), Err(Refused::OtherClient));
    check(|it| replace(&mut it.ticket, b"EXCH01$", b"EXCH02$"), Err(Refused::OtherClient));
    check(|it| replace(&mut it.proof, b"CONTOSO.TEST", b"FABRIKA.TEST"), Err(Refused::OtherClient));
}

#[test]
fn the_proof_must_be_of_now() {
    let skew = |side| Refused::ClockSkew { seconds: 3_600, side };
    check(|it| replace(&mut it.proof, b"20261121115004Z", b"20261121125004Z"), Err(skew("ahead of")));
    check(|it| replace(&mut it.proof, b"20261121115004Z", b"20261121105004Z"), Err(skew("behind")));
}

#[test]
fn the_proof_must_be_one_of_gss() {
    check(|it| replace(&mut it.proof, &[2, 3, 0, 0x80, 3], &[2, 3, 0, 0x80, 4]), Err(Refused::NoGssChecksum));
    check(|it| replace(&mut it.proof, &[16, 0, 0, 0], &[17, 0, 0, 0]), Err(Refused::NoGssChecksum));
}

#[test]
fn the_proof_must_be_made_with_the_tickets_key() {
    let mut opened = Opened::of("EXCH01-raw");
    let other = Opened::of("EXCH01-mutual");
    // The ticket of one and the proof of another login: whoever stole a ticket has no more than that.
    let key = opened.session_key().bytes().to_vec();
    replace(&mut opened.ticket, &key, &[7; 32]);
    let (ours, theirs) = (request(&opened.token).authenticator, request(&other.token).authenticator);
    let mut token = opened.closed();
    let sealed = request(&token).authenticator.cipher.to_vec();
    assert_eq!(ours.cipher.len(), theirs.cipher.len());
    replace(&mut token, &sealed, theirs.cipher);
    assert_eq!(judge(&token).unwrap_err(), Refused::ProofWrong.into());
}

#[test]
fn a_ticket_that_is_marked_invalid_is_refused() {
    let mut opened = Opened::of("EXCH01-raw");
    let flags = TicketPart::read(&opened.ticket).unwrap().flags;
    replace(&mut opened.ticket, &flags.to_be_bytes(), &(flags | INVALID).to_be_bytes());
    assert_eq!(judge(&opened.closed()).unwrap_err(), Refused::MarkedInvalid.into());
}

#[test]
fn a_ticket_of_our_own_is_not_used() {
    let mut token = captured("EXCH01-raw");
    replace(&mut token, &[0xa2, 7, 3, 5, 0, 0x20, 0, 0, 0], &[0xa2, 7, 3, 5, 0, 0x60, 0, 0, 0]);
    assert_eq!(judge(&token).unwrap_err(), Refused::UserToUser.into());
}

#[test]
fn the_pac_must_be_there_and_be_signed_with_our_key() {
    let one_sid = [1, 1, 0, 0, 0, 0, 0, 18, 1, 0, 0, 0];
    let another = [1, 1, 0, 0, 0, 0, 0, 18, 3, 0, 0, 0];
    check(|it| replace(&mut it.ticket, &one_sid, &another), Err(PacError::NotSigned.into()));
    let changed_and_signed = |it: &mut Opened| {
        replace(&mut it.ticket, &one_sid, &another);
        it.sign();
    };
    check(changed_and_signed, Ok(()));
    check(
        |it| replace(&mut it.ticket, &[0xa0, 4, 2, 2, 0, 0x80], &[0xa0, 4, 2, 2, 0, 0x82]),
        Err(PacError::Missing.into()),
    );
}

#[test]
fn the_pac_must_be_of_the_same_login() {
    let change = |it: &mut Opened, from: &[u8], to: &[u8]| {
        replace(&mut it.ticket, from, to);
        it.sign();
    };
    // The name in CLIENT_INFO has its length in front; those in LOGON_INFO have not.
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let named = |name: &str| [&[14, 0][..], &utf16(name)].concat();
    check(|it| change(it, &named("EXCH01$"), &named("EXCH02$")), Err(PacError::OtherClient.into()));
    check(
        |it| change(it, b"\xa5\x11\x18\x0f20261121115003Z", b"\xa5\x11\x18\x0f20261121115002Z"),
        Err(PacError::OtherClient.into()),
    );
}

#[test]
fn a_ticket_that_a_service_asked_for_is_refused() {
    let by_a_service = |it: &mut Opened| {
        replace(
            &mut it.ticket,
            &[1, 1, 0, 0, 0, 0, 0, 18, 1, 0, 0, 0],
            &[1, 1, 0, 0, 0, 0, 0, 18, 2, 0, 0, 0],
        );
        it.sign();
    };
    check(by_a_service, Err(Refused::OnBehalf { account: "CONTOSO\\EXCH01$".into() }));
}

#[test]
fn a_group_that_does_not_count_is_none() {
    let mut opened = Opened::of("EXCH01-raw");
    let of_group = |attributes: u8| [&1110u32.to_le_bytes()[..], &[attributes, 0, 0, 0]].concat();
    replace(&mut opened.ticket, &of_group(7), &of_group(0x17));
    opened.sign();
    assert!(!judge(&opened.closed()).unwrap().account.groups.contains(&sid(1110)));
}

/// What a node with other keys makes of a captured token.
fn judged_with(keytab: &[Vec<u8>], token: &str) -> Result<(), String> {
    let acceptor = Arc::new(Acceptor::new(Keytab::parse(&file(keytab)).unwrap()));
    let step = handshake(&acceptor, ChannelBindingPolicy::Allow).step(
        Scheme::Negotiate,
        &captured(token),
        leg(MADE),
    );
    step.map(|_| ()).map_err(|refused| refused.to_string())
}

#[test]
fn old_and_new_keys_are_used_together_and_a_missing_one_is_named() {
    let ours = service_key().bytes().to_vec();
    let key = |version, bytes: &[u8]| entry("HTTP/rms.contoso.test", "CONTOSO.TEST", version, 18, bytes);
    assert_eq!(judged_with(&[key(3, &[1; 32]), key(2, &ours), key(1, &[2; 32])], "EXCH01-raw"), Ok(()));
    let refused = judged_with(&[key(3, &[1; 32])], "EXCH01-raw").unwrap_err();
    for words in ["no key of HTTP/rms.contoso.test@CONTOSO.TEST", "sha1-96 version 2,", "sha1-96 version 3"] {
        assert!(refused.contains(words), "{refused}");
    }
    let elsewhere = entry("HTTP/rms.contoso.test", "FABRIKAM.TEST", 2, 18, &ours);
    assert!(judged_with(&[elsewhere], "EXCH01-raw").unwrap_err().contains("the ticket is for"));
}

#[test]
fn rc4_is_refused_and_says_what_to_do() {
    let aes = entry("HTTP/weak.contoso.test", "CONTOSO.TEST", 2, 18, &[0; 32]);
    let refused = judged_with(&[aes], "EXCH01-weak").unwrap_err();
    for words in ["encryption type 23", "AES", "msDS-SupportedEncryptionTypes"] {
        assert!(refused.contains(words), "{refused}");
    }
    // And a key of RC4 in an AES ticket.
    let mut opened = Opened::of("EXCH01-raw");
    replace(&mut opened.ticket, &[0xa0, 3, 2, 1, 18, 0xa1, 34], &[0xa0, 3, 2, 1, 23, 0xa1, 34]);
    let token = {
        let request = request(&opened.token);
        let mut token = opened.token.clone();
        let sealed = service_key().encrypt(Usage::Ticket, &[4; 16], &opened.ticket).unwrap();
        replace(&mut token, request.ticket.encrypted.cipher, &sealed);
        token
    };
    assert!(judge(&token).unwrap_err().to_string().contains("the ticket's key is of encryption type 23"));
}

//! Damaged tokens, and damaged insides of tickets: never a panic, and never another account.

use super::super::logon_info::LogonInfo;
use super::forged::Opened;
use super::*;
use crate::identity::tests::fuzzer::Numbers;

pub(super) const TOKENS: [&str; 3] = ["EXCH01-raw", "EXCH01-spnego", "alice-mutual"];

/// Judges a mutant: whether it was let in, which it may be only as the account that its ticket names.
fn let_in(name: &str, mutant: &[u8]) -> bool {
    let mut handshake = handshake(&acceptor(), ChannelBindingPolicy::Allow);
    let Ok(Step::Ticket(proven)) = handshake.step(Scheme::Negotiate, mutant, leg(MADE)) else { return false };
    let honest = judge(&captured(name)).unwrap();
    assert_eq!((&proven.account, proven.bound), (&honest.account, honest.bound), "{mutant:02x?}");
    assert!(proven.service.eq_ignore_ascii_case(&honest.service), "{mutant:02x?}");
    true
}

#[test]
fn cut_tokens_and_tokens_with_a_tail_are_refused() {
    for name in TOKENS {
        let token = captured(name);
        assert!(let_in(name, &token));
        for cut in 0..token.len() {
            assert!(!let_in(name, &token[..cut]), "{name} cut at {cut}");
        }
        for tail in [&[0u8][..], &[0; 8], &[0x30, 0], &[0x05, 0]] {
            assert!(!let_in(name, &[&token, tail].concat()), "{name}, {tail:x?}");
        }
    }
}

/// Only what nobody proves may be changed: the type of a name, the key version, the case of the service, the
/// wish for an answer, and in SPNEGO the mechanisms after the first. That is less than 60 bits in places.
#[test]
fn a_flipped_bit_lets_nobody_else_in() {
    for name in TOKENS {
        let token = captured(name);
        let mut harmless = 0;
        for at in 0..token.len() {
            let mut mutant = token.clone();
            mutant[at] ^= 1 << (at % 8);
            harmless += usize::from(let_in(name, &mutant));
        }
        assert!(harmless < 60, "{name}: {harmless}");
    }
}

#[test]
fn every_bit_of_the_ciphers_counts() {
    let token = captured("EXCH01-raw");
    let request = Request::read(messages::unframe(&token).unwrap()).unwrap();
    for cipher in [request.ticket.encrypted.cipher, request.authenticator.cipher] {
        let begin = cipher.as_ptr() as usize - token.as_ptr() as usize;
        for at in begin..begin + cipher.len() {
            let mut mutant = token.clone();
            mutant[at] ^= 1 << (at % 8);
            assert!(!let_in("EXCH01-raw", &mutant), "byte {at}");
        }
    }
}

#[test]
fn damaged_tokens_prove_nothing_new() {
    let mut numbers = Numbers(20_261_121);
    for name in TOKENS {
        let token = captured(name);
        for _ in 0..1_500 {
            let mut mutant = token.clone();
            // Mostly in the first bytes, where the lengths and tags are.
            for _ in 0..1 + numbers.below(4) {
                let within = if numbers.below(3) == 0 { mutant.len() } else { 200 };
                mutant[numbers.below(within)] = numbers.below(256) as u8;
            }
            let_in(name, &mutant);
        }
    }
}

#[test]
fn noise_is_refused() {
    let mut numbers = Numbers(7);
    let token = captured("EXCH01-raw");
    for round in 0..4_000 {
        let mut noise = token[..round % 60].to_vec();
        let length = numbers.below(300);
        noise.extend((0..length).map(|_| numbers.below(256) as u8));
        assert!(!let_in("EXCH01-raw", &noise));
    }
    for head in [&[0x60, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0xa1; 10], &[0x60], &[]] {
        assert!(!let_in("EXCH01-raw", head));
    }
}

/// Changes bytes in all the ways above, and gives each outcome to a parser.
fn damage(bytes: &[u8], parse: impl Fn(&[u8])) {
    let mut numbers = Numbers(11);
    for cut in 0..bytes.len() {
        parse(&bytes[..cut]);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1 << (at % 8)] {
            let mut mutant = bytes.to_vec();
            mutant[at] = value;
            parse(&mutant);
        }
    }
    for _ in 0..5_000 {
        let mut mutant = bytes.to_vec();
        for _ in 0..1 + numbers.below(8) {
            let at = numbers.below(mutant.len());
            mutant[at] = numbers.below(256) as u8;
        }
        parse(&mutant);
    }
}

/// These parsers see only what a KDC signed; they must not panic for all that.
#[test]
fn the_insides_of_tickets_are_parsed_without_panic() {
    for name in ["EXCH01-raw", "alice-mutual"] {
        let opened = Opened::of(name);
        damage(&opened.proof, |bytes| {
            if let Some(proof) = Authenticator::read(bytes) {
                let channel = Channel { policy: ChannelBindingPolicy::Allow, binding: None };
                let _ = ClientSaid::read(&proof).map(|said| check_binding(&proof, &said, &channel));
            }
        });
        let part = TicketPart::read(&opened.ticket).unwrap();
        let pac = pac::find(part.authorization.unwrap()).unwrap();
        damage(&opened.ticket, |bytes| {
            if let Some(part) = TicketPart::read(bytes) {
                let _ = part.authorization.map(pac::find);
            }
        });
        damage(pac, |bytes| {
            let ticket = pac::Ticket { client: "EXCH01$", authenticated: part.authenticated };
            let _ = pac::read_unsigned(bytes, &ticket);
        });
    }
}

/// The account and its groups alone: every byte of it, in a PAC that is signed again.
#[test]
fn damaged_group_lists_are_parsed_without_panic() {
    let opened = Opened::of("EXCH01-raw");
    let part = TicketPart::read(&opened.ticket).unwrap();
    let pac = pac::find(part.authorization.unwrap()).unwrap();
    let row = (8..).step_by(16).find(|at| pac::number(pac, *at) == Some(1)).unwrap();
    let place = |at: usize| pac::number(pac, row + at).unwrap() as usize;
    let info = &pac[place(8)..place(8) + place(4)];
    assert!(LogonInfo::read(info).is_some());
    damage(info, |bytes| drop(LogonInfo::read(bytes)));
}

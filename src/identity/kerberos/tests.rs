//! Real tickets of a real domain, at the time when they were made, and damaged ones.

mod built;
mod claims;
mod forged;
mod fuzz;
mod mutants;
mod proof;
mod replaced;

use super::super::spnego;
use super::super::{Bound, Handshake, Refused as Outer, Scheme, Settings, Step, TicketProven};
use super::*;
use crate::principal::Sid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// When the tokens were made.
const MADE: u64 = 1_795_261_804;
/// Its domain.
const DOMAIN: &str = "S-1-5-21-868283867-2913998694-3021302723";

/// What a client sent then.
fn captured(name: &str) -> Vec<u8> {
    let found = include_str!("tests/captured.txt").lines().find_map(|line| {
        let (found, base64) = line.split_once(' ')?;
        (found == name).then(|| STANDARD.decode(base64).unwrap())
    });
    found.unwrap_or_else(|| panic!("no {name}"))
}

fn keytab() -> Keytab {
    Keytab::parse(&captured("keytab")).unwrap()
}

fn acceptor() -> Arc<Acceptor> {
    Arc::new(Acceptor::new(keytab()))
}

fn leg(seconds: u64) -> Leg {
    Leg { challenge: [1; 8], random: [9; 52], now: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
}

fn handshake(acceptor: &Arc<Acceptor>, policy: ChannelBindingPolicy) -> Handshake {
    let settings = Settings::new("LAB", "NODE1", "lab.test", policy).unwrap();
    Handshake::new(Arc::new(settings.with_kerberos(acceptor.clone())), None)
}

/// What a node that has seen nothing makes of a token, so many seconds after it was made.
fn judge_at(token: &[u8], later: i64) -> Result<TicketProven, Outer> {
    let mut handshake = handshake(&acceptor(), ChannelBindingPolicy::Allow);
    match handshake.step(Scheme::Negotiate, token, leg(MADE.checked_add_signed(later).unwrap()))? {
        Step::Ticket(proven) => Ok(*proven),
        step => panic!("{step:?}"),
    }
}

fn judge(token: &[u8]) -> Result<TicketProven, Outer> {
    judge_at(token, 0)
}

fn sid(rid: u32) -> Sid {
    format!("{DOMAIN}-{rid}").parse().unwrap()
}

#[test]
fn lets_a_computer_in_with_its_nested_groups() {
    let proven = judge(&captured("EXCH01-raw")).unwrap();
    assert_eq!(proven.account.name.to_string(), "CONTOSO\\EXCH01$");
    assert_eq!(proven.account.sid, sid(1108));
    // Exchange Servers, RMS Servers, RMS Everything: a universal group in two domain-local ones.
    for rid in [1110, 1111, 1112, 515] {
        assert!(proven.account.groups.contains(&sid(rid)), "{:?}", proven.account.groups);
    }
    // The account has proven itself (S-1-18-1), as everybody has: that is no group.
    assert!(proven.account.groups.iter().all(|group| group.to_string().starts_with(DOMAIN)));
    assert_eq!(proven.service, "HTTP/rms.contoso.test@CONTOSO.TEST");
    assert_eq!(proven.bound, Bound::NotSent);
}

#[test]
fn answers_nothing_to_a_client_that_does_not_ask_for_a_proof() {
    let mut token = captured("EXCH01-raw");
    forged::replace(&mut token, &[0xa2, 7, 3, 5, 0, 0x20, 0, 0, 0], &[0xa2, 7, 3, 5, 0, 0, 0, 0, 0]);
    assert_eq!(judge(&token).unwrap().reply, None);
}

#[test]
fn proves_itself_to_a_client_that_asks() {
    let proven = judge(&captured("EXCH01-mutual")).unwrap();
    let reply = proven.reply.unwrap();
    // What the client does: it opens the answer with the ticket's key, and finds its own time in it.
    let opened = forged::Opened::of("EXCH01-mutual");
    let proof = Authenticator::read(&opened.proof).unwrap();
    let key = opened.session_key();
    let at = reply.len() - opened.reply_cipher_bytes(&reply);
    let part = key.decrypt(Usage::Reply, &reply[at..]).unwrap();
    let wanted = messages::write_reply_part(&proof, Some((18, &[9; 32])), Some(0x0909_0909));
    assert_eq!(*part, wanted);
}

#[test]
fn answers_inside_spnego_in_the_words_of_the_client() {
    let proven = judge(&captured("EXCH01-spnego")).unwrap();
    let reply = proven.reply.unwrap();
    let Some(spnego::Token::Response(response)) = spnego::parse(&reply) else { panic!("no response") };
    assert_eq!((response.state, response.mech), (Some(0), Some(messages::KERBEROS)));
    assert_eq!(response.mech_list_mic, None);
    assert!(messages::is_framed(response.token.unwrap()));
}

#[test]
fn takes_a_thousand_groups() {
    let token = captured("crowd-spnego");
    assert!(token.len() > 9_000);
    let groups = judge(&token).unwrap().account.groups;
    for rid in [1115, 2114] {
        assert!(groups.contains(&sid(rid)));
    }
    assert_eq!(groups.iter().filter(|group| group.to_string().starts_with(DOMAIN)).count(), 1_001);
}

#[test]
fn says_by_how_much_a_clock_or_a_ticket_is_off() {
    let check = |later: i64, wanted: &str| {
        let refused = judge_at(&captured("EXCH01-raw"), later).unwrap_err().to_string();
        assert_eq!(refused, format!("Kerberos: {wanted}"));
    };
    assert!(judge_at(&captured("EXCH01-raw"), 300).is_ok());
    assert!(judge_at(&captured("EXCH01-raw"), -300).is_ok());
    check(301, "the client's clock is 301 s behind ours; at most 300 s are allowed");
    check(-301, "the ticket begins in 301 s");
    check(12 * 3_600, "the ticket ended 7201 s ago");
}

#[test]
fn takes_a_proof_once() {
    let acceptor = acceptor();
    let again = |token: &str, later: u64| {
        let mut handshake = handshake(&acceptor, ChannelBindingPolicy::Allow);
        handshake.step(Scheme::Negotiate, &captured(token), leg(MADE + later)).map(|_| ())
    };
    assert_eq!(again("EXCH01-raw", 0), Ok(()));
    assert_eq!(again("EXCH01-raw", 0), Err(Refused::Replayed.into()));
    assert_eq!(again("EXCH01-raw", 299), Err(Refused::Replayed.into()));
    assert_eq!(again("EXCH01-mutual", 299), Ok(()));
    // Raw and inside SPNEGO it would be the same proof; another one is not.
    assert_eq!(again("EXCH01-spnego", 0), Ok(()));
    assert_eq!(again("EXCH01-spnego", 0), Err(Refused::Replayed.into()));
}

#[test]
fn holds_the_binding_against_the_connection() {
    use ChannelBindingPolicy::{Allow, Off, Require};
    let binding = |first: u8| {
        let hash: Vec<u8> = (first..first + 32).collect();
        ChannelBinding::of_application_data(&[b"tls-server-end-point:", &hash[..]].concat())
    };
    let check = |policy, ours: Option<u8>, token: &str, wanted: Result<Bound, Outer>| {
        let settings = Settings::new("LAB", "NODE1", "lab.test", policy).unwrap();
        let mut handshake = Handshake::new(Arc::new(settings.with_kerberos(acceptor())), ours.map(binding));
        let bound = match handshake.step(Scheme::Negotiate, &captured(token), leg(MADE)) {
            Ok(Step::Ticket(proven)) => Ok(proven.bound),
            Ok(step) => panic!("{step:?}"),
            Err(refused) => Err(refused),
        };
        assert_eq!(bound, wanted, "{policy:?} {ours:?} {token}");
    };
    check(Allow, Some(0), "EXCH01-bound", Ok(Bound::ToChannel));
    check(Require, Some(0), "EXCH01-bound", Ok(Bound::ToChannel));
    check(Allow, Some(1), "EXCH01-bound", Err(Outer::ChannelBindingDiffers));
    check(Allow, None, "EXCH01-bound", Err(Outer::ChannelBindingDiffers));
    check(Off, Some(1), "EXCH01-bound", Ok(Bound::NotChecked));
    check(Allow, Some(0), "EXCH01-spnego", Ok(Bound::NotSent));
    check(Require, Some(0), "EXCH01-spnego", Err(Outer::ChannelBindingMissing));
    check(Require, None, "EXCH01-spnego", Err(Outer::ChannelBindingMissing));
}

/// A client that knows of bindings and sends none sees no TLS: over ours, somebody is in between.
#[test]
fn a_client_that_knows_of_bindings_must_send_one_over_tls() {
    use ChannelBindingPolicy::{Allow, Off, Require};
    const MADE_LATER: u64 = 1_795_264_141;
    let check = |policy, tls: bool, wanted: Result<Bound, Outer>| {
        let settings = Settings::new("LAB", "NODE1", "lab.test", policy).unwrap();
        let binding = tls.then(|| ChannelBinding::of_application_data(b"tls-server-end-point:"));
        let mut handshake = Handshake::new(Arc::new(settings.with_kerberos(acceptor())), binding);
        let bound = match handshake.step(Scheme::Negotiate, &captured("EXCH01-aware"), leg(MADE_LATER)) {
            Ok(Step::Ticket(proven)) => Ok(proven.bound),
            Ok(step) => panic!("{step:?}"),
            Err(refused) => Err(refused),
        };
        assert_eq!(bound, wanted, "{policy:?} {tls}");
    };
    check(Allow, true, Err(Outer::ChannelBindingMissing));
    check(Allow, false, Ok(Bound::NotSent));
    check(Off, true, Ok(Bound::NotChecked));
    check(Require, true, Err(Outer::ChannelBindingMissing));
}

/// Windows offers Kerberos under its own number first, and NTLM last.
#[test]
fn answers_windows_under_the_number_that_it_offers_first() {
    let offer = [messages::KERBEROS_OF_WINDOWS, messages::KERBEROS, spnego::NTLM];
    let token = spnego::client::init(&offer, Some(&captured("EXCH01-raw")));
    let reply = judge(&token).unwrap().reply.unwrap();
    let Some(spnego::Token::Response(response)) = spnego::parse(&reply) else { panic!("no response") };
    assert_eq!((response.state, response.mech), (Some(0), Some(messages::KERBEROS_OF_WINDOWS)));
}

#[test]
fn takes_no_ticket_of_another_service_and_none_without_a_keytab() {
    let refused = judge(&captured("EXCH01-other")).unwrap_err().to_string();
    let known = "HTTP/localhost@CONTOSO.TEST, HTTP/rms.contoso.test@CONTOSO.TEST";
    let service = "HTTP/rms-old.contoso.test@CONTOSO.TEST";
    assert_eq!(refused, format!("Kerberos: the ticket is for {service}; the keytab has {known}"));
    let settings = Settings::new("LAB", "NODE1", "lab.test", ChannelBindingPolicy::Allow).unwrap();
    let mut without = Handshake::new(Arc::new(settings), None);
    for token in ["EXCH01-raw", "EXCH01-spnego"] {
        let refused = without.step(Scheme::Negotiate, &captured(token), leg(MADE)).unwrap_err();
        assert_eq!(refused, Outer::NoMechanismInCommon);
    }
    // Kerberos is for Negotiate alone.
    let mut handshake = handshake(&acceptor(), ChannelBindingPolicy::Allow);
    assert!(handshake.step(Scheme::Ntlm, &captured("EXCH01-raw"), leg(MADE)).is_err());
}

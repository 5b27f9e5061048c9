//! Mutants of tokens, of their insides and of keytabs: no panic, no other account, and one reading of everything.

use super::super::keytab::tests::{entry, file};
use super::forged::{Opened, service_key};
use super::mutants::TOKENS;
use super::*;
use crate::identity::tests::fuzzer;

/// What came of a token; it may prove only the account that it is made of.
fn judged(token: &[u8], honest: &[TicketProven]) -> String {
    match judge(token) {
        Err(refused) => refused.to_string().chars().filter(|char| !char.is_ascii_digit()).take(60).collect(),
        Ok(proven) => {
            let same =
                |honest: &TicketProven| (&honest.account, honest.bound) == (&proven.account, proven.bound);
            assert!(honest.iter().any(same), "{proven:?}");
            "taken".into()
        }
    }
}

#[test]
fn ap_req() {
    let corpus: Vec<Vec<u8>> = TOKENS.iter().map(|name| captured(name)).collect();
    let honest: Vec<TicketProven> = corpus.iter().map(|token| judge(token).unwrap()).collect();
    fuzzer::run("ap_req", corpus, |token| judged(token, &honest));
}

/// As somebody would who has our key: the parsers behind the ciphers are reached.
#[test]
fn inside_of_a_ticket() {
    let corpus = ["EXCH01-raw", "alice-mutual"].map(|name| Opened::of(name).ticket);
    fuzzer::run("ticket", corpus.to_vec(), |ticket| {
        TicketPart::read(ticket).map_or_else(
            || "none".into(),
            |part| {
                let name = |bytes: Option<&[u8]>| bytes.map(|bytes| pac::find(bytes).map(<[u8]>::len));
                format!("{:?} {:?}", part.client.name.len(), name(part.authorization).map(|it| it.is_ok()))
            },
        )
    });
}

#[test]
fn inside_of_a_proof() {
    let channel = Channel { policy: ChannelBindingPolicy::Allow, binding: None };
    let corpus = ["EXCH01-raw", "EXCH01-mutual", "alice-mutual"].map(|name| Opened::of(name).proof);
    fuzzer::run("proof", corpus.to_vec(), |proof| {
        Authenticator::read(proof).map_or_else(
            || "none".into(),
            |proof| {
                let said = ClientSaid::read(&proof).map(|said| check_binding(&proof, &said, &channel));
                format!("{said:?} {} {:?}", proof.subkey.is_some(), proof.sequence.map(i64::signum))
            },
        )
    });
}

/// Signed as a KDC does it, and as it is: a signature that holds is one of these very bytes.
#[test]
fn pac_of_a_ticket() {
    let key = service_key();
    let pacs = ["EXCH01-raw", "alice-mutual"].map(|name| {
        let opened = Opened::of(name);
        let part = TicketPart::read(&opened.ticket).unwrap();
        let bytes = pac::find(part.authorization.unwrap()).unwrap().to_vec();
        (bytes, part.client.name.join("/"), part.authenticated)
    });
    let corpus = pacs.iter().map(|(bytes, ..)| bytes.clone()).collect();
    let said =
        |ticket: &pac::Ticket<'_>, bytes: &[u8]| pac::read(bytes, &key, ticket).map(|said| said.info.sid);
    fuzzer::run("pac", corpus, |bytes| {
        let mut outcome = String::new();
        for (honest, client, authenticated) in &pacs {
            let ticket = pac::Ticket { client, authenticated: *authenticated };
            if let Ok(sid) = said(&ticket, bytes) {
                assert_eq!(Ok(sid), said(&ticket, honest), "another account");
            }
            let unsigned = pac::read_unsigned(bytes, &ticket);
            outcome += &match unsigned {
                Ok(info) => format!("{} groups ", info.groups.len()),
                Err(error) => error.to_string(),
            };
        }
        outcome
    });
}

/// What was read of a keytab is read again alike when it is written.
#[test]
fn keytab_files() {
    let key = |spn, realm, version, etype, bytes: usize| entry(spn, realm, version, etype, &vec![7; bytes]);
    let mixed = file(&[
        key("HTTP/rms.contoso.test", "CONTOSO.TEST", 300, 17, 16),
        key("HTTP/rms.fabrikam.test", "FABRIKAM.TEST", 1, 20, 32),
        key("host/rms.contoso.test", "CONTOSO.TEST", 1, 23, 16),
    ]);
    fuzzer::run("keytab", vec![captured("keytab"), mixed], |bytes| {
        let read = match Keytab::parse(bytes) {
            Err(error) => return error.to_string(),
            Ok(read) => read,
        };
        let entries: Vec<Vec<u8>> = read
            .keys
            .iter()
            .map(|key| {
                let etype = key.key.etype().number().into();
                entry(&key.name.join("/"), &key.realm, key.version, etype, key.key.bytes())
            })
            .collect();
        let again = Keytab::parse(&file(&entries)).expect("it is one");
        let said = |keytab: &Keytab| {
            let keys = keytab.keys.iter().map(|key| (key.to_string(), key.version, key.key.bytes().to_vec()));
            keys.collect::<Vec<_>>()
        };
        assert_eq!(said(&again), said(&read));
        format!("{} {}", read.keys.len(), read.left_out.len())
    });
}

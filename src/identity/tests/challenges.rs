//! Challenges of a hostile server: whatever it says, the proof is bound to where the client believes itself to be.

use super::*;
use crate::identity::ntlm::messages::{Authenticate, write_challenge};
use crate::identity::ntlm::target_info::FLAG_MIC;
use crate::identity::ntlm_client::ClientError;
use crate::identity::tests::fuzzer;

const TARGET: &str = "HTTP/rms.lab.test";
const GRANTED: u32 = Flags::UNICODE
    | Flags::SIGN
    | Flags::NTLM
    | Flags::EXTENDED_SESSION_SECURITY
    | Flags::TARGET_INFO
    | Flags::KEY_128
    | Flags::KEY_EXCHANGE;

fn pairs(list: &[(u16, &[u8])]) -> Vec<u8> {
    let mut info = TargetInfo::read(&[0; 4]).unwrap();
    list.iter().for_each(|(id, value)| info.set(*id, value.to_vec()));
    info.encode()
}

fn challenge(flags: u32, info: &[u8]) -> Vec<u8> {
    write_challenge(Flags(flags), b"8 bytes!", &utf16("LAB"), info)
}

fn answer(challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
    let binding = binding(1);
    let server = Server { target: TARGET, binding: Some(&binding) };
    client(PASSWORD).authenticate(challenge, &nonces(), server)
}

/// The client's whole answer, read as a server reads it, says exactly what the client meant.
fn check_bound(message: &[u8]) {
    let read = Authenticate::read(message).unwrap();
    assert_eq!((&*read.domain, &*read.user), ("LAB", "exch01$"));
    // [MS-NLMP] 2.2.2.7: the client's own bytes are where a server looks for them.
    assert_eq!(read.nt_response[32..40], nonces().client_challenge);
    let said = TargetInfo::read(keys::blob(read.nt_response).unwrap().target_info).unwrap();
    assert_eq!(said.get(AvId::CHANNEL_BINDINGS), Some(&binding(1).bytes()[..]));
    assert_eq!(said.get(AvId::TARGET_NAME), Some(&utf16(TARGET)[..]));
    assert_eq!(said.flags().unwrap(), FLAG_MIC);
    assert!(read.mic().is_ok());
}

/// The pairs of a server to which somebody passes the proof on, after what would be the rest of a blob.
fn smuggled() -> Vec<u8> {
    let theirs = pairs(&[
        (AvId::TIMESTAMP, &[1; 8]),
        (AvId::CHANNEL_BINDINGS, &[9; 16]),
        (AvId::TARGET_NAME, &utf16("ldap/victim")),
    ]);
    [&[1; 8][..], &[7; 8], &[0; 4], &theirs].concat()
}

#[test]
fn refuses_a_time_that_is_none() {
    assert!(smuggled().len() >= 60);
    for time in [&smuggled()[..], &[], &[1; 7], &[1; 9]] {
        let info = pairs(&[(AvId::DOMAIN, &utf16("LAB")), (AvId::TIMESTAMP, time)]);
        let refused = answer(&challenge(GRANTED, &info));
        assert!(matches!(refused, Err(ClientError::NotAChallenge { .. })), "{} bytes", time.len());
    }
    assert!(answer(&challenge(GRANTED, &pairs(&[(AvId::DOMAIN, &utf16("LAB"))]))).is_err());
    check_bound(&answer(&challenge(GRANTED, &pairs(&[(AvId::TIMESTAMP, &[1; 8])]))).unwrap());
}

#[test]
fn refuses_other_lengths_and_says_nothing_back_that_it_does_not_know() {
    let with = |id, value: &[u8]| challenge(GRANTED, &pairs(&[(AvId::TIMESTAMP, &[1; 8]), (id, value)]));
    for (id, bytes) in [(AvId::FLAGS, 5), (AvId::CHANNEL_BINDINGS, 20), (AvId::SINGLE_HOST, 8)] {
        assert!(answer(&with(id, &vec![2; bytes])).is_err(), "{id} of {bytes} bytes");
    }
    assert!(answer(&with(AvId::DNS_TREE, &[0; 1026])).is_err());
    for (id, bytes) in [(AvId::FLAGS, 4), (AvId::CHANNEL_BINDINGS, 16), (AvId::TARGET_NAME, 4), (77, 8)] {
        let message = answer(&with(id, &vec![2; bytes])).unwrap();
        check_bound(&message);
        let read = Authenticate::read(&message).unwrap();
        let said = TargetInfo::read(keys::blob(read.nt_response).unwrap().target_info).unwrap();
        assert!(said.get(77).is_none());
    }
}

#[test]
fn refuses_what_is_too_long_or_too_weak() {
    let good = pairs(&[(AvId::TIMESTAMP, &[1; 8])]);
    let long = [challenge(GRANTED, &good), vec![0; 8 << 10]].concat();
    assert_eq!(answer(&long).unwrap_err(), ClientError::NotAChallenge { what: "too long" });
    for flag in [Flags::KEY_EXCHANGE, Flags::UNICODE, Flags::EXTENDED_SESSION_SECURITY, Flags::KEY_128] {
        assert!(answer(&challenge(GRANTED & !flag, &good)).is_err(), "{flag:#x}");
    }
}

#[test]
fn whatever_the_challenge_the_proof_is_bound() {
    let names = pairs(&[
        (AvId::DOMAIN, &utf16("LAB")),
        (AvId::COMPUTER, &utf16("NODE1")),
        (AvId::TIMESTAMP, &[1; 8]),
        (AvId::FLAGS, &[0; 4]),
        (AvId::CHANNEL_BINDINGS, &[9; 16]),
        (AvId::TARGET_NAME, &utf16("ldap/victim")),
    ]);
    let hostile = pairs(&[(AvId::DOMAIN, &utf16("LAB")), (AvId::TIMESTAMP, &smuggled())]);
    let corpus = vec![challenge(GRANTED, &names), challenge(GRANTED, &hostile)];
    let answered = std::cell::Cell::new(0);
    fuzzer::run("challenges", corpus, |mutant: &[u8]| match answer(mutant) {
        Ok(message) => {
            answered.set(answered.get() + 1);
            check_bound(&message);
            "answered".into()
        }
        Err(error) => error.to_string(),
    });
    assert!(answered.get() > 100, "{} were answered", answered.get());
}

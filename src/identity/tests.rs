//! Whole handshakes: what is let in, and above all what is not.

mod challenges;
mod forged;
mod fuzz;
pub(in crate::identity) mod fuzzer;
mod mutants;

use super::ntlm::keys;
use super::ntlm::messages::{AUTHENTICATE, Flags, Payload, SIGNATURE, utf16};
use super::ntlm::target_info::{AvId, TargetInfo};
use super::ntlm_client::{Credentials, Nonces, NtlmClient, Server};
use super::spnego::client::{KERBEROS, init, mech_list};
use super::*;
use crate::secret::Secret;
use std::time::Duration;

const PASSWORD: &str = "Passw0rd.1";
const LEG: Leg = Leg { challenge: *b"8 bytes!", random: [6; 52], now: SystemTime::UNIX_EPOCH };

fn settings(policy: ChannelBindingPolicy) -> Arc<Settings> {
    Arc::new(Settings::new("LAB", "NODE1", "lab.test", policy).unwrap())
}

fn handshake() -> Handshake {
    Handshake::new(settings(ChannelBindingPolicy::Allow), None)
}

fn binding(seed: u8) -> ChannelBinding {
    let certificate = [0x30, 9, 0x30, 0, 0x30, 2, 6, 0, 3, 1, seed];
    ChannelBinding::of_certificate(&certificate).unwrap()
}

fn client(password: &str) -> NtlmClient {
    NtlmClient::new(Credentials {
        domain: "LAB".into(),
        user: "exch01$".into(),
        nt_hash: nt_hash(password),
        workstation: "EXCH01".into(),
    })
}

fn nonces() -> Nonces {
    Nonces { client_challenge: [7; 8], session_key: Secret::new([9; 16]) }
}

fn leg_of(step: Result<Step, Refused>) -> Vec<u8> {
    match step.unwrap() {
        Step::Continue { token } => token,
        Step::Verify(_) | Step::Ticket(_) => panic!("it should go on"),
    }
}

/// What a front does with a last leg: ask the one account's hash, then finish.
fn finish(step: Result<Step, Refused>) -> Result<Proven, String> {
    match step.map_err(|refused| refused.to_string())? {
        Step::Continue { .. } | Step::Ticket(_) => Err("not the last leg".into()),
        Step::Verify(attempt) => {
            let key = verify(&nt_hash(PASSWORD), attempt.proof()).ok_or("the proof does not hold")?;
            attempt.finish(&key).map_err(|refused| refused.to_string())
        }
    }
}

/// A raw handshake; `change` may damage the AUTHENTICATE.
fn raw(
    handshake: &mut Handshake,
    client: &NtlmClient,
    server: Server<'_>,
    change: impl Fn(&mut Vec<u8>),
) -> Result<Proven, String> {
    let challenge = leg_of(handshake.step(Scheme::Ntlm, client.negotiate(), LEG));
    let mut message = client.authenticate(&challenge, &nonces(), server).unwrap();
    change(&mut message);
    finish(handshake.step(Scheme::Ntlm, &message, LEG))
}

/// The token and the mechanism of a NegTokenResp.
fn response(token: &[u8]) -> spnego::Response<'_> {
    let Some(spnego::Token::Response(response)) = spnego::parse(token) else { panic!("not a response") };
    response
}

/// The last leg of a client inside SPNEGO, which signs the list that it believes it sent.
fn wrap(message: &[u8], list: Option<&[u8]>) -> Vec<u8> {
    let flags = Flags(u32::from_le_bytes(message[60..64].try_into().unwrap()));
    let mic = list.map(|list| {
        keys::signature(&nonces().session_key, flags, keys::Signer::Client, list).unwrap().to_vec()
    });
    spnego::write_response(spnego::State::Incomplete, None, Some(message), mic.as_deref())
}

#[test]
fn lets_a_signed_handshake_in_under_either_scheme() {
    for scheme in [Scheme::Ntlm, Scheme::Negotiate] {
        let (mut handshake, client) = (handshake(), client(PASSWORD));
        let challenge = leg_of(handshake.step(scheme, client.negotiate(), LEG));
        let server = Server { target: "HTTP/rms.lab.test", binding: None };
        let message = client.authenticate(&challenge, &nonces(), server).unwrap();
        let proven = finish(handshake.step(scheme, &message, LEG)).unwrap();
        let wanted = Proven {
            workstation: "EXCH01".into(),
            target: "HTTP/rms.lab.test".into(),
            bound: Bound::NotSent,
            mic: true,
            reply: None,
        };
        assert_eq!(proven, wanted);
    }
}

#[test]
fn lets_ntlm_in_inside_spnego_and_signs_the_list() {
    let (mut handshake, client) = (handshake(), client(PASSWORD));
    let list = mech_list(&[spnego::NTLM]);
    let token = init(&[spnego::NTLM], Some(client.negotiate()));
    let answer = leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    assert_eq!((response(&answer).state, response(&answer).mech), (Some(1), Some(spnego::NTLM)));
    let challenge = response(&answer).token.unwrap();
    let message = client.authenticate(challenge, &nonces(), Server::default()).unwrap();
    let proven = finish(handshake.step(Scheme::Negotiate, &wrap(&message, Some(&list)), LEG)).unwrap();
    let reply = proven.reply.unwrap();
    let flags = Flags(u32::from_le_bytes(message[60..64].try_into().unwrap()));
    let ours = keys::signature(&nonces().session_key, flags, keys::Signer::Server, &list).unwrap();
    assert_eq!((response(&reply).state, response(&reply).mech_list_mic), (Some(0), Some(&ours[..])));
}

/// Kerberos first, with a ticket that we do not read; then NTLM.
fn kerberos_first(last: impl Fn(&[u8]) -> Vec<u8>) -> Result<Proven, String> {
    let (mut handshake, client) = (handshake(), client(PASSWORD));
    let token = init(&[KERBEROS, spnego::NTLM], Some(b"a ticket"));
    let answer = leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    assert_eq!((response(&answer).state, response(&answer).mech), (Some(3), Some(spnego::NTLM)));
    assert_eq!(response(&answer).token, None);
    let token = spnego::write_response(spnego::State::Incomplete, None, Some(client.negotiate()), None);
    let answer = leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    let challenge = response(&answer).token.unwrap();
    let message = client.authenticate(challenge, &nonces(), Server::default()).unwrap();
    finish(handshake.step(Scheme::Negotiate, &last(&message), LEG))
}

#[test]
fn selects_ntlm_from_a_list_that_begins_with_kerberos() {
    let list = mech_list(&[KERBEROS, spnego::NTLM]);
    assert!(kerberos_first(|message| wrap(message, Some(&list))).unwrap().reply.is_some());
}

#[test]
fn refuses_a_missing_or_wrong_signature_over_the_list() {
    let check = |last: &dyn Fn(&[u8]) -> Vec<u8>, wanted: Refused| {
        assert_eq!(kerberos_first(last).unwrap_err(), wanted.to_string());
    };
    check(&|message| wrap(message, None), Refused::MechListMicMissing);
    // The client sent another list, which somebody in between shortened or made longer.
    let other = mech_list(&[spnego::NTLM]);
    check(&|message| wrap(message, Some(&other)), Refused::MechListMicWrong);
    let list = mech_list(&[KERBEROS, spnego::NTLM]);
    for (end, what) in [(0, "none of it"), (15, "cut short")] {
        let cut = |message: &[u8]| {
            let whole = wrap(message, Some(&list));
            let mic = response(&whole).mech_list_mic.unwrap().to_vec();
            spnego::write_response(spnego::State::Incomplete, None, Some(message), Some(&mic[..end]))
        };
        assert_eq!(kerberos_first(cut).unwrap_err(), Refused::MechListMicWrong.to_string(), "{what}");
    }
}

#[test]
fn refuses_the_wrong_password() {
    let error = raw(&mut handshake(), &client("other"), Server::default(), |_| ()).unwrap_err();
    assert_eq!(error, "the proof does not hold");
}

#[test]
fn refuses_a_message_of_another_connection() {
    let client = client(PASSWORD);
    let mut first = handshake();
    let challenge = leg_of(first.step(Scheme::Ntlm, client.negotiate(), LEG));
    let message = client.authenticate(&challenge, &nonces(), Server::default()).unwrap();
    assert!(finish(first.step(Scheme::Ntlm, &message, LEG)).is_ok());

    let mut fresh = handshake();
    let unexpected = Refused::UnexpectedLeg { what: "AUTHENTICATE" };
    assert_eq!(fresh.step(Scheme::Ntlm, &message, LEG).unwrap_err(), unexpected);
    // Another challenge, at another time and then at the same.
    for (challenge, now) in [(*b"another!", LEG.now + Duration::from_secs(1)), (*b"another!", LEG.now)] {
        let mut second = handshake();
        leg_of(second.step(Scheme::Ntlm, client.negotiate(), Leg { challenge, now, ..LEG }));
        assert!(finish(second.step(Scheme::Ntlm, &message, LEG)).is_err());
    }
    // The same connection, once more: a challenge is answered once.
    assert_eq!(first.step(Scheme::Ntlm, &message, LEG).unwrap_err(), unexpected);
}

#[test]
fn a_wrong_leg_ends_the_handshake() {
    for wrong in [&b"junk"[..], b"", &[0x60; 20_000], b"NTLMSSP\0\x02\0\0\0", b"NTLMSSP\0\x03\0\0\0"] {
        let (mut handshake, client) = (handshake(), client(PASSWORD));
        let challenge = leg_of(handshake.step(Scheme::Ntlm, client.negotiate(), LEG));
        let message = client.authenticate(&challenge, &nonces(), Server::default()).unwrap();
        assert!(handshake.step(Scheme::Ntlm, wrong, LEG).is_err());
        let error = handshake.step(Scheme::Ntlm, &message, LEG).unwrap_err();
        assert_eq!(error, Refused::UnexpectedLeg { what: "AUTHENTICATE" }, "after {:x?}", wrong.get(..9));
    }
}

#[test]
fn a_handshake_does_not_change_its_wrapping() {
    let client = client(PASSWORD);
    // Begun as it is, ended inside SPNEGO, and under the other scheme.
    let mut handshake = handshake();
    let challenge = leg_of(handshake.step(Scheme::Negotiate, client.negotiate(), LEG));
    let message = client.authenticate(&challenge, &nonces(), Server::default()).unwrap();
    let wrapped = wrap(&message, Some(&mech_list(&[spnego::NTLM])));
    assert!(matches!(handshake.step(Scheme::Negotiate, &wrapped, LEG), Err(Refused::UnexpectedLeg { .. })));
    leg_of(handshake.step(Scheme::Negotiate, client.negotiate(), LEG));
    assert!(matches!(handshake.step(Scheme::Ntlm, &message, LEG), Err(Refused::UnexpectedLeg { .. })));
    // Begun inside SPNEGO, ended as it is: that would leave the list unsigned.
    let token = init(&[spnego::NTLM], Some(client.negotiate()));
    leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    assert!(matches!(handshake.step(Scheme::Negotiate, &message, LEG), Err(Refused::UnexpectedLeg { .. })));
}

#[test]
fn knows_what_it_cannot_negotiate() {
    let mut handshake = handshake();
    let mut refused = |scheme, token: &[u8]| handshake.step(scheme, token, LEG).unwrap_err();
    let kerberos = init(&[KERBEROS], Some(b"a ticket"));
    assert_eq!(refused(Scheme::Negotiate, &kerberos), Refused::NoMechanismInCommon);
    assert!(matches!(refused(Scheme::Ntlm, &kerberos), Refused::Malformed { .. }));
    let reject = [0xa1, 7, 0x30, 5, 0xa0, 3, 0x0a, 1, 2];
    assert_eq!(refused(Scheme::Negotiate, &reject), Refused::GivenUp);
    let long = [SIGNATURE, &[0; TOKEN_BYTES_MAX]].concat();
    assert_eq!(
        refused(Scheme::Ntlm, &long),
        Refused::TooLong { bytes: long.len(), bytes_max: TOKEN_BYTES_MAX }
    );
    let at_once = init(&[spnego::NTLM], Some(&[SIGNATURE, &[3, 0, 0, 0]].concat()));
    assert!(matches!(refused(Scheme::Negotiate, &at_once), Refused::UnexpectedLeg { .. }));
}

/// Nobody has proven anything, and what is kept of each connection adds up.
#[test]
fn messages_of_ntlm_are_short() {
    let too_long = |step: Result<Step, Refused>| matches!(step, Err(Refused::TooLong { .. }));
    let (mut handshake, client) = (handshake(), client(PASSWORD));
    let padded = |message: &[u8], bytes: usize| [message, &vec![0; bytes - message.len()]].concat();
    let long = padded(client.negotiate(), 2_049);
    // As long as it may be, and wrong for another reason.
    assert!(!too_long(handshake.step(Scheme::Ntlm, &padded(client.negotiate(), 2_048), LEG)));
    assert!(too_long(handshake.step(Scheme::Ntlm, &long, LEG)));
    assert!(too_long(handshake.step(Scheme::Negotiate, &init(&[spnego::NTLM], Some(&long)), LEG)));
    let challenge = leg_of(handshake.step(Scheme::Ntlm, client.negotiate(), LEG));
    let server = Server { target: "HTTP/rms.lab.test", binding: None };
    let message = client.authenticate(&challenge, &nonces(), server).unwrap();
    assert!(too_long(handshake.step(Scheme::Ntlm, &padded(&message, 16_385), LEG)));
}

/// Policy, the connection's binding, the client's binding, and what comes of it.
fn check_binding(
    policy: ChannelBindingPolicy,
    ours: Option<u8>,
    theirs: Option<u8>,
    wanted: Result<Bound, Refused>,
) {
    let mut handshake = Handshake::new(settings(policy), ours.map(binding));
    let theirs = theirs.map(binding);
    let server = Server { target: "", binding: theirs.as_ref() };
    let came = raw(&mut handshake, &client(PASSWORD), server, |_| ()).map(|proven| proven.bound);
    assert_eq!(came, wanted.map_err(|refused| refused.to_string()), "{policy:?} {ours:?}");
}

#[test]
fn checks_channel_bindings_as_the_policy_says() {
    use ChannelBindingPolicy::{Allow, Off, Require};
    check_binding(Allow, Some(1), Some(1), Ok(Bound::ToChannel));
    check_binding(Allow, Some(1), None, Ok(Bound::NotSent));
    check_binding(Allow, Some(1), Some(2), Err(Refused::ChannelBindingDiffers));
    check_binding(Allow, None, Some(1), Err(Refused::ChannelBindingDiffers));
    check_binding(Allow, None, None, Ok(Bound::NotSent));
    check_binding(Require, Some(1), Some(1), Ok(Bound::ToChannel));
    check_binding(Require, Some(1), None, Err(Refused::ChannelBindingMissing));
    check_binding(Require, Some(1), Some(2), Err(Refused::ChannelBindingDiffers));
    check_binding(Require, None, None, Err(Refused::ChannelBindingMissing));
    check_binding(Require, None, Some(1), Err(Refused::ChannelBindingDiffers));
    check_binding(Off, Some(1), Some(2), Ok(Bound::NotChecked));
    check_binding(Off, None, Some(2), Ok(Bound::NotChecked));
}

#[test]
fn settings_refuse_names_that_no_message_can_hold() {
    let make = |domain: &str| Settings::new(domain, "NODE1", "lab.test", ChannelBindingPolicy::Allow);
    assert!(make("").is_err() && make("L\nAB").is_err() && make(&"x".repeat(256)).is_err());
}

//! AUTHENTICATE messages that a stranger, a relay or a weak client would send.

use super::*;

/// An AUTHENTICATE by hand; the fields are what an honest client without a MIC would write.
struct Forged {
    flags: u32,
    domain: Vec<u8>,
    user: Vec<u8>,
    lm_response: Vec<u8>,
    target_info: TargetInfo,
    nt_hash: Secret<[u8; 16]>,
    /// In place of the response that the hash would give.
    nt_response: Option<Vec<u8>>,
    encrypted_key: Vec<u8>,
}

impl Forged {
    fn new() -> Self {
        Forged {
            flags: Flags::UNICODE | Flags::NTLM | Flags::EXTENDED_SESSION_SECURITY | Flags::VERSION,
            domain: utf16("LAB"),
            user: utf16("alice"),
            lm_response: vec![0; 24],
            target_info: TargetInfo::of_server(&settings(ChannelBindingPolicy::Allow), FILETIME),
            nt_hash: nt_hash(PASSWORD),
            nt_response: None,
            encrypted_key: Vec::new(),
        }
    }

    fn nt_response(&self) -> Vec<u8> {
        if let Some(response) = &self.nt_response {
            return response.clone();
        }
        let blob = [&[1, 1], &[0; 26][..], &self.target_info.encode(), &[0; 4]].concat();
        let text = |bytes: &[u8]| {
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|unit| u16::from_le_bytes([unit[0], *unit.get(1).unwrap_or(&0)]))
                .collect();
            if self.flags & Flags::UNICODE != 0 {
                String::from_utf16_lossy(&units)
            } else {
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        let key = keys::response_key(&self.nt_hash, &text(&self.user), &text(&self.domain));
        [&keys::nt_proof(&key, &LEG.challenge, &blob)[..], &blob].concat()
    }

    fn message(&self) -> Vec<u8> {
        let mut payload = Payload::after(88);
        let fixed = [
            payload.field(&self.lm_response),
            payload.field(&self.nt_response()),
            payload.field(&self.domain),
            payload.field(&self.user),
            payload.field(&[]),
            payload.field(&self.encrypted_key),
        ]
        .concat();
        let flags = self.flags.to_le_bytes();
        [SIGNATURE, &AUTHENTICATE.to_le_bytes(), &fixed, &flags, &[0; 24], &payload.bytes].concat()
    }

    fn send(&self) -> Result<Proven, String> {
        send(&self.message())
    }
}

const FILETIME: u64 = 116_444_736_000_000_000; // of LEG

fn send(message: &[u8]) -> Result<Proven, String> {
    let mut handshake = handshake();
    leg_of(handshake.step(Scheme::Ntlm, client(PASSWORD).negotiate(), LEG));
    finish(handshake.step(Scheme::Ntlm, message, LEG))
}

fn check(change: impl FnOnce(&mut Forged), wanted: &Refused) {
    let mut forged = Forged::new();
    change(&mut forged);
    assert_eq!(forged.send().unwrap_err(), wanted.to_string());
}

/// Other acceptors took this for a proof: a random one, without a MIC, that asks for a key exchange.
#[test]
fn refuses_a_forged_proof_without_a_mic() {
    let mut forged = Forged::new();
    let mut response = forged.nt_response();
    response[..16].copy_from_slice(&[0x5a; 16]);
    forged.nt_response = Some(response);
    forged.flags |= Flags::KEY_EXCHANGE | Flags::SIGN | Flags::KEY_128 | Flags::TARGET_INFO;
    forged.encrypted_key = vec![0xa5; 16];
    assert_eq!(forged.send().unwrap_err(), "the proof does not hold");
}

#[test]
fn every_byte_of_a_proof_counts() {
    let honest = Forged::new().nt_response();
    for at in 0..16 {
        let mut forged = Forged::new();
        let mut response = honest.clone();
        response[at] ^= 1;
        forged.nt_response = Some(response);
        assert_eq!(forged.send().unwrap_err(), "the proof does not hold", "byte {at}");
    }
}

/// Inside SPNEGO, with a list of mechanisms, and no signature over it.
fn send_unsigned(mechs: &[&[u8]], message: &dyn Fn(&[u8]) -> Vec<u8>) -> Result<Proven, String> {
    let (mut handshake, client) = (handshake(), client(PASSWORD));
    let favourite = mechs.first() == Some(&spnego::NTLM);
    let token = init(mechs, favourite.then_some(client.negotiate()));
    let mut answer = leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    if !favourite {
        let token = spnego::write_response(spnego::State::Incomplete, None, Some(client.negotiate()), None);
        answer = leg_of(handshake.step(Scheme::Negotiate, &token, LEG));
    }
    let message = message(response(&answer).token.unwrap());
    finish(handshake.step(Scheme::Negotiate, &wrap(&message, None), LEG))
}

#[test]
fn requires_a_signature_over_the_list_from_who_can_sign_and_from_who_must() {
    let unsigned = |_: &[u8]| Forged::new().message();
    let signed =
        |challenge: &[u8]| client(PASSWORD).authenticate(challenge, &nonces(), Server::default()).unwrap();
    let missing = Refused::MechListMicMissing.to_string();
    assert_eq!(send_unsigned(&[spnego::NTLM], &signed).unwrap_err(), missing);
    assert_eq!(send_unsigned(&[KERBEROS, spnego::NTLM], &unsigned).unwrap_err(), missing);
    // NTLM is all that the client can do, and it does not sign: as with NTLM by itself.
    let reply = send_unsigned(&[spnego::NTLM], &unsigned).unwrap().reply.unwrap();
    assert_eq!((response(&reply).state, response(&reply).mech_list_mic), (Some(0), None));
}

#[test]
fn lets_an_honest_client_without_a_mic_in() {
    let proven = Forged::new().send().unwrap();
    assert!(!proven.mic);
    // curl asks for OEM, and so writes its names in ASCII.
    let mut forged = Forged::new();
    forged.flags = Flags::OEM;
    (forged.domain, forged.user) = (b"LAB".to_vec(), b"alice".to_vec());
    assert!(forged.send().is_ok());
}

#[test]
fn requires_a_mic_where_bindings_are_required() {
    let ours = binding(1);
    let mut handshake = Handshake::new(settings(ChannelBindingPolicy::Require), Some(ours.clone()));
    leg_of(handshake.step(Scheme::Ntlm, client(PASSWORD).negotiate(), LEG));
    let mut forged = Forged::new();
    forged.target_info.set(AvId::CHANNEL_BINDINGS, ours.bytes().to_vec());
    let error = finish(handshake.step(Scheme::Ntlm, &forged.message(), LEG)).unwrap_err();
    assert_eq!(error, Refused::MicMissing.to_string());
}

#[test]
fn refuses_a_mic_that_is_gone_or_changed() {
    let tampered = |change: &dyn Fn(&mut Vec<u8>)| {
        raw(&mut handshake(), &client(PASSWORD), Server::default(), change).unwrap_err()
    };
    let wrong = Refused::MicWrong.to_string();
    assert_eq!(tampered(&|message| message[72..88].fill(0)), wrong);
    assert_eq!(tampered(&|message| message[87] ^= 0x80), wrong);
    // The version, the workstation and the key are covered by nothing else.
    assert_eq!(tampered(&|message| message[64] ^= 1), wrong);
    assert_eq!(tampered(&|message| *message.last_mut().unwrap() ^= 1), wrong);
    // The whole MIC cut out, and every offset moved: no room is no MIC.
    let cut_out = |message: &mut Vec<u8>| {
        message.drain(72..88);
        for at in [16usize, 24, 32, 40, 48, 56] {
            let offset = u32::from_le_bytes(message[at..at + 4].try_into().unwrap()) - 16;
            message[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
    };
    assert_eq!(tampered(&cut_out), Refused::MicMissing.to_string());
    // Without the flag there would be nothing to check, but the flag is inside the proof.
    let unflagged = |message: &mut Vec<u8>| {
        let at = message.windows(8).position(|pair| pair == [6, 0, 4, 0, 2, 0, 0, 0]).unwrap();
        message[at + 4] = 0;
    };
    assert_eq!(tampered(&unflagged), "the proof does not hold");
}

#[test]
fn refuses_a_negotiate_or_a_challenge_that_was_changed_on_the_way() {
    let client = client(PASSWORD);
    let mut handshake = handshake();
    // Somebody took 56-bit keys out of the client's offer.
    let mut weaker = client.negotiate().to_vec();
    weaker[15] &= !0x80;
    let challenge = leg_of(handshake.step(Scheme::Ntlm, &weaker, LEG));
    let message = client.authenticate(&challenge, &nonces(), Server::default()).unwrap();
    let error = finish(handshake.step(Scheme::Ntlm, &message, LEG)).unwrap_err();
    assert_eq!(error, Refused::MicWrong.to_string());
    // Somebody put them back into our answer.
    let mut challenge = leg_of(handshake.step(Scheme::Ntlm, client.negotiate(), LEG));
    challenge[20] ^= 0x20;
    let message = client.authenticate(&challenge, &nonces(), Server::default()).unwrap();
    let error = finish(handshake.step(Scheme::Ntlm, &message, LEG)).unwrap_err();
    assert_eq!(error, Refused::MicWrong.to_string());
}

#[test]
fn refuses_an_answer_to_another_server() {
    let of = |domain, computer, dns| {
        let settings = Settings::new(domain, computer, dns, ChannelBindingPolicy::Allow).unwrap();
        TargetInfo::of_server(&settings, FILETIME)
    };
    let other = |info| move |forged: &mut Forged| forged.target_info = info;
    check(other(of("OTHER", "NODE1", "lab.test")), &Refused::TargetInfoNotOurs { id: AvId::DOMAIN });
    check(other(of("LAB", "NODE2", "lab.test")), &Refused::TargetInfoNotOurs { id: AvId::COMPUTER });
    check(other(of("LAB", "NODE1", "other.test")), &Refused::TargetInfoNotOurs { id: AvId::DNS_DOMAIN });
    let mut later = of("LAB", "NODE1", "lab.test");
    later.set(AvId::TIMESTAMP, (FILETIME + 1).to_le_bytes().to_vec());
    check(other(later), &Refused::TargetInfoNotOurs { id: AvId::TIMESTAMP });
}

#[test]
fn refuses_a_binding_of_a_wrong_length() {
    let mut handshake = Handshake::new(settings(ChannelBindingPolicy::Allow), Some(binding(1)));
    leg_of(handshake.step(Scheme::Ntlm, client(PASSWORD).negotiate(), LEG));
    let mut forged = Forged::new();
    forged.target_info.set(AvId::CHANNEL_BINDINGS, binding(1).bytes()[..15].to_vec());
    let error = handshake.step(Scheme::Ntlm, &forged.message(), LEG).unwrap_err();
    assert_eq!(error, Refused::ChannelBindingDiffers);
}

#[test]
fn refuses_ntlm_v1_and_lm() {
    check(|forged| forged.nt_response = Some(vec![1; 24]), &Refused::NtlmV1);
    check(|forged| forged.nt_response = Some(vec![1; 23]), &Refused::NtlmV1);
    // As long as one of version 2, but of type 0.
    check(|forged| forged.nt_response = Some(vec![0; 200]), &Refused::NtlmV1);
    let lm_alone = |forged: &mut Forged| {
        forged.nt_response = Some(Vec::new());
        forged.lm_response = vec![1; 24];
    };
    check(lm_alone, &Refused::LmOnly);
}

#[test]
fn refuses_anonymous_and_guest() {
    check(|forged| forged.user = Vec::new(), &Refused::Anonymous);
    check(|forged| forged.flags |= Flags::ANONYMOUS, &Refused::Anonymous);
    let nothing = |forged: &mut Forged| {
        forged.nt_response = Some(Vec::new());
        forged.lm_response = vec![0];
    };
    check(nothing, &Refused::Anonymous);
    for name in ["Guest", "GUEST", "guest@lab.test", " guest"] {
        check(|forged| forged.user = utf16(name), &Refused::Guest);
    }
}

#[test]
fn refuses_names_that_are_not_text() {
    check(|forged| forged.user = utf16("ali\nce"), &Refused::BadName { what: "user" });
    check(|forged| forged.domain = vec![0, 0xd8], &Refused::BadName { what: "domain" });
    check(|forged| forged.user = vec![0x61], &Refused::BadName { what: "user" });
    let target = |forged: &mut Forged| forged.target_info.set(AvId::TARGET_NAME, utf16("HTTP/\u{1b}"));
    check(target, &Refused::BadName { what: "target name" });
}

#[test]
fn refuses_anything_after_the_message() {
    let mut message = Forged::new().message();
    assert!(send(&message).is_ok());
    message.push(0);
    assert!(send(&message).unwrap_err().contains("something follows"));
}

#[test]
fn refuses_a_key_exchange_without_a_key() {
    let mut forged = Forged::new();
    forged.flags |= Flags::KEY_EXCHANGE | Flags::SIGN;
    forged.encrypted_key = vec![1; 15];
    assert!(forged.send().unwrap_err().contains("session key"));
}

/// Without a MIC some bytes are nobody's, such as those of a version; the account is never among them.
#[test]
fn no_flipped_bit_makes_another_account_of_a_proof_without_a_mic() {
    let honest = Forged::new().message();
    let mut let_in = 0;
    for bit in 0..honest.len() * 8 {
        let mut message = honest.clone();
        message[bit / 8] ^= 1 << (bit % 8);
        let mut handshake = handshake();
        leg_of(handshake.step(Scheme::Ntlm, client(PASSWORD).negotiate(), LEG));
        let Ok(Step::Verify(attempt)) = handshake.step(Scheme::Ntlm, &message, LEG) else { continue };
        let Some(key) = verify(&nt_hash(PASSWORD), attempt.proof()) else { continue };
        // The computation takes the user in upper case.
        assert!(attempt.proof().user.eq_ignore_ascii_case("alice"), "bit {bit}");
        assert_eq!(attempt.proof().domain, "LAB", "bit {bit}");
        assert_eq!(attempt.proof().nt_response, Forged::new().nt_response(), "bit {bit}");
        if let Ok(proven) = attempt.finish(&key) {
            assert!(!proven.mic && proven.bound == Bound::NotSent, "bit {bit}");
            let_in += 1;
        }
    }
    assert!(let_in > 0, "the test lets nothing in");
}

//! Mutants of SPNEGO and NTLM messages: no panic, what was read is written again alike, and no other account.

use super::mutants::{SHAPES, same_meaning};
use super::*;
use crate::identity::spnego::{State, Token};
use crate::identity::tests::fuzzer;

fn read(token: &[u8]) -> String {
    match spnego::parse(token) {
        None => "none".into(),
        Some(Token::Init(read)) => {
            let again = init(&read.mechs, read.token);
            let Some(Token::Init(written)) = spnego::parse(&again) else { panic!("it does not read again") };
            assert_eq!((&written.mechs, written.token), (&read.mechs, read.token));
            assert_eq!(written.mech_list, read.mech_list, "a list with two readings");
            format!("init {} {:?}", read.mechs.len(), read.token.map(|token| token.len().ilog2()))
        }
        Some(Token::Response(read)) => {
            let states = [State::Completed, State::Incomplete, State::RequestMic];
            let state = states.into_iter().find(|state| Some(*state as u8) == read.state);
            if let Some(state) = state {
                let again = spnego::write_response(state, read.mech, read.token, read.mech_list_mic);
                assert_eq!(again, token, "a response with two readings");
            }
            let (token, mic) = (read.token.is_some(), read.mech_list_mic.is_some());
            format!("response {:?} {} {token} {mic}", read.state, read.mech.is_some())
        }
    }
}

#[test]
fn spnego_tokens() {
    let (ntlm, kerberos) = (client(PASSWORD).negotiate().to_vec(), [KERBEROS, spnego::NTLM]);
    let corpus = vec![
        init(&kerberos, Some(b"a ticket")),
        init(&kerberos[1..], Some(&ntlm)),
        init(&kerberos, None),
        spnego::write_response(State::Incomplete, Some(spnego::NTLM), Some(&ntlm), None),
        spnego::write_response(State::Completed, None, None, Some(&[7; 16])),
    ];
    fuzzer::run("spnego", corpus, read);
}

/// The two messages of a raw client, and all three legs inside SPNEGO: whoever gets in has said what the honest one
/// said.
#[test]
fn ntlm_messages() {
    for shape in SHAPES {
        for leg in 0..shape.legs() {
            let honest = std::cell::RefCell::default();
            shape.run(leg, &|token| *honest.borrow_mut() = token.clone());
            let run = |mutant: &[u8]| {
                let let_in = shape.run(leg, &|token| *token = mutant.to_vec());
                if let Some((honest, mutant)) = &let_in {
                    assert!(same_meaning(honest, mutant) || honest == mutant, "{shape:?}, leg {leg}");
                }
                let direct = handshake().step(Scheme::Negotiate, mutant, LEG);
                let reason = direct.map_or_else(|refused| refused.to_string(), |_| "goes on".into());
                format!("{} {reason}", let_in.is_some())
            };
            fuzzer::run(&format!("ntlm {shape:?} {leg}"), vec![honest.into_inner()], run);
        }
    }
}

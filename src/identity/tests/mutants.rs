//! Damaged tokens of every leg: never a panic, and never a proof of what was not said.

use super::*;
use crate::identity::tests::fuzzer::Numbers;

/// The tokens of one kind of client, each made from the server's answer to the one before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Raw,
    NtlmFirst,
    KerberosFirst,
}

impl Shape {
    fn mechs(self) -> &'static [&'static [u8]] {
        match self {
            Shape::Raw => &[],
            Shape::NtlmFirst => &[spnego::NTLM],
            Shape::KerberosFirst => &[KERBEROS, spnego::NTLM],
        }
    }

    pub(super) fn legs(self) -> usize {
        match self {
            Shape::Raw | Shape::NtlmFirst => 2,
            Shape::KerberosFirst => 3,
        }
    }

    /// The client's token of a leg; `None` if the server's answer is of no use to it.
    fn token(self, leg: usize, client: &NtlmClient, answer: &[u8]) -> Option<Vec<u8>> {
        let authenticate =
            |challenge: &[u8]| client.authenticate(challenge, &nonces(), Server::default()).ok();
        let negotiate = client.negotiate();
        match (self, leg) {
            (Shape::Raw, 0) => Some(negotiate.to_vec()),
            (Shape::Raw, _) => authenticate(answer),
            (Shape::NtlmFirst, 0) => Some(init(self.mechs(), Some(negotiate))),
            (Shape::KerberosFirst, 0) => Some(init(self.mechs(), Some(b"a ticket"))),
            (Shape::KerberosFirst, 1) => {
                Some(spnego::write_response(spnego::State::Incomplete, None, Some(negotiate), None))
            }
            (_, _) => {
                // A mutant may have led to another kind of answer.
                let Some(spnego::Token::Response(response)) = spnego::parse(answer) else { return None };
                let message = authenticate(response.token?)?;
                Some(wrap(&message, Some(&mech_list(self.mechs()))))
            }
        }
    }

    /// Runs a handshake, with the token of one leg changed. `Some`: let in, with the changed token.
    pub(super) fn run(self, damaged: usize, change: &dyn Fn(&mut Vec<u8>)) -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut handshake, client) = (handshake(), client(PASSWORD));
        let scheme = if matches!(self, Shape::Raw) { Scheme::Ntlm } else { Scheme::Negotiate };
        let (mut answer, mut tokens) = (Vec::new(), None);
        for leg in 0..self.legs() {
            let honest = self.token(leg, &client, &answer)?;
            let mut token = honest.clone();
            if leg == damaged {
                change(&mut token);
                tokens = Some((honest, token.clone()));
            }
            match handshake.step(scheme, &token, LEG) {
                Ok(Step::Continue { token }) => answer = token,
                step => return finish(step).ok().and(tokens),
            }
        }
        None
    }
}

/// Whether two SPNEGO tokens say the same in all that is acted on.
pub(super) fn same_meaning(one: &[u8], other: &[u8]) -> bool {
    match (spnego::parse(one), spnego::parse(other)) {
        (Some(spnego::Token::Init(one)), Some(spnego::Token::Init(other))) => {
            // A ticket of Kerberos is not read, so it may be damaged.
            let read = one.mechs.first() == Some(&spnego::NTLM);
            one.mech_list == other.mech_list && (!read || one.token == other.token)
        }
        (Some(spnego::Token::Response(one)), Some(spnego::Token::Response(other))) => {
            (one.token, one.mech_list_mic) == (other.token, other.mech_list_mic)
        }
        _ => false,
    }
}

fn check_mutant(shape: Shape, leg: usize, change: &dyn Fn(&mut Vec<u8>)) {
    if let Some((honest, mutant)) = shape.run(leg, change) {
        assert!(same_meaning(&honest, &mutant), "{shape:?}, leg {leg} let in: {mutant:02x?}");
    }
}

pub(super) const SHAPES: [Shape; 3] = [Shape::Raw, Shape::NtlmFirst, Shape::KerberosFirst];

#[test]
fn honest_tokens_are_let_in() {
    for shape in SHAPES {
        assert!(shape.run(0, &|_| ()).is_some(), "{shape:?}");
    }
}

#[test]
fn cut_tokens_are_refused() {
    for shape in SHAPES {
        for leg in 0..shape.legs() {
            for cut in 0..700 {
                let let_in = shape.run(leg, &|token| token.truncate(cut));
                // A cut past the end is no cut.
                assert!(let_in.is_none_or(|(honest, _)| cut >= honest.len()), "{shape:?}, leg {leg}, {cut}");
            }
        }
    }
}

#[test]
fn damaged_tokens_prove_nothing_new() {
    let mut numbers = Numbers(20_261_121);
    for shape in SHAPES {
        for leg in 0..shape.legs() {
            for _ in 0..1_000 {
                let (at, bit, flips) = (numbers.below(1 << 16), numbers.below(8), 1 + numbers.below(3));
                check_mutant(shape, leg, &|token| {
                    for flip in 0..flips {
                        let length = token.len();
                        token[(at + flip * 31) % length] ^= 1 << bit;
                    }
                });
            }
        }
    }
}

/// Every bit of the messages is covered by a MIC: a single flip anywhere is noticed.
#[test]
fn every_bit_of_a_signed_handshake_counts() {
    for leg in 0..2 {
        let length = if leg == 0 { 40 } else { 500 };
        for at in 0..length {
            let let_in = Shape::Raw.run(leg, &|token| {
                if let Some(byte) = token.get_mut(at) {
                    *byte ^= 1 << (at % 8);
                }
            });
            assert!(let_in.is_none_or(|(honest, mutant)| honest == mutant), "leg {leg}, byte {at}");
        }
    }
}

#[test]
fn tokens_with_a_tail_are_refused() {
    for shape in SHAPES {
        for leg in 0..shape.legs() {
            for tail in [&[0u8][..], &[0; 8], b"NTLMSSP\0", &[0x30, 0]] {
                let let_in = shape.run(leg, &|token| token.extend(tail));
                assert!(let_in.is_none(), "{shape:?}, leg {leg}, {tail:x?}");
            }
        }
    }
}

#[test]
fn noise_is_refused() {
    let mut numbers = Numbers(7);
    let heads: [&[u8]; 6] =
        [b"", b"\x60", b"\xa1", b"NTLMSSP\0\x01\0\0\0", b"NTLMSSP\0\x03\0\0\0", &[0x60, 0x84, 0xff, 0xff]];
    for round in 0..6_000 {
        let mut token = heads[round % heads.len()].to_vec();
        let length = numbers.below(300);
        token.extend((0..length).map(|_| numbers.below(256) as u8));
        let mut handshake = handshake();
        leg_of(handshake.step(Scheme::Negotiate, client(PASSWORD).negotiate(), LEG));
        assert!(!matches!(handshake.step(Scheme::Negotiate, &token, LEG), Ok(Step::Verify(_))));
    }
}

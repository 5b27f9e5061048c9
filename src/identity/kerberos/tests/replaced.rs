//! Keys that are replaced while the acceptor is in use.

use super::*;

fn step(acceptor: &Arc<Acceptor>, token: &str) -> Result<(), Outer> {
    let mut handshake = handshake(acceptor, ChannelBindingPolicy::Allow);
    handshake.step(Scheme::Negotiate, &captured(token), leg(MADE)).map(|_| ())
}

#[test]
fn other_keys_act_at_once_and_a_proof_is_still_taken_once() {
    let acceptor = Arc::new(Acceptor::new(Keytab::default()));
    for token in ["EXCH01-raw", "EXCH01-spnego"] {
        assert_eq!(step(&acceptor, token), Err(Outer::NoMechanismInCommon), "{token}");
    }
    acceptor.replace(Keytab::of_cluster(keytab().named()));
    assert!(acceptor.keys().iter().all(|key| key.used_at.is_none()));
    assert_eq!(step(&acceptor, "EXCH01-raw"), Ok(()));
    let used = |acceptor: &Acceptor| acceptor.keys().iter().filter(|key| key.used_at.is_some()).count();
    assert_eq!(used(&acceptor), 1);
    // The same keys anew, as after a change of others: what they opened is remembered, and when.
    acceptor.replace(Keytab::of_cluster(keytab().named()));
    assert_eq!(used(&acceptor), 1);
    assert_eq!(step(&acceptor, "EXCH01-raw"), Err(Refused::Replayed.into()));
    acceptor.replace(Keytab::default());
    assert_eq!(step(&acceptor, "EXCH01-mutual"), Err(Outer::NoMechanismInCommon));
}

#[test]
fn a_handshake_that_has_begun_goes_on_with_the_keys_of_its_next_leg() {
    let acceptor = Arc::new(Acceptor::new(Keytab::default()));
    let mut handshake = handshake(&acceptor, ChannelBindingPolicy::Allow);
    // NTLM's first leg, of a client that has no ticket yet.
    let negotiate = [&b"NTLMSSP\0\x01\0\0\0"[..], &0xe208_8297_u32.to_le_bytes(), &[0; 24]].concat();
    let begun = handshake.step(Scheme::Negotiate, &negotiate, leg(MADE));
    assert!(matches!(begun, Ok(Step::Continue { .. })), "{begun:?}");
    acceptor.replace(keytab());
    let ticket = handshake.step(Scheme::Negotiate, &captured("EXCH01-raw"), leg(MADE));
    assert!(matches!(ticket, Ok(Step::Ticket(_))), "{ticket:?}");
}

//! Session tickets: what a connection was shaken with, sealed for its client to bring back, to this node or to another
//! one that has the key. A ticket is good for the certificate that its client saw, and for some hours.

use crate::seal::Key;
use crate::secret::Secret;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// A key with which tickets are sealed. As precious as the key of a certificate.
#[derive(Clone, Debug)]
pub struct TicketKey {
    /// Random, and in each of its tickets; not secret.
    pub name: [u8; TICKET_KEY_NAME_BYTES],
    /// Seals them.
    pub key: Key,
}

impl TicketKey {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        TicketKey { name: rand::random(), key: Key::random() }
    }
}

/// The keys of a front. They can be replaced while it shakes hands; clones are the same.
#[derive(Clone)]
pub struct TicketKeys(Arc<Mutex<Arc<Ring>>>);

struct Ring {
    /// Seals new tickets, and opens its own.
    seals: TicketKey,
    /// Only open.
    opens: Vec<TicketKey>,
}

impl Default for TicketKeys {
    /// A key that nobody else has.
    fn default() -> Self {
        let ring = Ring { seals: TicketKey::random(), opens: Vec::new() };
        TicketKeys(Arc::new(Mutex::new(Arc::new(ring))))
    }
}

impl TicketKeys {
    /// From now on the first one seals tickets, and tickets of others than these are none.
    pub fn replace(&self, seals: TicketKey, opens: Vec<TicketKey>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring { seals, opens });
    }

    fn now(&self) -> Arc<Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes and opens the tickets of those who saw this certificate.
pub(super) struct Tickets {
    keys: TicketKeys,
    /// The channel binding of a resumed session is that of the certificate that its client saw: a ticket opens with
    /// no other one.
    context: String,
}

impl Tickets {
    /// For a certificate (DER).
    pub(super) fn new(keys: TicketKeys, leaf: &[u8]) -> Self {
        let mut context = format!("front-ticket {SESSION_FORM} ");
        for byte in Sha256::digest(leaf) {
            let _ = write!(context, "{byte:02x}");
        }
        Tickets { keys, context }
    }

    fn sealed_at(&self, session: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let plain = Secret::new([&now.as_secs().to_be_bytes(), session].concat());
        let TicketKey { name, key } = &self.keys.now().seals;
        let ticket = [&name[..], &key.seal(&self.context, plain.expose())].concat();
        (ticket.len() <= TICKET_BYTES_MAX).then_some(ticket)
    }

    fn opened_at(&self, ticket: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (name, sealed) = ticket.split_first_chunk::<TICKET_KEY_NAME_BYTES>()?;
        let ring = self.keys.now();
        let key = std::iter::once(&ring.seals).chain(&ring.opens).find(|key| key.name == *name)?;
        let plain = key.key.open(&self.context, sealed).ok()?;
        let (made_at, session) = plain.expose().split_first_chunk()?;
        is_fresh(u64::from_be_bytes(*made_at), now.as_secs()).then(|| session.to_vec())
    }
}

/// It says when it was made by the clock of the node that made it.
fn is_fresh(made_at: u64, now: u64) -> bool {
    match now.checked_sub(made_at) {
        Some(age) => age <= u64::from(TICKET_LIFE_SECONDS),
        None => made_at.saturating_sub(now) <= AHEAD_MAX_SECONDS,
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(tickets)")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_LIFE_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.sealed_at(plain, UnixTime::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.opened_at(cipher, UnixTime::now())
    }
}

/// What is inside a ticket is rustls's own affair, and has no version: another one must not read it in another way.
const SESSION_FORM: &str = "rustls-0.23.46";
/// As long as Windows keeps a session.
const TICKET_LIFE_SECONDS: u32 = 10 * 3_600;
/// Clocks of nodes are apart by ten minutes at most, or more than this goes wrong.
const AHEAD_MAX_SECONDS: u64 = 15 * 60;
/// Far more than there is in one; a name of 255 letters is the longest part.
const TICKET_BYTES_MAX: usize = 1_024;
/// As RFC 5077 recommends.
pub const TICKET_KEY_NAME_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIFE: u64 = TICKET_LIFE_SECONDS as u64;
    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    /// Two nodes that show the same certificate, with the same keys.
    fn two_nodes() -> (Tickets, Tickets) {
        let (key, before) = (TicketKey::random(), TicketKey::random());
        let node = || {
            let keys = TicketKeys::default();
            keys.replace(key.clone(), vec![before.clone()]);
            Tickets::new(keys, b"leaf")
        };
        (node(), node())
    }

    #[test]
    fn a_ticket_of_one_node_is_opened_at_another() {
        let (one, other) = two_nodes();
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(other.decrypt(&ticket).unwrap(), b"session");
        // Neither what is in it nor that two are of one session can be seen.
        assert!(!ticket.windows(7).any(|part| part == b"session"));
        assert_ne!(one.encrypt(b"session").unwrap()[16..], ticket[16..]);
        assert_eq!(one.lifetime(), TICKET_LIFE_SECONDS);
    }

    #[test]
    fn the_form_of_a_session_is_that_of_the_rustls_that_is_built_in() {
        let (name, version) = SESSION_FORM.split_once('-').unwrap();
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(include_str!("../../Cargo.lock").contains(&locked), "write the version of Cargo.lock");
    }

    #[test]
    fn a_ticket_is_none_with_another_certificate() {
        let (one, other) = two_nodes();
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(Tickets::new(other.keys.clone(), b"other leaf").decrypt(&ticket), None);
        assert!(Tickets::new(other.keys, b"leaf").decrypt(&ticket).is_some());
    }

    #[test]
    fn a_key_that_seals_no_more_still_opens_until_it_is_gone() {
        let (node, _) = two_nodes();
        let ticket = node.encrypt(b"session").unwrap();
        let (before, key) = (node.keys.now().seals.clone(), TicketKey::random());
        node.keys.replace(key.clone(), vec![before]);
        assert_eq!(node.decrypt(&ticket).unwrap(), b"session");
        assert_eq!(node.encrypt(b"session").unwrap()[..16], key.name);
        node.keys.replace(key, Vec::new());
        assert_eq!(node.decrypt(&ticket), None);
    }

    #[test]
    fn nobody_else_has_the_keys_that_a_front_begins_with() {
        let [one, other] = [TicketKeys::default(), TicketKeys::default()].map(|it| Tickets::new(it, b"leaf"));
        let ticket = one.encrypt(b"session").unwrap();
        assert!(one.decrypt(&ticket).is_some() && other.decrypt(&ticket).is_none());
    }

    #[test]
    fn a_ticket_is_good_for_ten_hours_with_clocks_that_differ() {
        let (one, other) = two_nodes();
        let ticket = one.sealed_at(b"session", at(NOW)).unwrap();
        for (when, expected) in [
            (NOW, true),
            (NOW + LIFE, true),
            (NOW + LIFE + 1, false),
            // The clock of the other node is behind.
            (NOW - 10 * 60, true),
            (NOW - AHEAD_MAX_SECONDS, true),
            (NOW - AHEAD_MAX_SECONDS - 1, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(other.opened_at(&ticket, at(when)).is_some(), expected, "{when}");
        }
        // Whatever a clock says.
        let ticket = one.sealed_at(b"session", at(u64::MAX)).unwrap();
        assert_eq!(other.opened_at(&ticket, at(NOW)), None);
    }

    #[test]
    fn bytes_that_are_no_ticket_are_refused() {
        let (node, _) = two_nodes();
        let ticket = node.encrypt(b"session").unwrap();
        for end in 0..ticket.len() {
            assert_eq!(node.decrypt(&ticket[..end]), None, "{end} bytes");
        }
        for bit in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(node.decrypt(&changed), None, "bit {bit}");
        }
        assert_eq!(node.decrypt(&[&ticket[..], &[0]].concat()), None);
        // Sealed with the right key for the right certificate, and too short to say when.
        let TicketKey { name, key } = node.keys.now().seals.clone();
        for bytes in 0..8 {
            let short = [&name[..], &key.seal(&node.context, &vec![0; bytes])].concat();
            assert_eq!(node.decrypt(&short), None, "{bytes} bytes");
        }
        for bytes in (0..2_000).chain([65_535]) {
            let mut made_up: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
            assert_eq!(node.decrypt(&made_up), None);
            made_up.iter_mut().zip(name).for_each(|(byte, name)| *byte = name);
            assert_eq!(node.decrypt(&made_up), None);
        }
    }

    #[test]
    fn no_ticket_is_longer_than_what_is_opened() {
        let (node, _) = two_nodes();
        let longest = TICKET_BYTES_MAX - node.encrypt(b"").unwrap().len();
        let ticket = node.encrypt(&vec![7; longest]).unwrap();
        assert_eq!(node.decrypt(&ticket).unwrap().len(), longest);
        assert_eq!(node.encrypt(&vec![7; longest + 1]), None);
    }

    #[test]
    fn a_key_is_in_no_words() {
        let key = TicketKey { name: [1; 16], key: Key::of_bytes(&[0xAB; 32]).unwrap() };
        assert!(!format!("{key:?}").contains("171"), "{key:?}");
        assert_eq!(format!("{:?}", two_nodes().0), "(tickets)");
    }
}

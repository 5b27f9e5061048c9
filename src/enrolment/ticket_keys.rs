//! The keys of session tickets, as they are kept: sealed as a whole among the secrets of the roster, so that a session
//! that was made at one node is resumed at any other. A node that was removed knew them; so they are none after that.

use super::secrets::{SecretError, changed, mark, read};
use super::{Enrolment, milliseconds};
use crate::proto::state::v1 as stored;
use crate::seal::Key;
use crate::secret::Secret;
use crate::state::{Change, Roster, SealMark, Timestamp};
use crate::tls::TicketKey;

/// What a roster has.
#[derive(Debug)]
pub struct KeptTicketKeys {
    /// Those that only members of today know, the newest first.
    pub keys: Result<Vec<KeptTicketKey>, SecretError>,
    /// Tells them from others.
    pub mark: Option<SealMark>,
}

/// A key that every node has.
#[derive(Clone, Debug)]
pub struct KeptTicketKey {
    /// It.
    pub key: TicketKey,
    /// When it was made, by the clock of the node that made it.
    pub made_at: Timestamp,
}

impl Enrolment {
    /// What a roster has for tickets.
    #[must_use]
    pub fn ticket_keys(&self, roster: &Roster) -> KeptTicketKeys {
        let identity = self.shared.identity.now();
        let keys = ticket_keys_of((&identity.cluster_id, &identity.data_key), roster);
        KeptTicketKeys { keys, mark: mark(roster, TICKET_KEYS) }
    }

    /// The change that puts a new key before these, and forgets the oldest, if nothing came since that mark.
    #[must_use]
    pub fn make_ticket_key(
        &self,
        before: &[KeptTicketKey],
        mark: Option<SealMark>,
        roster: &Roster,
    ) -> Change {
        let new = KeptTicketKey { key: TicketKey::random(), made_at: milliseconds((self.shared.clock)()) };
        let kept = stored_of(&new, before, roster);
        changed(vec![self.sealed(TICKET_KEYS, &kept)], vec![(TICKET_KEYS.into(), mark)])
    }
}

fn stored_of(new: &KeptTicketKey, before: &[KeptTicketKey], roster: &Roster) -> stored::FrontTicketKeys {
    let keys = std::iter::once(new).chain(before).take(TICKET_KEYS_MAX);
    let keys = keys.map(|kept| stored::FrontTicketKey {
        name: kept.key.name.into(),
        key: kept.key.key.bytes().expose().clone(),
        made_at_ms: kept.made_at.0,
    });
    stored::FrontTicketKeys { keys: keys.collect(), removed: roster.removed.keys().copied().collect() }
}

fn ticket_keys_of(keys: (&str, &Key), roster: &Roster) -> Result<Vec<KeptTicketKey>, SecretError> {
    let Some(kept) = read::<stored::FrontTicketKeys>(keys, roster, TICKET_KEYS)? else {
        return Ok(Vec::new());
    };
    let read = kept.keys.into_iter().map(ticket_key_of).collect::<Option<Vec<_>>>();
    let read = read.ok_or(SecretError::Unknown { name: TICKET_KEYS })?;
    // Each removal makes another list. So does a backup that is restored: all nodes that it has are removed.
    Ok(if kept.removed.iter().eq(roster.removed.keys()) { read } else { Vec::new() })
}

fn ticket_key_of(kept: stored::FrontTicketKey) -> Option<KeptTicketKey> {
    let bytes = Secret::new(kept.key);
    let key = TicketKey { name: kept.name.try_into().ok()?, key: Key::of_bytes(bytes.expose())? };
    Some(KeptTicketKey { key, made_at: Timestamp(kept.made_at_ms) })
}

const TICKET_KEYS: &str = "front-ticket-keys";
/// A ticket lives for less than the day after which there is a new key.
const TICKET_KEYS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::secrets::context;
    use crate::state::{
        ClientId, Command, Digest, KeyHash, NewNode, NodeKind, RemovedNode, RosterChange, Sealed, State,
    };
    use crate::storage::frozen;
    use prost::Message;

    const CLUSTER: &str = "c1";

    fn data_key() -> Key {
        Key::of_bytes(&[7; 32]).unwrap()
    }

    fn key(number: u8) -> KeptTicketKey {
        let key = TicketKey { name: [number; 16], key: Key::of_bytes(&[number; 32]).unwrap() };
        KeptTicketKey { key, made_at: Timestamp(i64::from(number)) }
    }

    fn keep(roster: &mut Roster, plain: &[u8]) {
        let sealed = data_key().seal(&context(CLUSTER, TICKET_KEYS), plain);
        roster.secrets.insert(TICKET_KEYS.into(), Sealed(sealed));
    }

    fn make(roster: &mut Roster, number: u8) {
        let plain = stored_of(&key(number), &of(roster), roster).encode_to_vec();
        keep(roster, &plain);
    }

    fn remove(roster: &mut Roster, node_id: u64) {
        let removed = RemovedNode { name: "gone".into(), by: "alice".into(), at: Timestamp(9) };
        roster.removed.insert(node_id, removed);
    }

    fn of(roster: &Roster) -> Vec<KeptTicketKey> {
        ticket_keys_of((CLUSTER, &data_key()), roster).unwrap()
    }

    fn numbers(keys: &[KeptTicketKey]) -> Vec<u8> {
        keys.iter().map(|kept| kept.key.name[0]).collect()
    }

    #[test]
    fn what_was_kept_is_read_for_ever() {
        let mut roster = Roster::default();
        remove(&mut roster, 3);
        remove(&mut roster, 800);
        let plain = stored_of(&key(2), &[key(1)], &roster).encode_to_vec();
        let plain = frozen::check("front-1/ticket-keys", &plain);
        let sealed = data_key().seal(&context(CLUSTER, TICKET_KEYS), &plain);
        let sealed = frozen::keep("front-1/sealed/front-ticket-keys", &sealed);
        roster.secrets.insert(TICKET_KEYS.into(), Sealed(sealed));
        let keys = of(&roster);
        assert_eq!(numbers(&keys), [2, 1]);
        assert_eq!((keys[0].made_at, keys[0].key.key.bytes().expose()), (Timestamp(2), &vec![2; 32]));
    }

    #[test]
    fn a_new_key_comes_before_and_the_oldest_goes() {
        let mut roster = Roster::default();
        for number in 1..=4 {
            make(&mut roster, number);
        }
        assert_eq!(numbers(&of(&roster)), [4, 3]);
    }

    #[test]
    fn keys_that_a_removed_node_knows_are_none() {
        let mut roster = Roster::default();
        remove(&mut roster, 3);
        make(&mut roster, 1);
        assert_eq!(numbers(&of(&roster)), [1]);
        let mut removed = roster.clone();
        remove(&mut removed, 4);
        assert!(of(&removed).is_empty());
        // Made at a node that had not heard of the removal.
        keep(&mut removed, &stored_of(&key(2), &[], &roster).encode_to_vec());
        assert!(of(&removed).is_empty());
        make(&mut removed, 3);
        assert_eq!(numbers(&of(&removed)), [3]);
        // So many were removed that the first of them is forgotten.
        removed.removed.remove(&3);
        assert!(of(&removed).is_empty());
    }

    #[test]
    fn a_backup_that_is_restored_has_no_keys() {
        let node = NewNode {
            name: "node".into(),
            peer_address: "peer".into(),
            admin_address: "admin".into(),
            kind: NodeKind::Relay,
            incarnation: 1,
            key: KeyHash([1; 32]),
            build: 2,
        };
        let command = |change| Command {
            client: ClientId([1; 16]),
            serial: 1,
            digest: Digest::default(),
            since: 0,
            at: Timestamp(1),
            by: "alice".into(),
            change,
        };
        let mut state = State::default();
        let found = RosterChange::Found {
            authority: "PEM".into(),
            node: node.clone(),
            version: 2,
            administrator: None,
        };
        state.apply(&command(Change::Roster(found)), 1);
        let mut roster = Roster::clone(&state.roster);
        make(&mut roster, 1);
        state.roster = std::sync::Arc::new(roster);
        assert_eq!(numbers(&of(&state.roster)), [1]);
        // The change is not looked at.
        let restoring = command(Change::Roster(RosterChange::DropRetiredKeys));
        state.restore(9, (&node, None), &restoring).unwrap();
        assert!(of(&state.roster).is_empty() && state.roster.secrets.contains_key(TICKET_KEYS));
    }

    #[test]
    fn what_is_no_key_is_said() {
        let mut roster = Roster::default();
        assert!(of(&roster).is_empty());
        let broken = [
            stored::FrontTicketKey { name: vec![1; 15], key: vec![1; 32], made_at_ms: 1 },
            stored::FrontTicketKey { name: vec![1; 16], key: vec![1; 31], made_at_ms: 1 },
        ];
        for broken in broken {
            keep(
                &mut roster,
                &stored::FrontTicketKeys { keys: vec![broken], removed: Vec::new() }.encode_to_vec(),
            );
            let error = ticket_keys_of((CLUSTER, &data_key()), &roster).unwrap_err();
            assert_eq!(error.to_string(), "front-ticket-keys is not of a kind that this build knows");
        }
        let error = ticket_keys_of(("c2", &data_key()), &roster).unwrap_err();
        assert_eq!(error.to_string(), "front-ticket-keys does not open");
    }

    #[test]
    fn a_key_is_in_no_words() {
        let key = TicketKey { name: [1; 16], key: Key::of_bytes(&[0xAB; 32]).unwrap() };
        let kept =
            KeptTicketKeys { keys: Ok(vec![KeptTicketKey { key, made_at: Timestamp(5) }]), mark: None };
        assert!(!format!("{kept:?}").contains("171"), "{kept:?}");
    }
}

//! Who may talk to this node as another node of the cluster.

use super::state_machine::Published;
use crate::state::KeyHash;

/// Whom a node with a certificate of the cluster is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is in the roster that is applied here, by this key.
    Member,
    /// Its id is beyond what is applied here: it may have been let in later, and may be the leader that
    /// brings the news. Nothing is known of its key.
    Coming,
}

/// A certificate of the cluster does not make a node of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// It was in the cluster once.
    #[error("node {node_id} ({name}) was removed by {by}; a new node must join in its place")]
    Removed {
        /// The node.
        node_id: u64,
        /// Its name.
        name: String,
        /// Who removed it.
        by: String,
    },
    /// It never was, or was removed long ago.
    #[error("node {node_id} is not in the cluster")]
    Unknown {
        /// The node.
        node_id: u64,
    },
    /// The id is another's.
    #[error("node {node_id} has another key than the one it joined with")]
    OtherKey {
        /// The node.
        node_id: u64,
    },
}

/// Whom a node believes that has joined and has nothing of the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The log index that the members are of.
    pub as_of: u64,
    /// The group; another one's messages are refused.
    pub group: u128,
    /// The members: id, key and address.
    pub members: Vec<Introduced>,
}

/// A member as a node that joins hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// Its id.
    pub node_id: u64,
    /// SHA-256 of its public key.
    pub key: KeyHash,
    /// Where it is.
    pub peer_address: String,
}

impl Introduction {
    fn admits(&self, node_id: u64, key: &KeyHash) -> Result<Admitted, NotAdmitted> {
        match self.members.iter().find(|member| member.node_id == node_id) {
            Some(member) if member.key == *key => Ok(Admitted::Member),
            Some(_) => Err(NotAdmitted::OtherKey { node_id }),
            None if node_id > self.as_of => Ok(Admitted::Coming),
            None => Err(NotAdmitted::Unknown { node_id }),
        }
    }
}

/// Judges by what is applied here. A node that was let in later than that is not known here yet, and
/// may be the leader that brings the news: ids are log indexes, so it can be told from one that is gone.
pub(super) fn admits(
    published: &Published,
    introduction: Option<&Introduction>,
    node_id: u64,
    key: &KeyHash,
) -> Result<Admitted, NotAdmitted> {
    // Before the state: what is applied after this was read is at most newer than needed.
    let applied = *published.applied.borrow();
    let state = published.state.borrow();
    let roster = &state.roster;
    if let Some(introduction) = introduction.filter(|_| !roster.is_founded()) {
        return introduction.admits(node_id, key);
    }
    match (roster.nodes.get(&node_id), roster.removed.get(&node_id)) {
        (Some(node), _) if node.key == *key => Ok(Admitted::Member),
        (Some(_), _) => Err(NotAdmitted::OtherKey { node_id }),
        (None, Some(removed)) => {
            Err(NotAdmitted::Removed { node_id, name: removed.name.clone(), by: removed.by.clone() })
        }
        (None, None) if !roster.is_founded() || node_id > applied => Ok(Admitted::Coming),
        (None, None) => Err(NotAdmitted::Unknown { node_id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Node, NodeKind, RemovedNode, Roster, State, Timestamp};
    use std::sync::Arc;

    #[test]
    fn members_and_those_of_the_future_are_admitted_and_nobody_else() {
        let published = Published::new();
        let key = KeyHash([1; 32]);
        assert_eq!(admits(&published, None, 9, &key), Ok(Admitted::Coming));
        let mut roster = Roster { authority: "PEM".into(), ..Roster::default() };
        let node = Node {
            name: "one".into(),
            peer_address: String::new(),
            admin_address: String::new(),
            kind: NodeKind::Relay,
            incarnation: 1,
            key,
            build: 1,
            joined_at: Timestamp(0),
            drained: None,
            leaving: None,
        };
        roster.nodes.insert(1, node);
        let removed = RemovedNode { name: "two".into(), by: "admin".into(), at: Timestamp(0) };
        roster.removed.insert(5, removed);
        published.state.send_replace(Arc::new(State { roster: Arc::new(roster), ..State::default() }));
        published.applied.send_replace(20);
        assert_eq!(admits(&published, None, 1, &key), Ok(Admitted::Member));
        let other = KeyHash([2; 32]);
        assert_eq!(admits(&published, None, 1, &other), Err(NotAdmitted::OtherKey { node_id: 1 }));
        let refused = admits(&published, None, 5, &key).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "node 5 (two) was removed by admin; a new node must join in its place"
        );
        assert_eq!(admits(&published, None, 20, &key), Err(NotAdmitted::Unknown { node_id: 20 }));
        assert_eq!(admits(&published, None, 21, &key), Ok(Admitted::Coming));
    }

    #[test]
    fn a_node_that_begins_admits_those_that_it_was_told_of() {
        let published = Published::new();
        let (key, other) = (KeyHash([1; 32]), KeyHash([2; 32]));
        let member = |node_id| Introduced { node_id, key, peer_address: String::new() };
        let introduction = Introduction { as_of: 20, group: 1, members: vec![member(1), member(9)] };
        let admits = |node_id, key| admits(&published, Some(&introduction), node_id, key);
        assert_eq!(admits(9, &key), Ok(Admitted::Member));
        assert_eq!(admits(9, &other), Err(NotAdmitted::OtherKey { node_id: 9 }));
        // One that was removed before.
        assert_eq!(admits(5, &key), Err(NotAdmitted::Unknown { node_id: 5 }));
        assert_eq!(admits(21, &key), Ok(Admitted::Coming));
        // From then on the roster counts.
        let roster = Roster { authority: "PEM".into(), ..Roster::default() };
        published.state.send_replace(Arc::new(State { roster: Arc::new(roster), ..State::default() }));
        published.applied.send_replace(30);
        assert_eq!(admits(9, &key), Err(NotAdmitted::Unknown { node_id: 9 }));
    }
}

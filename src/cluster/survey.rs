//! What a node has of the cluster, read while its server is stopped, and what that says about the others:
//! which survivor has the most, and what may have been acknowledged without any of them. Pure.

use crate::storage::log::LogId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one node has. Programs read it, and it is given to the tool on another node: fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The cluster.
    pub cluster_id: String,
    /// The lineage of the group, 32 hexadecimal digits.
    pub group: String,
    /// The node.
    pub node_id: u64,
    /// Its name.
    pub name: String,
    /// The newest term that it voted in.
    pub term: u64,
    /// The last entry of its log.
    pub last: Place,
    /// The last entry that it knows to be committed.
    pub committed: Place,
    /// The last entry that its snapshot covers; 0 if there is none.
    pub snapshot: u64,
    /// The revision of the table, with everything applied that is in the log.
    pub revision: u64,
    /// How many accounts are in the table then.
    pub entries: u64,
    /// When the newest change was proposed that is still in the log, in milliseconds since 1970.
    pub changed_at_ms: Option<i64>,
    /// Who votes; two sets while the membership was changing.
    pub voters: Vec<BTreeSet<u64>>,
    /// All nodes of the roster.
    pub nodes: Vec<Known>,
}

/// Where an entry stands in the log. What is greater has more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// The log index.
    pub index: u64,
}

/// A node as another knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its id.
    pub node_id: u64,
    /// Its name.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
}

/// What comparing the survivors says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The survivors that have more than this node, the most first.
    pub ahead: Vec<Known>,
    /// The voters that nobody has looked at.
    pub missing: Vec<Known>,
    /// Whether a change may have been acknowledged that none of the survivors has.
    pub loss: Loss,
    /// Whether the survivors are a quorum: they only have to be started.
    pub quorum: bool,
}

/// What may be lost with the nodes that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Every change that was acknowledged is on a survivor.
    Nothing,
    /// The missing voters can have made a quorum among themselves.
    Possible,
}

/// The surveys do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// One is of another cluster.
    #[error("{name} is a node of the cluster {found}, and this is {expected}")]
    OtherCluster {
        /// The node.
        name: String,
        /// Its cluster.
        found: String,
        /// This one.
        expected: String,
    },
    /// One is of another lineage.
    #[error(
        "{name} is of another lineage: there was a recovery or a restore on one side, so their logs cannot be compared"
    )]
    OtherGroup {
        /// The node.
        name: String,
    },
    /// One is this node's own.
    #[error("{name} is this node itself; give the surveys of the others")]
    Itself {
        /// The node.
        name: String,
    },
}

impl From<LogId> for Place {
    fn from(log_id: LogId) -> Self {
        Place { term: log_id.term, index: log_id.index }
    }
}

impl Survey {
    /// How many entries may never have been acknowledged. They are kept.
    #[must_use]
    pub fn unsure(&self) -> u64 {
        self.last.index.saturating_sub(self.committed.index)
    }

    /// Whether this node votes alone: then there is no quorum to lose.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(self.voters.as_slice(), [voters] if *voters == BTreeSet::from([self.node_id]))
    }

    fn known(&self, node_id: u64) -> Known {
        let known = self.nodes.iter().find(|node| node.node_id == node_id).cloned();
        known.unwrap_or_else(|| Known {
            node_id,
            name: format!("node {node_id}"),
            peer_address: String::new(),
        })
    }
}

/// Compares what this node has with what the other survivors have.
///
/// A log that ends with the higher term has more, and with the same term the longer one: then it has
/// everything that was committed on any of them, as Raft promises for whoever wins an election.
///
/// # Errors
/// [`CompareError`].
pub fn compare(own: &Survey, others: &[Survey]) -> Result<Comparison, CompareError> {
    for other in others {
        let name = other.name.clone();
        if other.cluster_id != own.cluster_id {
            let (found, expected) = (other.cluster_id.clone(), own.cluster_id.clone());
            return Err(CompareError::OtherCluster { name, found, expected });
        }
        if other.group != own.group {
            return Err(CompareError::OtherGroup { name });
        }
        if other.node_id == own.node_id {
            return Err(CompareError::Itself { name });
        }
    }
    let mut more: Vec<&Survey> = others.iter().filter(|other| other.last > own.last).collect();
    more.sort_by_key(|other| std::cmp::Reverse(other.last));
    // Who votes is in the log, too: the one that has the most knows best.
    let newest = more.first().copied().unwrap_or(own);
    let survivors: BTreeSet<u64> = others.iter().chain([own]).map(|survey| survey.node_id).collect();
    let here = |voters: &BTreeSet<u64>| voters.intersection(&survivors).count();
    let quorum = newest.voters.iter().all(|voters| here(voters) > voters.len() / 2);
    // While the membership changes the last set is the one that decides alone in the end, and that end may
    // not have come here any more.
    let apart = newest.voters.last().is_none_or(|voters| voters.len() - here(voters) > voters.len() / 2);
    let voters: BTreeSet<u64> = newest.voters.iter().flatten().copied().collect();
    Ok(Comparison {
        ahead: more.iter().map(|other| own.known_or(other)).collect(),
        missing: voters.difference(&survivors).map(|node_id| newest.known(*node_id)).collect(),
        loss: if apart { Loss::Possible } else { Loss::Nothing },
        quorum,
    })
}

impl Survey {
    fn known_or(&self, other: &Survey) -> Known {
        Known { name: other.name.clone(), ..self.known(other.node_id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;

    fn survey(node_id: u64, last: (u64, u64), voters: &[&[u64]]) -> Survey {
        let known = |node_id| Known { node_id, name: format!("n{node_id}"), peer_address: String::new() };
        Survey {
            cluster_id: "lab".into(),
            group: "g".into(),
            node_id,
            name: format!("n{node_id}"),
            term: last.0,
            last: Place { term: last.0, index: last.1 },
            committed: Place { term: last.0, index: last.1 },
            snapshot: 0,
            revision: 0,
            entries: 0,
            changed_at_ms: None,
            voters: voters.iter().map(|set| set.iter().copied().collect()).collect(),
            nodes: (1..=5).map(known).collect(),
        }
    }

    /// Ids ahead, ids missing, whether something may be lost, whether there is a quorum.
    fn check(own: &Survey, others: &[Survey], expected: (&[u64], &[u64], bool, bool)) {
        let found = compare(own, others).unwrap();
        let ids = |known: &[Known]| known.iter().map(|known| known.node_id).collect::<Vec<_>>();
        let possible = found.loss == Loss::Possible;
        assert_eq!(
            (ids(&found.ahead).as_slice(), ids(&found.missing).as_slice(), possible, found.quorum),
            expected
        );
    }

    #[test]
    fn what_was_released_is_read_and_still_written() {
        let own = Survey { changed_at_ms: Some(7), snapshot: 4, ..survey(1, (4, 10), &[&[1], &[1, 2, 3]]) };
        let written = serde_json::to_vec_pretty(&own).unwrap();
        let frozen = frozen::check("survey-1/node.json", &written);
        assert_eq!(serde_json::from_slice::<Survey>(&frozen).unwrap(), own);
    }

    #[test]
    fn says_who_has_more_and_what_may_be_lost() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        let own = survey(1, (4, 10), three);
        check(&own, &[], (&[], &[2, 3], true, false));
        check(&own, &[survey(2, (4, 10), three)], (&[], &[3], false, true));
        check(&own, &[survey(2, (4, 11), three)], (&[2], &[3], false, true));
        // A higher term has more than a longer log.
        check(&own, &[survey(2, (5, 3), three), survey(3, (3, 99), three)], (&[2], &[], false, true));
        // Of two voters either has everything.
        check(&survey(1, (1, 1), &[&[1, 2]]), &[], (&[], &[2], false, false));
        let five: &[&[u64]] = &[&[1, 2, 3, 4, 5]];
        check(&survey(1, (1, 1), five), &[survey(2, (1, 1), five)], (&[], &[3, 4, 5], true, false));
        // The first set needs this node, but the others may have left it for the second meanwhile.
        check(&survey(1, (1, 1), &[&[1, 2], &[1, 2, 3]]), &[], (&[], &[2, 3], true, false));
        // A learner has no part in any quorum.
        check(&survey(4, (1, 1), three), &[], (&[], &[1, 2, 3], true, false));
    }

    #[test]
    fn what_does_not_belong_together_is_not_compared() {
        let own = survey(1, (1, 1), &[&[1, 2, 3]]);
        let of_another = |change: fn(&mut Survey)| {
            let mut other = survey(2, (1, 1), &[&[1, 2, 3]]);
            change(&mut other);
            compare(&own, &[other]).unwrap_err().to_string()
        };
        assert!(of_another(|other| other.cluster_id = "x".into()).contains("of the cluster x"));
        assert!(of_another(|other| other.group = "x".into()).contains("another lineage"));
        assert!(of_another(|other| other.node_id = 1).contains("this node itself"));
    }
}

//! Whether a node that is not known here yet is to be believed: a member that is known here has to say so.

use super::{Admitted, Cluster};
use crate::proto::peer::v1 as wire;
use crate::state::KeyHash;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What the members said about nodes that are not known here yet.
pub(super) struct Vouched {
    answers: Mutex<BTreeMap<(u64, KeyHash), Answer>>,
    asking: Semaphore,
}

#[derive(Clone, Copy)]
struct Answer {
    yes: bool,
    at: Instant,
}

impl Default for Vouched {
    fn default() -> Self {
        Vouched { answers: Mutex::default(), asking: Semaphore::new(ASKING_MAX) }
    }
}

impl Vouched {
    fn remembered(&self, who: (u64, KeyHash)) -> Option<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(&who)?;
        // A yes stands until the log says more; a no may be one of members that are behind themselves.
        (answer.yes || answer.at.elapsed() < NO_STANDS).then_some(answer.yes)
    }

    fn remember(&self, who: (u64, KeyHash), yes: bool, applied: u64) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(node_id, _), answer| {
            *node_id > applied && (answer.yes || answer.at.elapsed() < NO_STANDS)
        });
        if answers.len() < ANSWERS_MAX {
            answers.insert(who, Answer { yes, at: Instant::now() });
        }
    }
}

impl Cluster {
    /// Whether a node that is [`Admitted::Coming`] may send Raft's messages: it is a member by the log that
    /// is here, applied or not, or a member that is known here knows it by this key.
    pub async fn is_vouched(&self, node_id: u64, key: &KeyHash) -> bool {
        // The log came from a leader that was believed. Two of three can go on so, when the third is gone
        // for good and one of them has not applied yet that the other came.
        if self.has_member(node_id) {
            return true;
        }
        let vouched = &self.shared.vouched;
        if let Some(answer) = vouched.remembered((node_id, *key)) {
            return answer;
        }
        let Ok(_place) = vouched.asking.try_acquire() else { return false };
        let yes = ask(self, node_id, key).await;
        vouched.remember((node_id, *key), yes, *self.shared.published.applied.borrow());
        yes
    }

    /// Whether this node knows another one by this key.
    pub(super) fn knows(&self, node_id: u64, key: &KeyHash) -> bool {
        matches!(self.admits(node_id, key), Ok(Admitted::Member))
    }

    /// Those to ask: id and address.
    fn vouchers(&self, about: u64) -> Vec<(u64, String)> {
        let state = self.shared.published.state.borrow();
        let mut known: Vec<(u64, String)> =
            state.roster.nodes.iter().map(|(id, node)| (*id, node.peer_address.clone())).collect();
        if let Some(introduction) = self.shared.introduction.get().filter(|_| !state.roster.is_founded()) {
            let members = introduction.members.iter();
            known.extend(members.map(|member| (member.node_id, member.peer_address.clone())));
        }
        known.retain(|(id, _)| *id != about && *id != self.shared.config.node_id);
        known
    }
}

/// Asks all at once; one yes is enough.
pub(super) async fn ask(cluster: &Cluster, node_id: u64, key: &KeyHash) -> bool {
    let vouchers = cluster.vouchers(node_id);
    let founded = cluster.shared.published.state.borrow().roster.is_founded();
    if vouchers.is_empty() && !founded {
        // A node that begins and was told of nobody.
        return true;
    }
    let asked = vouchers.into_iter().map(|(voucher, address)| async move {
        let request = wire::VouchRequest { node_id, key: key.0.to_vec() };
        let mut client = cluster.peers().node(voucher, &address);
        let answer = tokio::time::timeout(ASK_TIMEOUT, client.vouch(request)).await;
        matches!(answer, Ok(Ok(answer)) if answer.get_ref().known)
    });
    let answers: FuturesUnordered<_> = asked.collect();
    answers.any(std::future::ready).await
}

/// Those that come are few, and they are asked about once.
const ASKING_MAX: usize = 8;
const ANSWERS_MAX: usize = 64;
/// A connection and a look at the roster.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Shorter than an election, so that who is new is not kept waiting, and a stranger costs little.
const NO_STANDS: Duration = Duration::from_millis(500);

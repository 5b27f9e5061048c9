//! The members of distribution groups that are authorized, read in the background: an account that calls
//! shows its groups of security, but never these.

use super::What;
use super::ldap::{AccessError, Client, Follow};
use crate::principal::Sid;
use crate::tasks::Tasks;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Lists {
    read: Mutex<Arc<BTreeMap<Sid, List>>>,
}

#[derive(Clone, Debug)]
struct List {
    members: Arc<BTreeSet<Sid>>,
    at: Instant,
}

impl Lists {
    /// The distribution groups that an account is in, itself or by one of its groups.
    pub(super) fn of(&self, client: &Client, sid: &Sid, groups: &[Sid]) -> Vec<Sid> {
        let lists = self.all();
        let current = lists.iter().filter(|(_, list)| list.at.elapsed() <= client.config.last_good_max);
        let holds = |list: &List| {
            list.members.contains(sid) || groups.iter().any(|group| list.members.contains(group))
        };
        current.filter(|(_, list)| holds(list)).map(|(group, _)| group.clone()).collect()
    }

    /// Reads the members again and again, and at once when other groups are authorized.
    pub(super) async fn keep(
        &self,
        client: &Client,
        mut groups: watch::Receiver<Arc<Vec<Sid>>>,
        tasks: &Tasks,
    ) {
        loop {
            let wanted = groups.borrow_and_update().clone();
            if let Err(error) = self.read(client, &wanted).await {
                tracing::debug!(%error, "distribution groups stay as they were");
            }
            let wait = if client.is_away() { RETRY_AFTER } else { client.config.lists_every };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = groups.changed() => if changed.is_err() { return },
                () = tasks.draining() => return,
            }
        }
    }

    async fn read(&self, client: &Client, groups: &[Sid]) -> Result<(), AccessError> {
        let mut lists = BTreeMap::new();
        let some = groups.get(..GROUPS_MAX.min(groups.len())).unwrap_or(groups);
        for group in client.by_sids(some).await?.into_iter().filter(|row| row.what == What::DistributionGroup)
        {
            let members = client.members(&group, Follow::Distribution, MEMBERS_MAX).await?;
            if members.more {
                tracing::warn!(group = %group.name, MEMBERS_MAX, "a distribution group has more members than are read");
            }
            let members = Arc::new(members.rows.into_iter().map(|row| row.sid).collect());
            lists.insert(group.sid, List { members, at: Instant::now() });
        }
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
        Ok(())
    }

    fn all(&self) -> Arc<BTreeMap<Sid, List>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// More groups are not looked at: an entry for each of its servers would be less work.
const GROUPS_MAX: usize = 1_000;
/// A group with more is no group of servers.
const MEMBERS_MAX: usize = 10_000;
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

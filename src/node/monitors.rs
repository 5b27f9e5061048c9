//! What monitors read on the ops port.

use super::duty::{Duty, WITNESS};
use super::{StartError, bind, in_words, table_age};
use crate::cluster::Cluster;
use crate::config::Listen;
use crate::control::Survey;
use crate::front::Peers;
use crate::tasks::Tasks;
use crate::telemetry::{self, Answer, Ops, Registry};
use serde_json::json;
use std::sync::Arc;

/// Out of what the answers are made.
pub(super) struct Readings {
    pub(super) duty: Duty,
    /// None: a witness, which has no front.
    pub(super) rotation: Option<Peers>,
    pub(super) survey: Survey,
    pub(super) registry: Registry,
}

pub(super) async fn serve(
    listen: &Listen,
    cluster: &Cluster,
    readings: Readings,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let listener = bind("ops", listen.ops).await?;
    let Readings { duty, rotation, survey, mut registry } = readings;
    table_age::enter(&mut registry, &duty, cluster, tasks);
    let ready = cluster.clone();
    let cluster = cluster.clone();
    let ops = Ops {
        ready: Arc::new(move || readiness(&ready, &duty, rotation.as_ref())),
        cluster: Arc::new(move || standing(&cluster, &survey)),
        metrics: Arc::new(registry),
    };
    tasks.spawn("ops listener", telemetry::serve(listener, ops, tasks.clone()));
    Ok(())
}

/// A witness is never ready: who spreads requests by this answer must not send it any. Whether it does
/// what it is for, `/clusterz` tells.
fn readiness(cluster: &Cluster, duty: &Duty, rotation: Option<&Peers>) -> Answer {
    let (ready, reason) = in_words(duty.serving().borrow().now());
    let table = cluster.state().borrow().table.clone();
    let age_ms = duty.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let details = json!({
        "ready": ready, "reason": reason, "witness": reason == WITNESS,
        "revision": table.revision, "entries": table.entries.len(), "table_age_ms": age_ms,
        "rotation": rotation.map(Peers::names).unwrap_or_default(),
    });
    Answer { yes: ready, details }
}

fn standing(cluster: &Cluster, survey: &Survey) -> Answer {
    let standing = cluster.standing();
    let members = cluster.members().borrow().clone();
    let leader = standing.leader.and_then(|id| members.iter().find(|member| member.node_id == id));
    let leader = leader.map(|member| member.name.clone());
    let survivals = survey.survivals();
    let details = json!({
        "changes": standing.quorum, "leader": leader, "term": standing.term, "nodes": members.len(),
        "relay_survives": survivals.map(|survivals| survivals.relay),
        "changes_survive": survivals.map(|survivals| survivals.changes),
    });
    Answer { yes: standing.quorum, details }
}

//! The token for the cloud on this node: what the roster has, as soon as it is applied, and what the service did not
//! take, for the leader to hear.

use super::{Groups, StartError, now};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::control::CloudParts;
use crate::enrolment::{CloudToken, Enrolment};
use crate::event::{Event, with_causes};
use crate::renewal::{Metrics, Renewal};
use crate::tasks::Tasks;
use crate::telemetry::Registry;
use crate::upstream::cloud::{Provider, Reach};
use crate::upstream::{AccessToken, Kind, TokenSource};
use std::sync::Arc;
use time::OffsetDateTime;

/// Starts what keeps the token, and gives what administrators need.
pub(super) fn keep(
    config: &Config,
    (cluster, enrolment): (&Cluster, &Enrolment),
    source: TokenSource,
    registry: &mut Registry,
    groups: &Groups,
) -> Result<CloudParts, StartError> {
    let upstream = &config.upstream;
    let provider = Provider::of(upstream)?;
    if let Some(provider) = provider.clone() {
        let metrics = Metrics::register(registry);
        let tasks = groups.storage.clone();
        let (cluster, enrolment, node) = (cluster.clone(), enrolment.clone(), config.node.name.clone());
        let renewal = Renewal::new(
            cluster.clone(),
            enrolment.clone(),
            provider,
            metrics.clone(),
            OffsetDateTime::now_utc,
        );
        let following = follow(Kept { cluster, enrolment, node }, source, metrics, tasks.clone());
        groups.storage.spawn("cloud token", following);
        groups.storage.spawn("cloud renewal", renewal.keep(tasks));
    }
    let oauth = match &upstream.kind {
        Kind::OAuth(oauth) => Some((**oauth).clone()),
        Kind::Simulated | Kind::AdRms(_) | Kind::Chained(_) => None,
    };
    let (kind, url, reach) = (upstream.kind.word(), upstream.base.to_string(), Reach::new(upstream)?);
    Ok(CloudParts { kind, url, oauth, provider, reach })
}

/// What the token of this node comes from.
struct Kept {
    cluster: Cluster,
    enrolment: Enrolment,
    /// This node's name, for what it says.
    node: String,
}

/// Follows the roster until the tasks drain.
async fn follow(kept: Kept, source: TokenSource, metrics: Metrics, tasks: Tasks) {
    let Kept { cluster, enrolment, node } = kept;
    let TokenSource { newest, mut refused } = source;
    let mut roster = cluster.roster();
    let mut closed = false;
    loop {
        let applied = roster.borrow_and_update().clone();
        match enrolment.cloud(&applied) {
            Ok(cloud) => {
                closed = false;
                metrics.show(&cloud);
                let token = cloud.token.map(|token| Arc::new(access(&token)));
                newest.send_if_modified(|now| {
                    let is_other = now.as_ref().map(|it| it.id) != token.as_ref().map(|it| it.id);
                    if is_other {
                        *now = token;
                    }
                    is_other
                });
            }
            Err(error) if !std::mem::replace(&mut closed, true) => {
                let doing = "reading the token for the cloud";
                Event::Unexpected { doing, reason: &with_causes(&error) }.log();
            }
            Err(_) => {}
        }
        tokio::select! {
            changed = roster.changed() => if changed.is_err() { return },
            Some(id) = refused.recv() => say_refused(&cluster, &enrolment, &node, id).await,
            () = tasks.draining() => return,
        }
    }
}

/// The leader gets a new token when it reads this, once however many nodes say it.
async fn say_refused(cluster: &Cluster, enrolment: &Enrolment, node: &str, id: [u8; 16]) {
    let roster = cluster.state().borrow().roster.clone();
    let cloud = enrolment.cloud(&roster).unwrap_or_default();
    let is_known = cloud.refused == Some(id) || cloud.token.is_none_or(|token| token.id != id);
    if is_known {
        return;
    }
    if let Err(error) = cluster.write(node, enrolment.refuse_cloud_token(id), None, now()).await {
        tracing::info!(%error, "the leader was not told that the cloud does not take the token");
    }
}

fn access(token: &CloudToken) -> AccessToken {
    AccessToken {
        id: token.id,
        text: token.access.clone(),
        expires_at: OffsetDateTime::from_unix_timestamp_nanos(i128::from(token.expires_at.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
    }
}

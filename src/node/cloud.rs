//! The token for the cloud on this node: what the roster has, as soon as it is applied, and what the service did not
//! take, for the others to hear.

use super::{Groups, StartError, now};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::control::CloudParts;
use crate::enrolment::{Cloud, CloudSettings, CloudToken, Enrolment};
use crate::event::{Event, with_causes};
use crate::renewal::{Metrics, Renewal, settings_of};
use crate::tasks::Tasks;
use crate::telemetry::Registry;
use crate::upstream::cloud::{Provider, Reach};
use crate::upstream::{AccessToken, Kind, TokenSource};
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};

/// Which setting of this node is another one than the login's; empty if none is. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Difference(Arc<Mutex<String>>);

impl Difference {
    pub(super) fn now(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is another one than before.
    fn set(&self, difference: Option<&str>) -> bool {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *now != difference.unwrap_or_default();
        *now = difference.unwrap_or_default().to_owned();
        changed
    }
}

/// Starts what keeps the token, and gives what administrators need.
pub(super) fn keep(
    config: &Config,
    (cluster, enrolment): (&Cluster, &Enrolment),
    (source, difference): (TokenSource, Difference),
    registry: &mut Registry,
    groups: &Groups,
) -> Result<CloudParts, StartError> {
    let upstream = &config.upstream;
    let provider = Provider::of(upstream)?;
    if let Some(provider) = provider.clone() {
        let metrics = Metrics::register(registry);
        let tasks = groups.storage.clone();
        let (cluster, enrolment) = (cluster.clone(), enrolment.clone());
        let TokenSource { newest, refused } = source;
        let own = Own { newest, metrics: metrics.clone(), settings: settings_of(&provider), difference };
        let clock = OffsetDateTime::now_utc;
        let renewal = Renewal::new(cluster.clone(), enrolment.clone(), provider, metrics, clock);
        let telling = tell_refused(cluster.clone(), enrolment.clone(), refused, tasks.clone());
        groups.storage.spawn("cloud token", follow(cluster, enrolment, own, tasks));
        groups.storage.spawn("cloud token refused", telling);
        // It ends while the cluster still takes what it got.
        groups.control.spawn("cloud renewal", renewal.keep(groups.control.clone()));
    }
    let oauth = match &upstream.kind {
        Kind::OAuth(oauth) => Some((**oauth).clone()),
        Kind::Simulated | Kind::AdRms(_) | Kind::Chained(_) => None,
    };
    let (kind, url, reach) = (upstream.kind.word(), upstream.base.to_string(), Reach::new(upstream)?);
    Ok(CloudParts { kind, url, oauth, provider, reach })
}

/// What this node does with what the roster has.
struct Own {
    newest: watch::Sender<Option<Arc<AccessToken>>>,
    metrics: Metrics,
    settings: CloudSettings,
    difference: Difference,
}

impl Own {
    fn take(&self, cloud: Cloud) {
        self.metrics.show(&cloud);
        let settings = cloud.enrolment.as_ref().and_then(|enrolment| enrolment.settings.as_ref());
        let difference = settings.and_then(|settings| settings.difference(&self.settings));
        let is_new = self.difference.set(difference.as_deref());
        if let Some(difference) = difference.as_deref().filter(|_| is_new) {
            Event::CloudSettingsDiffer { difference }.log();
        }
        // A token goes nowhere but where it was got for.
        let token = cloud.token.filter(|_| difference.is_none());
        let token = token.map(|token| Arc::new(access(&token)));
        self.newest.send_if_modified(|now| {
            let is_other = now.as_ref().map(|it| it.id) != token.as_ref().map(|it| it.id);
            if is_other {
                *now = token;
            }
            is_other
        });
    }
}

/// Follows the roster until the tasks drain.
async fn follow(cluster: Cluster, enrolment: Enrolment, own: Own, tasks: Tasks) {
    let mut roster = cluster.roster();
    let (mut closed, mut before) = (false, None);
    loop {
        let applied = roster.borrow_and_update().clone();
        match enrolment.cloud(&applied) {
            Ok(cloud) => {
                closed = false;
                let now = cloud.enrolment.as_ref().map(|enrolment| enrolment.id);
                // What was so before the start is not said again.
                if before.replace(now).is_some_and(|before| before != now) {
                    say_who(&cloud);
                }
                own.take(cloud);
            }
            Err(error) if !std::mem::replace(&mut closed, true) => {
                let doing = "reading the token for the cloud";
                Event::Unexpected { doing, reason: &with_causes(&error) }.log();
            }
            Err(_) => {}
        }
        tokio::select! {
            changed = roster.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

fn say_who(cloud: &Cloud) {
    match (&cloud.enrolment, &cloud.signed_out) {
        (Some(login), _) => {
            Event::CloudSignedIn { method: login.credential.word(), by: &login.by }.log();
        }
        (None, Some(out)) => Event::CloudSignedOut { by: &out.by }.log(),
        (None, None) => Event::CloudSignedOut { by: "" }.log(),
    }
}

/// Tells the cluster about tokens that were not taken, until the tasks drain. New ones are handed out meanwhile.
async fn tell_refused(
    cluster: Cluster,
    enrolment: Enrolment,
    mut refused: mpsc::Receiver<[u8; 16]>,
    tasks: Tasks,
) {
    loop {
        tokio::select! {
            id = refused.recv() => match id {
                Some(id) => say_refused(&cluster, &enrolment, id).await,
                None => return,
            },
            () = tasks.draining() => return,
        }
    }
}

/// Whoever's turn it is gets a new token when it reads this, once however many nodes say it.
async fn say_refused(cluster: &Cluster, enrolment: &Enrolment, id: [u8; 16]) {
    let roster = cluster.state().borrow().roster.clone();
    let cloud = enrolment.cloud(&roster).unwrap_or_default();
    let is_known = cloud.refused == Some(id) || cloud.token.is_none_or(|token| token.id != id);
    if is_known {
        return;
    }
    let change = enrolment.refuse_cloud_token(cloud.marks, id);
    if let Err(error) = cluster.write(cluster.node().1, change, None, now()).await {
        tracing::info!(%error, "the cluster was not told that the cloud does not take the token");
    }
}

fn access(token: &CloudToken) -> AccessToken {
    AccessToken { id: token.id, text: token.access.clone() }
}

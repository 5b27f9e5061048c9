//! What a node that relays tells the others about itself.

use super::cloud::Difference;
use super::duty::Duty;
use super::front_certificate::FrontCertificates;
use super::front_report::front_report;
use super::own::{self, Own};
use super::service_keys::ServiceKeys;
use super::{in_words, now};
use crate::cluster::Facts;
use crate::config::Config;
use crate::directory::Directory;
use crate::front::Peers;
use crate::relay::{self, NtlmRules};
use crate::tasks::Tasks;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use time::OffsetDateTime;

/// Where a node that relays counts.
pub(super) struct Counted {
    relay: relay::Metrics,
    /// Its front comes later than the cluster that tells others about it.
    rotation: Arc<OnceLock<Peers>>,
    keys: ServiceKeys,
    certificates: FrontCertificates,
    ntlm: NtlmRules,
    directory: Arc<Directory>,
    account_shared: bool,
    service_name: String,
    upstream: String,
    pub(super) cloud: Difference,
}

impl Counted {
    pub(super) fn new(
        relay: &relay::Metrics,
        rotation: &Arc<OnceLock<Peers>>,
        (keys, certificates): (&ServiceKeys, &FrontCertificates),
        directory: &Arc<Directory>,
        config: &Config,
    ) -> Self {
        let (relay, rotation) = (relay.clone(), rotation.clone());
        Counted {
            relay,
            rotation,
            keys: keys.clone(),
            certificates: certificates.clone(),
            ntlm: config.identity.ntlm,
            directory: directory.clone(),
            account_shared: config.upstream.kind.shares_an_account(),
            service_name: config.cluster.service_name.clone(),
            upstream: format!("{} at {}", config.upstream.kind.word(), config.upstream.base),
            cloud: Difference::default(),
        }
    }
}

pub(super) fn facts(
    duty: &Duty,
    own: &Own,
    counted: Counted,
    clients: &Tasks,
) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let clients = clients.clone();
    let (duty, serving, started) = (duty.clone(), duty.serving(), Instant::now());
    let (membership, plain_seal_key) = (own.membership.clone(), own.plain_seal_key);
    Arc::new(move || {
        let (ready, reason) = in_words(serving.borrow().now());
        let certificates = counted.certificates.facts(OffsetDateTime::now_utc());
        Facts {
            ready,
            reason,
            relayed: counted.relay.answered(),
            uptime: started.elapsed(),
            age: duty.age(),
            stale_after: duty.stale_after(),
            in_flight: counted.relay.in_flight(),
            rotation: counted.rotation.get().map(Peers::ids).unwrap_or_default(),
            front: counted.rotation.get().map(front_report),
            hampered: counted.rotation.get().and_then(Peers::own_hamper).unwrap_or_default(),
            certificate_expires_at: Some(own::expires_at(&membership)),
            plain_seal_key,
            exchange_ntlm_unbound: counted.ntlm.lets_exchange_in_unbound(),
            directory_away: counted.directory.away_for(),
            winbind_away: counted.directory.winbind_is_away(),
            account_shared: counted.account_shared,
            cloud_differs: counted.cloud.now(),
            service_keys: counted.keys.shown(),
            clock: Some(now()),
            front_certificate: certificates.shown,
            certificate_lacking: certificates.lacking,
            certificate_faults: certificates.faults,
            serves_clients: !clients.have_ended(),
            service_name: counted.service_name.clone(),
            upstream: counted.upstream.clone(),
            service_failing: counted.relay.service_failing(),
        }
    })
}

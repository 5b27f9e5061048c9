//! A witness: it votes and keeps the log, and neither takes nor relays requests.

use super::duty::Duty;
use super::peer_service::PeerService;
use super::{
    Groups, Node, StartError, bind, check_kind, keep_up, monitors, node_id, open, serve_administrators,
};
use crate::cluster::Facts;
use crate::config;
use crate::control::{self, Survey};
use crate::event::Event;
use crate::listener;
use crate::state::{NodeKind, Timestamp};
use crate::telemetry::Registry;
use crate::tls::Membership;
use std::sync::Arc;
use std::time::Instant;

impl Node {
    /// Builds and starts the parts of a witness.
    ///
    /// # Errors
    /// [`StartError`] says which part, and names what is wrong.
    pub async fn start_witness(config: config::Witness) -> Result<Self, StartError> {
        let groups = Groups::default();
        let mut registry = Registry::default();
        let member = Membership::load(&config.node.member, &config.node.authority)?;
        let node_id = node_id(config.basics(), &member)?;
        let duty = Duty::new(node_id, NodeKind::Witness);
        let basics = (config.basics(), NodeKind::Witness);
        let cluster = open(basics, &member, facts(&duty, &member), &groups.storage).await?;
        check_kind(&cluster, node_id, NodeKind::Witness)?;
        let listener = bind("peer", config.listen.peer).await?;
        let service = PeerService::new(None, cluster.routes(), cluster.members());
        let serving = listener::serve(listener, member.server()?, Arc::new(service), groups.storage.clone());
        groups.storage.spawn("peer listener", serving);
        let survey = Survey::new(cluster.clone(), control::Metrics::register(&mut registry));
        let control = control::Config {
            cluster_id: member.member().cluster.clone(),
            node_id,
            service_name: config.cluster.service_name.clone(),
            upstream_kind: "",
            upstream_address: String::new(),
        };
        serve_administrators(control, (&config.listen, &member), &survey, None, &groups).await?;
        let readings = monitors::Readings { duty: duty.clone(), rotation: None, survey, registry };
        monitors::serve(&config.listen, &cluster, readings, &groups.control).await?;
        keep_up(&cluster, &duty, &groups.storage);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            duty,
            cluster,
            clients: groups.clients,
            hops: groups.hops,
            control: groups.control,
            storage: groups.storage,
            drain_timeout: config.drain_timeout,
        })
    }
}

fn facts(duty: &Duty, member: &Membership) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let (duty, started) = (duty.clone(), Instant::now());
    let certificate_expires_at = member.expires_at().map(Timestamp);
    Arc::new(move || Facts {
        reason: super::duty::WITNESS.into(),
        uptime: started.elapsed(),
        age: duty.age(),
        stale_after: duty.stale_after(),
        certificate_expires_at,
        ..Facts::default()
    })
}

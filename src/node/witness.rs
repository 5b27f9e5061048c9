//! A witness: it votes and keeps the log, and neither takes nor relays requests.

use super::administrators::Administrators;
use super::duty::{Duty, WITNESS};
use super::own::{self, Own};
use super::peer_service::PeerService;
use super::{Groups, Node, StartError, keep_up, monitors, serve_administrators, serve_peers};
use crate::cluster::Facts;
use crate::config;
use crate::control::{self, Survey};
use crate::enrolment::JoinService;
use crate::event::Event;
use crate::state::NodeKind;
use crate::telemetry::Registry;
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
        let own = Own::open(config.basics(), NodeKind::Witness)?;
        let duty = Duty::new(own.node_id(), NodeKind::Witness);
        let (cluster, admission) = own.join_in(config.basics(), facts(&duty, &own), &groups).await?;
        let enrolment = own.enrolment(config.basics(), &cluster, &mut registry);
        enrolment.renew_if_due();
        let join = JoinService::into_routes(enrolment.clone());
        let service = PeerService::new(None, cluster.routes(), join, admission);
        serve_peers(&config.listen, &own, service, &groups).await?;
        let survey = Survey::new(cluster.clone(), control::Metrics::register(&mut registry));
        let parts = control::Parts {
            survey: survey.clone(),
            enrolment: enrolment.clone(),
            directory: None,
            cloud: None,
        };
        let control = (control_config(&config, &own), parts, Administrators::new(cluster.clone()));
        serve_administrators(&config.listen, &own, control, &groups).await?;
        let readings = monitors::Readings { duty: duty.clone(), rotation: None, survey, registry };
        monitors::serve(&config.listen, &cluster, readings, &groups.control).await?;
        keep_up(&cluster, &enrolment, &duty, &groups);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            node_id: own.node_id(),
            data_dir: config.node.data_dir,
            duty,
            cluster,
            groups,
            drain_timeout: config.drain_timeout,
        })
    }
}

fn control_config(config: &config::Witness, own: &Own) -> control::Config {
    control::Config {
        cluster_id: own.identity.cluster_id.clone(),
        node_id: own.node_id(),
        service_name: config.cluster.service_name.clone(),
        upstream_kind: "",
        upstream_address: String::new(),
        peer_address: config.listen.peer.to_string(),
        node: config.node.name.clone(),
    }
}

fn facts(duty: &Duty, own: &Own) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let (duty, started, membership) = (duty.clone(), Instant::now(), own.membership.clone());
    let plain_seal_key = own.plain_seal_key;
    Arc::new(move || Facts {
        reason: WITNESS.into(),
        uptime: started.elapsed(),
        age: duty.age(),
        stale_after: duty.stale_after(),
        certificate_expires_at: Some(own::expires_at(&membership)),
        plain_seal_key,
        clock: Some(super::now()),
        ..Facts::default()
    })
}

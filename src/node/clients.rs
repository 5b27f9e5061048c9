//! The listeners for calling servers.

use super::StartError;
use super::front_certificate::FrontCertificates;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::front::{Front, Listener};
use crate::state::Roster;
use crate::tasks::Tasks;
use futures::FutureExt;
use std::future::Future;
use std::sync::Arc;

/// Who comes before `ready` waits to be accepted.
pub(super) async fn serve(
    config: &Config,
    front: &Arc<Front>,
    certificates: &FrontCertificates,
    ready: impl Future<Output = ()> + Clone + Send + 'static,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let mut listeners = Vec::new();
    if let Some((address, _)) = &config.listen.https {
        listeners.push(("https", *address, Some(certificates.server())));
    }
    if let Some(address) = config.listen.http {
        listeners.push(("http", address, None));
    }
    for (what, address, tls) in listeners {
        let listener = Listener::bind(address, tls, &config.front)
            .await
            .map_err(|source| StartError::Listen { what, address, source })?;
        let serving = listener.serve(front.clone(), tasks.clone());
        tasks.spawn("client listener", ready.clone().then(|()| serving));
    }
    Ok(())
}

/// Closes the port of a node that leaves the cluster, and lets its callers go between two requests. As long as it is in
/// the roster the others do what it hands them; the leader waits for this before it drops it.
pub(super) async fn let_go(cluster: Cluster, clients: Tasks) {
    let (own, mut newest) = (cluster.node().0, cluster.roster());
    let leaves = |roster: &Arc<Roster>| {
        roster.removed.contains_key(&own) || roster.nodes.get(&own).is_some_and(|node| node.leaving.is_some())
    };
    tokio::select! {
        // An error: the state machine has ended, and the node does.
        left = newest.wait_for(leaves) => if left.is_ok() { clients.start_draining() },
        () = clients.draining() => {}
    }
}

//! Which members may be at the other end of this node's ports: those of the roster, by id and key.

use crate::cluster::{Admitted, Cluster, NotAdmitted};
use crate::event::{Event, Refused, Seen};
use crate::listener::Unwelcome;
use crate::state::KeyHash;
use crate::tls::Peer;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Judges by the newest roster that is applied here.
#[derive(Clone)]
pub(super) struct Admission {
    cluster: Cluster,
    said: Arc<Seen<(IpAddr, u64)>>,
}

impl Admission {
    pub(super) fn new(cluster: Cluster) -> Self {
        Admission { cluster, said: Arc::new(Seen::new(SAID_EVERY)) }
    }

    /// Whether a node may ask anything of this one.
    pub(super) fn check(&self, node_id: u64, peer: &Peer) -> Result<Admitted, Unwelcome> {
        self.cluster.admits(node_id, &KeyHash(peer.key)).map_err(|error| {
            let why = match error {
                NotAdmitted::Removed { .. } => Refused::RemovedNode,
                NotAdmitted::Unknown { .. } => Refused::UnknownNode,
                NotAdmitted::OtherKey { .. } => Refused::OtherKey,
            };
            Unwelcome { why, who: error.to_string() }
        })
    }

    /// Whether a node that is not known here yet may send Raft's messages: the only ones that it may.
    pub(super) async fn check_coming(
        &self,
        node_id: u64,
        peer: &Peer,
        remote: SocketAddr,
    ) -> Result<(), Unwelcome> {
        if self.cluster.is_vouched(node_id, &KeyHash(peer.key)).await {
            return Ok(());
        }
        let who =
            format!("node {node_id} is not known here, and no member that is known here vouches for it");
        // The address alone is not enough: one that forges ids must not hide a second one behind it.
        if self.said.is_new((remote.ip(), node_id), Instant::now()) {
            let why = Refused::UnknownNode;
            Event::ConnectionRefused { why, port: "peer", remote: &remote, who: &who }.log();
        }
        Err(Unwelcome { why: Refused::UnknownNode, who })
    }

    /// Whether this node may call another one. One that was removed is still told so by the log.
    pub(super) fn check_dialed(&self, node_id: u64, peer: &Peer) -> io::Result<()> {
        match self.cluster.admits(node_id, &KeyHash(peer.key)) {
            Ok(_) | Err(NotAdmitted::Removed { .. }) => Ok(()),
            Err(error @ (NotAdmitted::Unknown { .. } | NotAdmitted::OtherKey { .. })) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, error))
            }
        }
    }

    /// Ends when a node may ask no longer; why.
    pub(super) async fn dismissed(&self, node_id: u64, peer: &Peer) -> Unwelcome {
        let (mut applied, mut roster) = (self.cluster.applied(), self.cluster.roster());
        loop {
            applied.borrow_and_update();
            roster.borrow_and_update();
            let changed = match self.check(node_id, peer) {
                Ok(Admitted::Member) => roster.changed().await,
                // What is applied tells, too.
                Ok(Admitted::Coming) => applied.changed().await,
                Err(unwelcome) => return unwelcome,
            };
            if changed.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Who is refused asks again all the time.
const SAID_EVERY: Duration = Duration::from_secs(60);

//! Which members may be at the other end of this node's ports: those of the roster, by id and key.

use crate::cluster::{Cluster, NotAdmitted};
use crate::event::Refused;
use crate::listener::Unwelcome;
use crate::state::KeyHash;
use crate::tls::Peer;
use std::io;

/// Judges by the newest roster that is applied here.
#[derive(Clone)]
pub(super) struct Admission(Cluster);

impl Admission {
    pub(super) fn new(cluster: Cluster) -> Self {
        Admission(cluster)
    }

    /// Whether a node may ask anything of this one.
    pub(super) fn check(&self, node_id: u64, peer: &Peer) -> Result<(), Unwelcome> {
        self.0.admits(node_id, &KeyHash(peer.key)).map_err(|error| {
            let why = match error {
                NotAdmitted::Removed { .. } => Refused::RemovedNode,
                NotAdmitted::Unknown { .. } => Refused::UnknownNode,
                NotAdmitted::OtherKey { .. } => Refused::OtherKey,
            };
            Unwelcome { why, who: error.to_string() }
        })
    }

    /// Whether this node may call another one. One that was removed is still told so by the log.
    pub(super) fn check_dialed(&self, node_id: u64, peer: &Peer) -> io::Result<()> {
        match self.0.admits(node_id, &KeyHash(peer.key)) {
            Ok(()) | Err(NotAdmitted::Removed { .. }) => Ok(()),
            Err(error @ (NotAdmitted::Unknown { .. } | NotAdmitted::OtherKey { .. })) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, error))
            }
        }
    }

    /// Ends when a node may ask no longer; why.
    pub(super) async fn dismissed(&self, node_id: u64, peer: &Peer) -> Unwelcome {
        let mut state = self.0.state();
        loop {
            state.borrow_and_update();
            if let Err(unwelcome) = self.check(node_id, peer) {
                return unwelcome;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

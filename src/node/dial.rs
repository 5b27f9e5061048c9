//! How the cluster reaches other nodes: mutual TLS.

use super::admission::Admission;
use crate::cluster::{Dial, Dialed};
use crate::tls::MemberClient;
use futures::future::BoxFuture;
use std::io;
use std::sync::{Arc, OnceLock};

/// Dials with this node's certificate.
pub(super) struct TlsDial {
    client: MemberClient,
    /// Known once the cluster is open, which needs this to be opened.
    admission: Arc<OnceLock<Admission>>,
}

impl TlsDial {
    pub(super) fn new(client: MemberClient, admission: Arc<OnceLock<Admission>>) -> Self {
        TlsDial { client, admission }
    }
}

impl Dial for TlsDial {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        let (client, admission) = (self.client.clone(), self.admission.clone());
        Box::pin(async move {
            let (stream, peer) = client.connect(&address).await?;
            let node_id = peer.node_id().ok_or_else(|| io::Error::other(format!("{address} is no node")))?;
            if let Some(admission) = admission.get() {
                admission.check_dialed(node_id, &peer)?;
            }
            Ok(Dialed { stream: Box::new(stream), node_id })
        })
    }
}

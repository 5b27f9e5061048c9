//! How the cluster reaches other nodes: mutual TLS.

use crate::cluster::{Dial, Dialed};
use crate::tls::MemberClient;
use futures::future::BoxFuture;
use std::io;

/// Dials with this node's certificate.
pub(super) struct TlsDial(pub(super) MemberClient);

impl Dial for TlsDial {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (stream, member) = client.connect(&address).await?;
            let node_id =
                member.node_id().ok_or_else(|| io::Error::other(format!("{address} is no node")))?;
            Ok(Dialed { stream: Box::new(stream), node_id })
        })
    }
}

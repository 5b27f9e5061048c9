//! How the lab's nodes come together: by founding, tokens and joining, as on real hosts.

use super::layout::{Layout, NodeLayout};
use super::processes::Processes;
use super::{POLL_EVERY, client};
use crate::control::{Client, Context};
use crate::enrolment::{self, TokenText};
use crate::proto::control::v1 as proto;
use anyhow::{Context as _, bail};

/// Founds the cluster on the first node, lets the others in, and starts every one.
pub(super) async fn nodes(layout: &Layout, processes: &Processes) -> anyhow::Result<()> {
    let Some((first, others)) = layout.nodes().split_first() else { bail!("a lab has a node") };
    layout.found()?;
    processes.start(first)?;
    if others.is_empty() {
        return Ok(());
    }
    await_founded(first, processes).await?;
    let mut context = Context::load(&layout.context_file())?;
    context.endpoints.truncate(1);
    let mut tokens = Client::connect(&context).await?.tokens();
    for node in others {
        let token = tokens.create(proto::CreateTokenRequest::default()).await?.into_inner();
        let token: TokenText = token.text.parse()?;
        let joined = enrolment::join(&node.host(), &first.peer.to_string(), &token).await;
        joined.with_context(|| format!("{} did not join", node.name))?;
        processes.start(node)?;
    }
    Ok(())
}

/// Waits until the first node leads and can issue certificates.
async fn await_founded(first: &NodeLayout, processes: &Processes) -> anyhow::Result<()> {
    loop {
        if processes.note_deaths() {
            bail!("{} ended at its start", first.name);
        }
        match client::get_json(first.ops, "/clusterz").await {
            Ok(cluster) if cluster.get("nodes") == Some(&1.into()) => return Ok(()),
            _ => tokio::time::sleep(POLL_EVERY).await,
        }
    }
}

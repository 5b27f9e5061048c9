//! `rmsc status`: the cluster on one screen.

use super::output::{self, Format};
use super::{Exit, Global};
use crate::proto::control::v1 as proto;
use serde_json::json;

/// The cluster on one screen: who is in, who leads, and what still works if something fails.
///
/// Ends with 0 if all is well, and with 3 if there are warnings.
///
/// Examples:
///   rmsc status
///   rmsc status -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Status {}

impl Status {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let client = global.client().await?;
        let status = client.cluster().status(proto::StatusRequest {}).await?.into_inner();
        match global.output {
            Format::Json => output::json(&json(&status))?,
            Format::Table => print(&status),
        }
        Ok(if status.warnings.is_empty() { Exit::Fine } else { Exit::Warnings })
    }
}

fn print(status: &proto::StatusResponse) {
    let ready = status.nodes.iter().filter(|node| node.ready).count();
    let total: u64 = status.nodes.iter().map(|node| node.relayed).sum();
    let leader = if status.leader.is_empty() { "none" } else { &status.leader };
    output::line(&format!(
        "{}   {} nodes   leader {leader}   term {}",
        status.service_name,
        status.nodes.len(),
        status.term
    ));
    let relay = if ready == 0 { "not possible".to_owned() } else { survives(status.relay_survives) };
    let changes =
        if status.changes_survive < 0 { "not possible".to_owned() } else { survives(status.changes_survive) };
    output::line(&format!("  Relay    ready on {ready}/{}   {relay}", status.nodes.len()));
    output::line(&format!(
        "  Changes  {changes}   table revision {}, {} entries",
        status.revision, status.entries
    ));
    if let Some(upstream) = &status.upstream {
        output::line(&format!("  Service  {} at {}", upstream.kind, upstream.address));
    }
    output::line("");
    let rows = status.nodes.iter().map(|node| {
        let role = match (node.leader, node.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let state = if node.ready { "ready".to_owned() } else { node.reason.clone() };
        [
            node.name.clone(),
            role.into(),
            state,
            node.revision.to_string(),
            node.relayed.to_string(),
            share(node.relayed, total),
            node.peer_address.clone(),
            node.version.clone(),
        ]
    });
    output::table(["NODE", "ROLE", "STATE", "REVISION", "RELAYED", "SHARE", "PEER ADDRESS", "VERSION"], rows);
    if !status.warnings.is_empty() {
        output::line("");
    }
    for warning in &status.warnings {
        output::line(&format!("‼ {warning}"));
    }
}

fn survives(failures: i32) -> String {
    match failures {
        0 => "survives no failure".into(),
        1 => "survives 1 failure".into(),
        more => format!("survives {more} failures"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage with one digit")]
fn share(relayed: u64, total: u64) -> String {
    if total == 0 { "-".into() } else { format!("{:.1} %", 100.0 * relayed as f64 / total as f64) }
}

fn json(status: &proto::StatusResponse) -> serde_json::Value {
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            json!({
                "id": node.id, "name": node.name, "peer_address": node.peer_address, "version": node.version,
                "voter": node.voter, "up": node.up, "leader": node.leader, "ready": node.ready,
                "reason": node.reason, "revision": node.revision, "relayed": node.relayed,
                "uptime_s": node.uptime_s,
            })
        })
        .collect();
    let upstream = status.upstream.as_ref();
    json!({
        "cluster_id": status.cluster_id, "service_name": status.service_name,
        "leader": Some(&status.leader).filter(|leader| !leader.is_empty()),
        "term": status.term, "revision": status.revision, "entries": status.entries, "nodes": nodes,
        "relay_survives": status.relay_survives, "changes_survive": status.changes_survive,
        "upstream": upstream.map(|upstream| json!({ "kind": upstream.kind, "address": upstream.address })),
        "warnings": status.warnings,
    })
}

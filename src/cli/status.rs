//! `rmsc status`: the cluster on one screen.

use super::node::{json_of, role, state};
use super::output::{self, Format};
use super::{Exit, Global, words};
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
    let relays: Vec<&proto::Node> = status.nodes.iter().filter(|node| !node.witness).collect();
    let ready = relays.iter().filter(|node| node.ready).count();
    let total: u64 = relays.iter().map(|node| node.relayed).sum();
    let leader = if status.leader.is_empty() { "none" } else { &status.leader };
    output::line(&format!(
        "{}   {}   leader {leader}   term {}",
        status.service_name,
        words::counted(status.nodes.len(), "node"),
        status.term
    ));
    output::line(&format!(
        "  Relay    ready on {ready}/{}   {}{}",
        relays.len(),
        survives(status.relay_survives),
        bounded(status)
    ));
    output::line(&format!(
        "  Changes  {}   table revision {}, {} entries (age {})",
        survives(status.changes_survive),
        status.revision,
        status.entries,
        status.fresh_ms.map_or_else(|| "not known".into(), words::span)
    ));
    if let Some(upstream) = &status.upstream {
        output::line(&format!("  Service  {} at {}", upstream.kind, upstream.address));
    }
    if let Some(kerberos) = &status.kerberos {
        output::line(&format!("  Kerberos {}", sources(kerberos)));
    }
    output::line("");
    let rows = status.nodes.iter().map(|node| {
        [
            node.name.clone(),
            role(node).into(),
            state(node),
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

/// Failures that take the majority of the voters with them end relaying too, but not at once.
fn bounded(status: &proto::StatusResponse) -> String {
    if status.relay_survives <= status.changes_survive.max(0) {
        return String::new();
    }
    format!(" (without a majority of the voters for {})", words::span(status.stale_after_ms))
}

fn sources(kerberos: &proto::KerberosSources) -> String {
    let cluster = match kerberos.cluster_keys {
        0 => None,
        1 => Some("1 key of the cluster".to_owned()),
        keys => Some(format!("{keys} keys of the cluster")),
    };
    let files =
        (!kerberos.files.is_empty()).then(|| format!("a keytab file on {}", kerberos.files.join(", ")));
    let sources: Vec<String> = cluster.into_iter().chain(files).collect();
    if sources.is_empty() { "no keys, so no tickets are taken".into() } else { sources.join("; ") }
}

pub(super) fn survives(failures: i32) -> String {
    match failures {
        ..0 => "not possible".into(),
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
    let nodes: Vec<_> = status.nodes.iter().map(json_of).collect();
    let upstream = status.upstream.as_ref();
    json!({
        "cluster_id": status.cluster_id, "service_name": status.service_name,
        "leader": Some(&status.leader).filter(|leader| !leader.is_empty()),
        "term": status.term, "revision": status.revision, "entries": status.entries, "nodes": nodes,
        "relay_survives": status.relay_survives, "changes_survive": status.changes_survive,
        "upstream": upstream.map(|upstream| json!({ "kind": upstream.kind, "address": upstream.address })),
        "warnings": status.warnings, "current": status.current, "table_age_ms": status.fresh_ms,
        "stale_after_ms": status.stale_after_ms, "kerberos": status.kerberos.as_ref().map(|it| json!({
            "cluster_keys": it.cluster_keys, "files": it.files,
        })),
    })
}

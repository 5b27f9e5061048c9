//! `rmsc node list` and `show`: what is known about the nodes, in words and as JSON.

use super::super::output::{self, Format};
use super::super::{Exit, Global, words};
use crate::proto::control::v1 as proto;
use anyhow::anyhow;
use serde_json::{Value, json};

pub(super) async fn list(global: &Global) -> anyhow::Result<Exit> {
    let list = ask(global).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "nodes": list.nodes.iter().map(json_of).collect::<Vec<_>>(),
            "removed": list.removed.iter().map(removed_json).collect::<Vec<_>>(),
            "current": list.current,
        }))?,
        Format::Table => print_list(&list),
    }
    Ok(exit(&list))
}

pub(super) async fn one(global: &Global, name: &str) -> anyhow::Result<Exit> {
    let list = ask(global).await?;
    if let Some(node) = find(&list.nodes, name) {
        match global.output {
            Format::Json => output::json(&json_of(node))?,
            Format::Table => print_one(node),
        }
        return Ok(exit(&list));
    }
    match list.removed.iter().rev().find(|node| node.name == name || node.id.to_string() == name) {
        Some(removed) => match global.output {
            Format::Json => output::json(&removed_json(removed))?,
            Format::Table => output::line(&removed_words(removed)),
        },
        None => return known(&list, name).map(|_| Exit::Fine),
    }
    Ok(Exit::Warnings)
}

/// The node of that name, or with that id written out.
pub(super) fn find<'a>(nodes: &'a [proto::Node], name: &str) -> Option<&'a proto::Node> {
    let by_name = nodes.iter().find(|node| node.name == name);
    by_name.or_else(|| nodes.iter().find(|node| node.id.to_string() == name))
}

/// The node of that name, or with that id written out, or an error that has the names.
pub(super) fn known<'a>(list: &'a proto::ListNodesResponse, name: &str) -> anyhow::Result<&'a proto::Node> {
    find(&list.nodes, name).ok_or_else(|| {
        let names: Vec<&str> = list.nodes.iter().map(|node| node.name.as_str()).collect();
        anyhow!("there is no node {name:?} in the cluster; it has {}", names.join(", "))
    })
}

async fn ask(global: &Global) -> anyhow::Result<proto::ListNodesResponse> {
    Ok(global.client().await?.nodes().list(proto::ListNodesRequest {}).await?.into_inner())
}

/// What is shown may be old: a warning, not a failure.
fn exit(list: &proto::ListNodesResponse) -> Exit {
    if list.current {
        return Exit::Fine;
    }
    output::remark("‼ no leader could be asked: this is what one node knew last");
    Exit::Warnings
}

fn print_list(list: &proto::ListNodesResponse) {
    let rows = list.nodes.iter().map(|node| {
        [
            node.name.clone(),
            node.id.to_string(),
            kind(node).into(),
            role(node).into(),
            state(node),
            node.revision.to_string(),
            fresh(node),
            node.in_flight.to_string(),
            node.relayed.to_string(),
            node.version.clone(),
            node.peer_address.clone(),
        ]
    });
    output::table(
        [
            "NODE",
            "ID",
            "KIND",
            "ROLE",
            "STATE",
            "REVISION",
            "TABLE AGE",
            "IN FLIGHT",
            "RELAYED",
            "VERSION",
            "PEER ADDRESS",
        ],
        rows,
    );
    if !list.removed.is_empty() {
        output::line("\nremoved:");
    }
    list.removed.iter().for_each(|node| output::line(&format!("  {}", removed_words(node))));
}

fn print_one(node: &proto::Node) {
    let lines = [
        ("Node", format!("{} (id {})", node.name, node.id)),
        ("Kind", kind(node).into()),
        ("Role", role(node).into()),
        ("State", state(node)),
        ("Version", format!("{}, knows the rules up to {}", or_unknown(&node.version), node.build)),
        ("Addresses", format!("peer {}   admin {}", node.peer_address, node.admin_address)),
        ("Table", format!("revision {}, age {}", node.revision, fresh(node))),
        ("Refuses", refuses(node)),
        ("Requests", format!("{} in flight, {} relayed since its start", node.in_flight, node.relayed)),
        ("Up for", if node.up { words::span(node.uptime_s * 1_000) } else { "not known".into() }),
        ("Certificate", certificate(node)),
        ("Joined", if node.joined_at_ms == 0 { "not known".into() } else { words::date(node.joined_at_ms) }),
        ("Answered", answered(node)),
    ];
    for (what, words) in lines {
        output::line(&format!("{what:<12} {words}"));
    }
}

fn refuses(node: &proto::Node) -> String {
    if node.witness {
        return "a witness relays nothing".into();
    }
    format!("by itself when its table is older than {}", words::span(node.stale_after_ms))
}

fn certificate(node: &proto::Node) -> String {
    match node.certificate_expires_at_ms {
        0 => "not known".into(),
        at => format!("expires {} ({})", words::date(at), words::until(at)),
    }
}

fn answered(node: &proto::Node) -> String {
    match (node.up, node.answered_ms_ago) {
        (true, _) => "just now".into(),
        (false, Some(ago)) => format!("{} ago", words::span(ago)),
        (false, None) => "not since the node that was asked started".into(),
    }
}

fn fresh(node: &proto::Node) -> String {
    node.fresh_ms.map_or_else(|| "not known".into(), words::span)
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "not known" } else { text }
}

pub(in super::super) fn kind(node: &proto::Node) -> &'static str {
    if node.witness { "witness" } else { "relay" }
}

pub(in super::super) fn role(node: &proto::Node) -> &'static str {
    match (node.leader, node.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    }
}

/// What a node does now.
pub(in super::super) fn state(node: &proto::Node) -> String {
    let drained = node.drained.as_ref().map(|drained| {
        let what = if node.in_flight > 0 { "draining" } else { "drained" };
        format!("{what} by {} since {}", drained.by, words::date(drained.at_ms))
    });
    let drained =
        if node.leaving.is_empty() { drained } else { Some(format!("leaving, removed by {}", node.leaving)) };
    match (node.up, drained) {
        (false, None) => "not answering".into(),
        (false, Some(drained)) => format!("not answering, {drained}"),
        (true, Some(drained)) => drained,
        (true, None) if node.witness => "votes".into(),
        (true, None) if node.ready => "ready".into(),
        (true, None) => format!("not ready: {}", node.reason),
    }
}

fn state_word(node: &proto::Node) -> &'static str {
    match (node.up, &node.drained) {
        (false, _) => "silent",
        (true, Some(_)) => "drained",
        (true, None) if node.witness => "witness",
        (true, None) if node.ready => "ready",
        (true, None) => "not-ready",
    }
}

/// A node as programs read it.
pub(in super::super) fn json_of(node: &proto::Node) -> Value {
    let what = json!({
        "id": node.id, "name": node.name, "kind": kind(node), "role": role(node),
        "state": state_word(node), "peer_address": node.peer_address, "admin_address": node.admin_address,
        "version": node.version, "build": node.build, "voter": node.voter, "up": node.up,
        "leader": node.leader, "ready": node.ready, "reason": node.reason, "revision": node.revision,
        "applied": node.applied, "relayed": node.relayed, "in_flight": node.in_flight,
        "uptime_s": node.uptime_s,
    });
    let drained = node.drained.as_ref();
    let since = json!({
        "drained": drained.map(|drained| json!({ "by": drained.by, "at": words::date(drained.at_ms) })),
        "leaving": Some(&node.leaving).filter(|by| !by.is_empty()),
        "disk_full": Some(&node.disk_full).filter(|why| !why.is_empty()),
        "table_age_ms": node.fresh_ms, "stale_after_ms": node.stale_after_ms,
        "certificate_expires_at": date(node.certificate_expires_at_ms),
        "joined_at": date(node.joined_at_ms), "answered_ms_ago": node.answered_ms_ago,
    });
    output::merged(what, since)
}

fn date(milliseconds: i64) -> Value {
    if milliseconds == 0 { Value::Null } else { json!(words::date(milliseconds)) }
}

fn removed_words(node: &proto::RemovedNode) -> String {
    format!("{} (id {}) by {} at {}", node.name, node.id, node.by, words::date(node.at_ms))
}

fn removed_json(node: &proto::RemovedNode) -> Value {
    json!({ "id": node.id, "name": node.name, "removed_by": node.by, "removed_at": words::date(node.at_ms) })
}

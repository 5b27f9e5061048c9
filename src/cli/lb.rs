//! `rmsc lb`: how requests are spread over the nodes.

use super::output::{self, Format};
use super::{Exit, Global, words};
use crate::proto::control::v1 as proto;
use clap::Subcommand;
use serde_json::{Value, json};

/// How requests are spread over the nodes.
#[derive(Debug, Subcommand)]
pub enum Lb {
    /// Show how each node's front sees each node.
    ///
    /// Every node takes requests and hands each to the node whose turn it is. What one front sees may differ from what
    /// another one does, where the network does. Ends with 3 if a front is not known, or leaves out a node that is not
    /// drained.
    ///
    /// Examples:
    ///   rmsc lb show
    ///   rmsc lb show -o json
    #[command(verbatim_doc_comment)]
    Show,
    /// Show how many requests each node has had, and whether the shares are equal.
    ///
    /// Counted is what each front has handed out since it hands requests to the same nodes: another count begins when a
    /// node goes or comes back. Equal is what is within 1 % of an equal share and passes a chi-square test at 99.9 %.
    /// Ends with 3 if the shares are not equal; with 0 also if there were too few requests to tell.
    ///
    /// Examples:
    ///   rmsc lb report
    ///   rmsc lb report -o json
    #[command(verbatim_doc_comment)]
    Report,
}

impl Lb {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::ShowBalanceRequest {};
        let shown = global.client().await?.balance().show(request).await?.into_inner();
        let equality = shown.equality.unwrap_or_default();
        match (self, global.output) {
            (Lb::Show, Format::Json) => {
                output::json(&json!({ "fronts": shown.fronts.iter().map(front_json).collect::<Vec<_>>() }))?;
                Ok(exit_of_fronts(&shown.fronts))
            }
            (Lb::Show, Format::Table) => {
                print_fronts(&shown.fronts);
                Ok(exit_of_fronts(&shown.fronts))
            }
            (Lb::Report, Format::Json) => {
                output::json(&report_json(&shown.fronts, &equality))?;
                Ok(exit_of(&equality))
            }
            (Lb::Report, Format::Table) => {
                print_report(&shown.fronts, &equality);
                Ok(exit_of(&equality))
            }
        }
    }
}

fn exit_of_fronts(fronts: &[proto::Front]) -> Exit {
    let out = |front: &proto::Front| front.nodes.iter().any(|node| !node.in_rotation && !node.drained);
    if fronts.iter().any(|front| !front.known || out(front)) { Exit::Warnings } else { Exit::Fine }
}

fn exit_of(equality: &proto::Equality) -> Exit {
    match equality.verdict() {
        proto::Verdict::Unequal => Exit::Warnings,
        proto::Verdict::Unspecified | proto::Verdict::TooFew | proto::Verdict::Equal => Exit::Fine,
    }
}

fn print_fronts(fronts: &[proto::Front]) {
    let rows = fronts.iter().flat_map(|front| {
        let unknown = (!front.known).then(|| {
            let none = || "-".to_owned();
            [front.name.clone(), none(), "does not answer".into(), none(), none(), none(), none()]
        });
        let seen = front.nodes.iter().map(|node| {
            [
                front.name.clone(),
                node.name.clone(),
                state(node),
                words::span(node.for_ms),
                node.in_flight.to_string(),
                node.handed.to_string(),
                node.lost.to_string(),
            ]
        });
        unknown.into_iter().chain(seen)
    });
    output::table(["FRONT", "NODE", "STATE", "FOR", "IN FLIGHT", "HANDED", "LOST"], rows);
}

/// How a node stands with a front, in words.
fn state(node: &proto::SeenNode) -> String {
    let standing = if node.drained { "drained" } else { word(node.standing()) };
    let mut state = standing.to_owned();
    if !node.reason.is_empty() {
        state += &format!(": {}", node.reason);
    }
    if node.in_rotation && node.standing() != proto::Standing::Ready {
        state += " (in rotation, nobody is better)";
    }
    state
}

fn word(standing: proto::Standing) -> &'static str {
    match standing {
        proto::Standing::Unspecified => "unknown",
        proto::Standing::Unheard => "unheard",
        proto::Standing::Ready => "ready",
        proto::Standing::NoService => "no-service",
        proto::Standing::Overloaded => "overloaded",
        proto::Standing::NotReady => "not-ready",
        proto::Standing::Suspended => "suspended",
        proto::Standing::Unreachable => "unreachable",
    }
}

fn verdict(verdict: proto::Verdict) -> &'static str {
    match verdict {
        proto::Verdict::Unspecified => "unknown",
        proto::Verdict::TooFew => "too-few",
        proto::Verdict::Equal => "equal",
        proto::Verdict::Unequal => "unequal",
    }
}

fn print_report(fronts: &[proto::Front], equality: &proto::Equality) {
    let shares = equality.shares.iter().map(|share| {
        let part = share.requests as f64 / equality.requests.max(1) as f64;
        let off = share.requests as f64 / share.expected - 1.0;
        [
            share.name.clone(),
            share.requests.to_string(),
            format!("{:.2} %", part * 100.0),
            format!("{:.1}", share.expected),
            format!("{:+.3} %", off * 100.0),
        ]
    });
    output::table(["NODE", "REQUESTS", "SHARE", "EQUAL WOULD BE", "OFF BY"], shares);
    output::line("\nby the node that took them (rows) and the node that did them (columns):");
    print_matrix(fronts);
    output::line(&format!("\n{}", conclusion(equality)));
}

fn print_matrix(fronts: &[proto::Front]) {
    let columns: Vec<&str> = fronts.iter().map(|front| front.name.as_str()).collect();
    let header = ["FRONT"].into_iter().chain(columns).chain(["UNCHANGED FOR"]);
    let rows = fronts.iter().map(|front| {
        let cell = |serving: &proto::Front| {
            let node = front.nodes.iter().find(|node| node.node_id == serving.node_id);
            match node.filter(|node| node.in_rotation) {
                Some(node) => node.turns.to_string(),
                None => "-".into(),
            }
        };
        let unchanged = if front.known { words::span(front.unchanged_ms) } else { "does not answer".into() };
        [front.name.clone()].into_iter().chain(fronts.iter().map(cell)).chain([unchanged]).collect::<Vec<_>>()
    });
    output::grid(header, rows);
}

fn conclusion(equality: &proto::Equality) -> String {
    let figures = format!(
        "off by {:.3} % at most (1 % allowed), chi-square {:.2} with {} degrees of freedom ({:.2} allowed)",
        equality.deviation_max * 100.0,
        equality.chi_square,
        equality.freedom,
        equality.chi_square_max
    );
    match equality.verdict() {
        proto::Verdict::Equal => format!("✔ equal: {figures}"),
        proto::Verdict::Unequal => format!("‼ not equal: {figures}"),
        proto::Verdict::TooFew | proto::Verdict::Unspecified => format!(
            "too few requests to tell: {} since the rotation is as it is, and it takes {}",
            equality.requests, equality.requests_min
        ),
    }
}

fn front_json(front: &proto::Front) -> Value {
    json!({
        "front": front.name, "id": front.node_id, "known": front.known, "unchanged_ms": front.unchanged_ms,
        "nodes": front.nodes.iter().map(node_json).collect::<Vec<_>>(),
    })
}

fn node_json(node: &proto::SeenNode) -> Value {
    json!({
        "node": node.name, "id": node.node_id, "state": word(node.standing()), "reason": node.reason,
        "for_ms": node.for_ms, "in_rotation": node.in_rotation, "drained": node.drained, "turns": node.turns,
        "handed": node.handed, "lost": node.lost, "in_flight": node.in_flight,
    })
}

fn report_json(fronts: &[proto::Front], equality: &proto::Equality) -> Value {
    let share = |share: &proto::Share| json!({ "node": share.name, "id": share.node_id, "requests": share.requests, "expected": share.expected });
    json!({
        "verdict": verdict(equality.verdict()), "requests": equality.requests,
        "requests_min": equality.requests_min, "deviation_max": equality.deviation_max,
        "chi_square": equality.chi_square, "freedom": equality.freedom,
        "chi_square_max": equality.chi_square_max,
        "shares": equality.shares.iter().map(share).collect::<Vec<_>>(),
        "fronts": fronts.iter().map(front_json).collect::<Vec<_>>(),
    })
}

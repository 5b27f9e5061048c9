//! On which nodes a change acts, in words and as JSON.

use super::{Exit, output, words};
use crate::proto::control::v1 as proto;
use serde_json::{Value, json};

/// The members that every answer about a change has.
pub(super) fn json(effect: &proto::Effect) -> Value {
    let names: Vec<&str> = silent(effect).map(|node| node.name.as_str()).collect();
    let refuses: Vec<Value> = silent(effect)
        .map(|node| {
            json!({
                "node": node.name, "removed": node.removed, "at_the_latest": words::date(node.refuses_by_ms),
                "in_ms": node.refuses_in_ms,
            })
        })
        .collect();
    json!({
        "revision": effect.revision, "in_effect": in_effect(effect), "nodes": members(effect),
        "silent": names, "refuses": refuses, "elapsed_ms": effect.elapsed_ms,
    })
}

/// Says it to a person.
pub(super) fn print(effect: &proto::Effect) {
    output::line(&format!(
        "revision {} in effect on {}/{} nodes after {} ms",
        effect.revision,
        in_effect(effect),
        members(effect),
        effect.elapsed_ms
    ));
    silent(effect).for_each(|node| output::line(&about_silent(node)));
}

/// Warnings if a node has not said that it has the change.
pub(super) fn exit(effect: &proto::Effect) -> Exit {
    if silent(effect).next().is_none() { Exit::Fine } else { Exit::Warnings }
}

fn about_silent(node: &proto::NodeEffect) -> String {
    let name = &node.name;
    let why = if node.removed { "was removed, and may not know" } else { "has not answered" };
    if node.refuses_in_ms == 0 {
        return format!("‼ {name} {why}; it refuses by itself already");
    }
    format!(
        "‼ {name} {why}; it refuses by itself at {} at the latest (in {})",
        words::clock(node.refuses_by_ms),
        words::span(node.refuses_in_ms)
    )
}

fn members(effect: &proto::Effect) -> usize {
    effect.nodes.iter().filter(|node| !node.removed).count()
}

fn in_effect(effect: &proto::Effect) -> usize {
    effect.nodes.iter().filter(|node| node.in_effect).count()
}

fn silent(effect: &proto::Effect) -> impl Iterator<Item = &proto::NodeEffect> {
    effect.nodes.iter().filter(|node| !node.in_effect)
}

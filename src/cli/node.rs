//! `rmsc node`: the nodes of the cluster.

mod show;

pub(super) use show::{json_of, role, state};

use super::output::{self, Format};
use super::{Exit, Global, effect, token, words};
use crate::proto::control::v1 as proto;
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::Duration;

/// The nodes of the cluster.
#[derive(Debug, Subcommand)]
pub enum Node {
    List(List),
    Show(Show),
    Drain(Drain),
    Undrain(Undrain),
    Replace(Replace),
    Remove(Remove),
    Rename(Rename),
}

/// Show all nodes, and those that were removed.
///
/// Examples:
///   rmsc node list
///   rmsc node list -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Show all that is known about one node.
///
/// Examples:
///   rmsc node show rmsc-2
///   rmsc node show rmsc-2 -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
}

/// Take a node out of the rotation, and wait until it is empty.
///
/// No node sends it a request any more; what it has in flight it finishes. Calling servers that are
/// connected to it are served on, by the other nodes. It stays out, also after a restart, until it is
/// put back. If it leads, leadership is handed over.
///
/// Ends with 0 when it is empty, with 3 when requests are in flight at the deadline, and with 4 if it is
/// the last node that takes requests.
///
/// Examples:
///   rmsc node drain rmsc-2
///   rmsc node drain rmsc-2 --deadline 2m
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Drain {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
    /// How long to wait until it is empty. It stays out after that, too.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = words::duration)]
    deadline: Duration,
    /// Also the last node that takes requests: nothing is relayed then.
    #[arg(long)]
    force: bool,
}

/// Put a node back into the rotation, and wait until it is ready.
///
/// Ends with 0 when it is ready, and with 3 if it is not at the deadline.
///
/// Examples:
///   rmsc node undrain rmsc-2
///   rmsc node undrain rmsc-2 --deadline 10s
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Undrain {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
    /// How long to wait until it is ready.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = words::duration)]
    deadline: Duration,
}

/// Make a token for a new host that takes the place of a node, and print the command for it.
///
/// In the moment when the new host joins, the old node is removed for ever. Nothing changes before that.
///
/// Examples:
///   rmsc node replace rmsc-2
///   rmsc node replace rmsc-2 --ttl 2h
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Replace {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
    /// How long the token can be used; at most 168h.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = words::duration)]
    ttl: Duration,
}

/// Take a node out of the cluster, for ever.
///
/// It is drained first, and hands leadership over if it leads. Its id is never used again: the same host
/// can only join as a new node. Removing a node that was removed before does nothing.
///
/// Ends with 4 if the voters that would be left have no majority now, or if it is not confirmed.
///
/// Examples:
///   rmsc node remove rmsc-2
///   rmsc node remove rmsc-2 --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Also if no change can be made any more after it.
    #[arg(long)]
    force: bool,
}

/// Give a node another name. What it logs itself has the name in its file, until that is changed too.
///
/// Examples:
///   rmsc node rename rmsc-2 berlin-2
///   rmsc node rename 17 berlin-2
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Rename {
    /// Its name or id.
    #[arg(value_name = "OLD")]
    node: String,
    /// The new name: letters, digits, hyphens and dots.
    #[arg(value_name = "NEW")]
    name: String,
}

impl Node {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Node::List(List {}) => show::list(global).await,
            Node::Show(Show { node }) => show::one(global, &node).await,
            Node::Drain(drain) => drain.run(global).await,
            Node::Undrain(undrain) => undrain.run(global).await,
            Node::Replace(replace) => replace.run(global).await,
            Node::Remove(remove) => remove.run(global).await,
            Node::Rename(rename) => rename.run(global).await,
        }
    }
}

impl Drain {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::DrainRequest {
            node: self.node,
            deadline_ms: u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX),
            force: self.force,
            request_id: request_id(),
        };
        let mut steps = global.client().await?.nodes().drain(request).await?.into_inner();
        let mut last = proto::DrainProgress::default();
        while let Some(step) = steps.message().await? {
            if step.end() == proto::DrainEnd::Unspecified {
                output::redrawn(&drain_step(&step));
            }
            last = step;
        }
        output::end_redrawn();
        let empty = last.end() == proto::DrainEnd::Empty;
        match global.output {
            Format::Json => output::json(&json!({
                "node": last.name, "drained": true, "empty": empty, "up": last.up,
                "in_flight": last.in_flight, "sending": last.sending, "elapsed_ms": last.elapsed_ms,
                "handed_to": Some(&last.handed_to).filter(|name| !name.is_empty()),
            }))?,
            Format::Table => print_drained(&last),
        }
        Ok(if empty { Exit::Fine } else { Exit::Warnings })
    }
}

fn drain_step(step: &proto::DrainProgress) -> String {
    let mut text = format!("  {:.1} s  ", seconds(step.elapsed_ms));
    text += &match (step.up, step.in_flight) {
        (false, _) => format!("{} does not answer, so nobody knows what it has in flight", step.name),
        (true, 0) => format!("{} has nothing in flight", step.name),
        (true, requests) => format!("{} has {requests} in flight", step.name),
    };
    if !step.sending.is_empty() {
        text += &format!(
            "; {} still send{} to it",
            step.sending.join(", "),
            if step.sending.len() == 1 { "s" } else { "" }
        );
    }
    text
}

fn print_drained(last: &proto::DrainProgress) {
    let name = &last.name;
    if !last.handed_to.is_empty() {
        output::line(&format!("{} leads now", last.handed_to));
    }
    match last.end() {
        proto::DrainEnd::Empty => output::line(&format!(
            "{name} is drained, and empty after {:.1} s; put it back: rmsc node undrain {name}",
            seconds(last.elapsed_ms)
        )),
        proto::DrainEnd::Overdue | proto::DrainEnd::Unspecified => {
            output::line(&format!(
                "‼ {name} takes no new requests, but is not known to be empty after {:.1} s:\n{}\n  Ask again: \
                 rmsc node drain {name}      Put it back: rmsc node undrain {name}",
                seconds(last.elapsed_ms),
                drain_step(last)
            ));
        }
    }
}

impl Undrain {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::UndrainRequest {
            node: self.node,
            deadline_ms: u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX),
            request_id: request_id(),
        };
        let response = global.client().await?.nodes().undrain(request).await?.into_inner();
        let name = &response.name;
        match global.output {
            Format::Json => output::json(&json!({
                "node": name, "already": response.already, "ready": response.ready,
                "reason": response.reason, "elapsed_ms": response.elapsed_ms,
            }))?,
            Format::Table => {
                let was = if response.already { "was not drained" } else { "is not drained any more" };
                if response.ready {
                    output::line(&format!(
                        "{name} {was}; it takes requests, after {:.1} s",
                        seconds(response.elapsed_ms)
                    ));
                } else {
                    output::line(&format!("‼ {name} {was}, but takes no requests: {}", response.reason));
                }
            }
        }
        Ok(if response.ready { Exit::Fine } else { Exit::Warnings })
    }
}

impl Replace {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let client = global.client().await?;
        let list = client.nodes().list(proto::ListNodesRequest {}).await?.into_inner();
        let node = show::known(&list, &self.node)?;
        if node.up {
            output::remark(&format!(
                "{} still answers; it goes in the moment when the new host joins.",
                node.name
            ));
        }
        let wanted = token::Wanted { ttl: self.ttl, witness: node.witness, replaces: node.name.clone() };
        token::create(&client, wanted, global.output).await
    }
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let list = global.client().await?.nodes().list(proto::ListNodesRequest {}).await?.into_inner();
        let found = show::find(&list.nodes, &self.node);
        if let Some(node) = found
            && !self.yes
            && !confirmed(node)?
        {
            output::remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
            return Ok(Exit::Refused);
        }
        // A node cannot tell what came of its own removal.
        let client = global.client_besides(found.map(|node| node.admin_address.as_str())).await?;
        let request =
            proto::RemoveNodeRequest { node: self.node, force: self.force, request_id: request_id() };
        let response = client.nodes().remove(request).await?.into_inner();
        print_removed(global.output, &response)
    }
}

fn confirmed(node: &proto::Node) -> anyhow::Result<bool> {
    output::typed(
        &format!("‼ {} goes out of the cluster for ever: only a new node can join in its place.", node.name),
        &node.name,
    )
}

fn print_removed(format: Format, response: &proto::RemoveNodeResponse) -> anyhow::Result<Exit> {
    let (name, id) = (&response.name, response.id);
    let none = proto::Effect::default();
    let effect = response.effect.as_ref().unwrap_or(&none);
    match (format, &response.already) {
        (Format::Json, already) => {
            let own = json!({
                "node": name, "id": id, "removed": true, "already": already.is_some(), "left": response.left,
                "knew_keys": true,
                "handed_to": Some(&response.handed_to).filter(|name| !name.is_empty()),
            });
            output::json(&output::merged(own, effect::json(effect)))?;
        }
        (Format::Table, Some(before)) => {
            output::line(&format!(
                "{name} ({id}) was removed before, by {} at {}; nothing was changed",
                before.by,
                words::date(before.at_ms)
            ));
        }
        (Format::Table, None) => {
            if !response.handed_to.is_empty() {
                output::line(&format!("{} leads now", response.handed_to));
            }
            output::line(&format!("removed {name} ({id})"));
            effect::print(effect);
            output::line(&format!(
                "‼ {name} knew the cluster's keys, and they stay the same: nobody gets in with them, but backups and \
                 copies of a data folder can be read; destroy what is on its disk"
            ));
            if !response.left {
                output::line(&format!(
                    "‼ {name} is not known to have left the voters yet; see: rmsc cluster show"
                ));
            }
        }
    }
    Ok(if response.left { effect::exit(effect) } else { Exit::Warnings })
}

impl Rename {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::RenameRequest { node: self.node, name: self.name, request_id: request_id() };
        let response = global.client().await?.nodes().rename(request).await?.into_inner();
        let effect = response.effect.unwrap_or_default();
        match global.output {
            Format::Json => {
                let own = json!({ "id": response.id, "before": response.before, "name": response.now });
                output::json(&output::merged(own, effect::json(&effect)))?;
            }
            Format::Table => {
                output::line(&format!(
                    "{} ({}) is called {} now",
                    response.before, response.id, response.now
                ));
                effect::print(&effect);
                output::line(&format!(
                    "Write name = \"{}\" into its file too: its own log has the name from there.",
                    response.now
                ));
            }
        }
        Ok(effect::exit(&effect))
    }
}

fn request_id() -> Vec<u8> {
    rand::random::<[u8; 16]>().to_vec()
}

#[expect(clippy::cast_precision_loss, reason = "seconds with one digit")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

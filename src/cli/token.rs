//! `rmsc token`: what lets nodes in.

use super::output::{self, Format};
use super::{Exit, Global, words, words::date};
use crate::control::Client;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::token::State;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// Tokens, each of which lets one host join the cluster.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    Create(Create),
    /// Show the tokens: open ones, and for a while those of the past.
    List,
    Revoke(Revoke),
}

/// Make a token, and print the command for the new host.
///
/// A token can be used once. Whoever has it can become a node, so hand it over like a password.
///
/// Examples:
///   rmsc token create
///   rmsc token create --ttl 1h --witness
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// How long it can be used, for instance 90s, 15m or 2h; at most 168h.
    #[arg(long, value_name = "TIME", value_parser = words::duration, default_value = "15m")]
    ttl: Duration,
    /// The node will be a witness: it votes, and neither takes nor relays requests.
    #[arg(long)]
    witness: bool,
    /// The node that goes for ever in the moment when the new one comes, by name or id.
    #[arg(long, value_name = "NODE")]
    replaces: Option<String>,
}

/// Take a token back that nobody used.
///
/// Examples:
///   rmsc token revoke 0a1b2c3d4e5f6071
///   rmsc token list
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Revoke {
    /// The token's id, as `rmsc token list` shows it.
    #[arg(value_name = "ID")]
    id: String,
}

impl TokenCommand {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            TokenCommand::Create(create) => create.run(global).await,
            TokenCommand::List => list(global).await,
            TokenCommand::Revoke(revoke) => revoke.run(global).await,
        }
    }
}

impl Create {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let wanted =
            Wanted { ttl: self.ttl, witness: self.witness, replaces: self.replaces.unwrap_or_default() };
        create(&global.client().await?, wanted, global.output).await
    }
}

/// What a token is to let in.
pub(super) struct Wanted {
    pub(super) ttl: Duration,
    pub(super) witness: bool,
    /// The name of the node that goes; empty: none.
    pub(super) replaces: String,
}

/// Makes a token, and prints the command for the new host.
pub(super) async fn create(client: &Client, wanted: Wanted, format: Format) -> anyhow::Result<Exit> {
    let request = proto::CreateTokenRequest {
        ttl_s: wanted.ttl.as_secs(),
        witness: wanted.witness,
        replaces: wanted.replaces,
    };
    let made = client.tokens().create(request).await?.into_inner();
    let token = made.token.context("the answer has no token")?;
    let address = made.addresses.first().context("the answer has no address")?;
    let command = format!("rmsc join {address} --token {}", made.text);
    match format {
        Format::Json => output::json(&json!({
            "id": token.id, "token": made.text, "command": command, "addresses": made.addresses,
            "expires_at": date(token.expires_at_ms), "witness": token.witness, "replaces": token.replaces,
        }))?,
        Format::Table => {
            output::line(&command);
            let what = if token.witness { "lets one witness in" } else { "lets one node in" };
            output::remark(&format!(
                "Run this on the new host. The token {} {what} and expires at {}.",
                token.id,
                date(token.expires_at_ms)
            ));
            if !token.replaces.is_empty() {
                output::remark(&format!("{} goes for ever when the new node comes.", token.replaces));
            }
        }
    }
    Ok(Exit::Fine)
}

impl Revoke {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::RevokeTokenRequest { id: self.id.clone() };
        let revoked = global.client().await?.tokens().revoke(request).await?.into_inner();
        match global.output {
            Format::Json => output::json(&json!({ "token": revoked.token.as_ref().map(as_json) }))?,
            Format::Table => output::line(&format!("the token {} lets nobody in any more", self.id)),
        }
        Ok(Exit::Fine)
    }
}

async fn list(global: &Global) -> anyhow::Result<Exit> {
    let tokens = global.client().await?.tokens().list(proto::ListTokensRequest {}).await?.into_inner().tokens;
    match global.output {
        Format::Json => {
            output::json(&json!({ "tokens": tokens.iter().map(as_json).collect::<Vec<_>>() }))?;
        }
        Format::Table => output::table(
            ["TOKEN", "STATE", "FOR", "EXPIRES", "MADE BY", "USED BY"],
            tokens.iter().map(|token| {
                let kind = if token.witness { "witness" } else { "node" };
                let kind = match token.replaces.as_str() {
                    "" => kind.to_owned(),
                    node => format!("{kind} in place of {node}"),
                };
                [
                    token.id.clone(),
                    state(token).into(),
                    kind,
                    date(token.expires_at_ms),
                    token.created_by.clone(),
                    token.used_by.clone(),
                ]
            }),
        ),
    }
    Ok(Exit::Fine)
}

fn as_json(token: &proto::Token) -> Value {
    json!({
        "id": token.id, "state": state(token), "witness": token.witness, "replaces": token.replaces,
        "created_by": token.created_by, "created_at": date(token.created_at_ms),
        "expires_at": date(token.expires_at_ms), "used_by": token.used_by,
    })
}

fn state(token: &proto::Token) -> &'static str {
    match token.state() {
        State::Open => "open",
        State::Used => "used",
        State::Revoked => "revoked",
        State::Expired => "expired",
        State::Unspecified => "?",
    }
}

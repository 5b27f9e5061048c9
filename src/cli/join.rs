//! `rmsc join`: makes this host a node of a cluster.

use super::output::{self, Format};
use super::{Exit, host, owner};
use crate::config::Any;
use crate::enrolment::{self, TokenText, hex};
use crate::secret::Secret;
use anyhow::Context as _;
use serde_json::json;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Join a cluster, with a token that `rmsc token create` printed on one of its nodes.
///
/// The token names the cluster by the key of its authority, so no other can answer; its secret is proven and
/// never sent. Running it again is harmless. The node takes part when it is started.
///
/// Examples:
///   rmsc join 10.1.0.11:8700 --token RMSC1-…
///   rmsc join 10.1.0.11:8700 --token-file /run/rmsc-token --config /etc/rmsc/rmsc.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Join {
    /// The peer address of any node of the cluster.
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    token: Token,
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Token {
    /// The token.
    #[arg(long, value_name = "TOKEN", env = "RMSC_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the token; - is standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    fn read(self) -> anyhow::Result<TokenText> {
        let text = match (self.token, self.token_file) {
            (Some(text), _) => Secret::new(text),
            (None, Some(path)) => Secret::new(read(&path)?),
            (None, None) => Secret::new(String::new()),
        };
        Ok(text.expose().parse::<TokenText>()?)
    }
}

impl Join {
    pub(super) async fn run(self, format: Format) -> anyhow::Result<Exit> {
        host::keep_private();
        let token = self.token.read()?;
        let config = Any::load(&self.config)?;
        let _owned = owner::of(&config.basics().node.data_dir);
        let joined = enrolment::join(&host::of(config.basics()), &self.address, &token).await?;
        let name = &config.basics().node.name;
        match format {
            Format::Json => output::json(&json!({
                "cluster_id": joined.cluster_id, "node_id": joined.node_id, "name": name,
                "fingerprint": hex(&joined.pin), "witness": joined.witness, "already": joined.already,
            }))?,
            Format::Table if joined.already => output::line(&format!(
                "this host is node {} ({name}) of cluster {} already; nothing was changed",
                joined.node_id, joined.cluster_id
            )),
            Format::Table => {
                output::line(&format!(
                    "✔ cluster {} verified by its fingerprint {}",
                    joined.cluster_id,
                    hex(&joined.pin)
                ));
                let what = if joined.witness { ", a witness" } else { "" };
                output::line(&format!("✔ this host is node {} ({name}){what}", joined.node_id));
                output::line("");
                let command = if joined.witness { "witness" } else { "server" };
                output::line(&format!(
                    "Next, at once: until it has the log it believes whoever is a member now.\n  systemctl enable --now rmsc        or: rmsc {command} --config {}",
                    self.config.display()
                ));
                say_kind(&config, joined.witness);
            }
        }
        host::warn_of_plain_key(joined.plain_seal_file.as_deref());
        Ok(Exit::Fine)
    }
}

/// The token decides what the host becomes; its file must fit.
fn say_kind(config: &Any, is_witness: bool) {
    match (config, is_witness) {
        (Any::Relay(_), false) | (Any::Witness(_), true) => {}
        (Any::Relay(_), true) => output::remark(
            "‼ The token makes this host a witness: take https, http, [identity], [upstream] and [limits] out of \
             its file, and start it with rmsc witness. If it is to relay: rmsc leave, and join anew with a token made \
             without --witness.",
        ),
        (Any::Witness(_), false) => output::remark(
            "‼ The token makes this host a node that relays, and its file is a witness's: add what \
             `rmsc config check` asks for. If it is to be a witness: rmsc leave, and join anew with a token of `rmsc \
             token create --witness`.",
        ),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut text = String::new();
    let stdin = std::io::stdin().lock();
    stdin.take(TOKEN_BYTES_MAX).read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text)
}

/// Several times a token.
const TOKEN_BYTES_MAX: u64 = 1_024;

//! `rmsc cloud`: how the connector signs in at the cloud, and whether it can be reached.

mod login;

use super::output::{self, Format};
use super::words::{self, date};
use super::{Exit, Global, effect};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::reach_cloud_request::What;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// The service in the cloud: sign in, tokens, and the way to it (experimental).
#[derive(Debug, Subcommand)]
pub enum Cloud {
    Show(Show),
    Login(login::Login),
    Logout(Logout),
    Detect(Detect),
    Test(Test),
    Tokens(Tokens),
    Renew(Renew),
    Endpoints(Endpoints),
}

/// Show the service, who has signed in, and until when that lasts.
///
/// Ends with 3 if something is wrong.
///
/// Examples:
///   rmsc cloud show
///   rmsc cloud show -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {}

/// Forget what the connector signs in with, and its token, on every node.
///
/// Nothing is relayed to the cloud from then on.
///
/// Examples:
///   rmsc cloud logout
///   rmsc cloud logout --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Logout {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

/// Try where one signs in, in every cloud whose hosts are public: which of them the network lets through.
///
/// Examples:
///   rmsc cloud detect
///   rmsc cloud detect -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Detect {}

/// Try the way to the service and to where one signs in: name, web proxy, TLS and who issued its certificate.
///
/// The node that is called tries it; --endpoint chooses another. Ends with 1 if there is no way, and with 3 if the
/// sign-in needs attention.
///
/// Examples:
///   rmsc cloud test
///   rmsc cloud test --endpoint 10.1.0.12:8701
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Test {}

/// Show the token that requests carry: when it was got, until when it lasts. Never the token itself.
///
/// Examples:
///   rmsc cloud tokens
///   rmsc cloud tokens -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Tokens {}

/// Have a new token got now, and wait for it.
///
/// Nobody waits: the old one goes on until the new one is there.
///
/// Examples:
///   rmsc cloud renew
///   rmsc cloud renew -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Renew {}

/// List the hosts and ports that a firewall must let through, and try those that can be tried.
///
/// Examples:
///   rmsc cloud endpoints
///   rmsc cloud endpoints -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Endpoints {}

impl Cloud {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Cloud::Show(Show {}) => show(global).await,
            Cloud::Login(login) => login.run(global).await,
            Cloud::Logout(Logout { yes }) => logout(yes, global).await,
            Cloud::Detect(Detect {}) => reach(What::Clouds, global).await,
            Cloud::Test(Test {}) => test(global).await,
            Cloud::Tokens(Tokens {}) => tokens(global).await,
            Cloud::Renew(Renew {}) => renew(global).await,
            Cloud::Endpoints(Endpoints {}) => reach(What::Endpoints, global).await,
        }
    }
}

async fn shown(global: &Global) -> anyhow::Result<proto::ShowCloudResponse> {
    Ok(global.client().await?.cloud().show(proto::ShowCloudRequest {}).await?.into_inner())
}

async fn show(global: &Global) -> anyhow::Result<Exit> {
    let shown = shown(global).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "kind": shown.kind, "url": shown.url, "environment": some(&shown.environment),
            "sign_in": some(&shown.sign_in), "client_id": some(&shown.client_id),
            "login": shown.login.as_ref().map(login_json), "token": shown.token.as_ref().map(token_json),
            "problems": shown.problems, "current": shown.current,
        }))?,
        Format::Table => {
            output::line(&format!("Service      {} ({})", shown.url, shown.kind));
            if !shown.environment.is_empty() {
                output::line(&format!("Cloud        {} (experimental)", shown.environment));
                output::line(&format!("Sign-in      {}", shown.sign_in));
                output::line(&format!("Application  {}", shown.client_id));
            }
            if let Some(login) = &shown.login {
                output::line(&format!("Login        {}", login_words(login)));
            }
            if let Some(token) = &shown.token {
                output::line(&format!("Token        {}", token_words(token)));
            }
            shown.problems.iter().for_each(|problem| output::line(&format!("‼ {problem}")));
        }
    }
    Ok(if shown.problems.is_empty() { Exit::Fine } else { Exit::Warnings })
}

async fn tokens(global: &Global) -> anyhow::Result<Exit> {
    let shown = shown(global).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "tokens": shown.token.iter().map(token_json).collect::<Vec<_>>(), "problems": shown.problems,
        }))?,
        Format::Table => {
            output::table(
                ["TOKEN", "GOT", "LASTS UNTIL", ""],
                shown.token.iter().map(|token| {
                    let refused = if token.refused { "the service does not take it" } else { "" };
                    let until =
                        format!("{} ({})", date(token.expires_at_ms), words::until(token.expires_at_ms));
                    [token.id.clone(), date(token.issued_at_ms), until, refused.into()]
                }),
            );
            shown.problems.iter().for_each(|problem| output::line(&format!("‼ {problem}")));
        }
    }
    Ok(if shown.problems.is_empty() { Exit::Fine } else { Exit::Warnings })
}

async fn logout(yes: bool, global: &Global) -> anyhow::Result<Exit> {
    let warning =
        "‼ Nothing is relayed to the cloud after this, until somebody signs in again.\n  The name: logout";
    if !yes && !output::typed(warning, "logout")? {
        output::remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
        return Ok(Exit::Refused);
    }
    let done = global.client().await?.cloud().logout(proto::LogoutCloudRequest {}).await?.into_inner();
    let effect = done.effect.unwrap_or_default();
    match global.output {
        Format::Json => {
            let own = json!({ "login": done.login.as_ref().map(login_json) });
            output::json(&output::merged(own, effect::json(&effect)))?;
        }
        Format::Table => match &done.login {
            Some(login) => {
                output::line(&format!("forgotten: {}", login_words(login)));
                effect::print(&effect);
                output::line(
                    "The sign-in service still knows it, and older backups hold it: take it back there, too.",
                );
                output::line("To undo this: rmsc cloud login");
            }
            None => output::line("nobody had signed in; nothing was changed"),
        },
    }
    Ok(effect::exit(&effect))
}

async fn renew(global: &Global) -> anyhow::Result<Exit> {
    let renewed = global.client().await?.cloud().renew(proto::RenewCloudTokenRequest {}).await?.into_inner();
    let (before, now) = (renewed.before.unwrap_or_default(), renewed.now.unwrap_or_default());
    match global.output {
        Format::Json => output::json(&json!({ "before": token_json(&before), "now": token_json(&now) }))?,
        Format::Table => output::line(&format!("a new token: {}", token_words(&now))),
    }
    Ok(Exit::Fine)
}

async fn test(global: &Global) -> anyhow::Result<Exit> {
    let reached = reach(What::Service, global).await?;
    if reached != Exit::Fine || global.output == Format::Json {
        return Ok(reached);
    }
    let shown = shown(global).await?;
    shown.problems.iter().for_each(|problem| output::line(&format!("‼ {problem}")));
    Ok(if shown.problems.is_empty() { Exit::Fine } else { Exit::Warnings })
}

async fn reach(what: What, global: &Global) -> anyhow::Result<Exit> {
    let request = proto::ReachCloudRequest { what: what.into() };
    let reached = global.client().await?.cloud().reach(request).await?.into_inner();
    match global.output {
        Format::Json => output::json(&json!({
            "node": reached.node, "proxy": some(&reached.proxy),
            "hosts": reached.hosts.iter().map(|host| json!({
                "host": host.host, "port": host.port, "purpose": host.purpose, "domain": host.domain,
                "reached": host.reached, "took_ms": host.took_ms, "issuer": some(&host.issuer),
                "reason": some(&host.reason),
            })).collect::<Vec<_>>(),
        }))?,
        Format::Table => {
            output::table(
                ["HOST", "PORT", "FOR", "REACHED", "CERTIFICATE ISSUED BY"],
                reached.hosts.iter().map(|host| {
                    let answer = match (host.domain, host.reached) {
                        (true, _) => "not tried".into(),
                        (false, true) => format!("in {} ms", host.took_ms),
                        (false, false) => format!("no: {}", host.reason),
                    };
                    [
                        host.host.clone(),
                        host.port.to_string(),
                        host.purpose.clone(),
                        answer,
                        host.issuer.clone(),
                    ]
                }),
            );
            let way =
                if reached.proxy.is_empty() { String::new() } else { format!(" through {}", reached.proxy) };
            output::line(&format!("tried from {}{way}", reached.node));
        }
    }
    let missing = reached.hosts.iter().any(|host| !host.domain && !host.reached);
    Ok(match (what, missing) {
        // Nobody reaches every cloud.
        (What::Clouds, _) | (_, false) => Exit::Fine,
        (_, true) => Exit::Failed,
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn login_words(login: &proto::CloudLogin) -> String {
    let until = match login.expires_at_ms {
        0 => String::new(),
        at => format!(", lasts until {} ({})", date(at), words::until(at)),
    };
    format!("{} by {} at {}{until}", login.method, login.by, date(login.at_ms))
}

fn token_words(token: &proto::CloudTokenTimes) -> String {
    format!("{} lasts until {} ({})", token.id, date(token.expires_at_ms), words::until(token.expires_at_ms))
}

fn login_json(login: &proto::CloudLogin) -> Value {
    json!({
        "method": login.method, "by": login.by, "at": date(login.at_ms),
        "expires_at": (login.expires_at_ms != 0).then(|| date(login.expires_at_ms)),
    })
}

fn token_json(token: &proto::CloudTokenTimes) -> Value {
    json!({
        "id": token.id, "issued_at": date(token.issued_at_ms), "expires_at": date(token.expires_at_ms),
        "refused": token.refused,
    })
}

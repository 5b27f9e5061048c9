//! `rmsc directory`: accounts and groups, as the nodes see them.

use super::output::{self, Format};
use super::{Exit, Global, words};
use crate::proto::control::v1 as proto;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Accounts and groups, as the nodes see them.
#[derive(Debug, Subcommand)]
pub enum Directory {
    Search(Search),
    Show(Show),
}

/// List users, computers, groups and service accounts whose name begins so, 50 at a time.
///
/// Examples:
///   rmsc directory search EXCH
///   rmsc directory search 'CONTOSO\Exch' --kind group
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Search {
    /// How the name begins, two characters at least: the account name or what people call it.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The last name of the page before.
    #[arg(long, value_name = "NAME", default_value = "")]
    after: String,
}

/// Show an account or a group: its SID, and all its groups with the way to each, 50 at a time.
///
/// Examples:
///   rmsc directory show 'CONTOSO\EXCH01$'
///   rmsc directory show S-1-5-21-1004336348-1177238915-682003330-1105 -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// DOMAIN\name, name@domain, a name, or the SID.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The name of the last group of the page before.
    #[arg(long, value_name = "NAME", default_value = "")]
    after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    User,
    Computer,
    Group,
    DistributionGroup,
    ServiceAccount,
}

impl Directory {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Directory::Search(search) => search.run(global).await,
            Directory::Show(show) => show.run(global).await,
        }
    }
}

impl Search {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let what = match self.kind {
            None => proto::What::Unspecified,
            Some(Kind::User) => proto::What::User,
            Some(Kind::Computer) => proto::What::Computer,
            Some(Kind::Group) => proto::What::Group,
            Some(Kind::DistributionGroup) => proto::What::DistributionGroup,
            Some(Kind::ServiceAccount) => proto::What::ServiceAccount,
        };
        let request =
            proto::SearchDirectoryRequest { beginning: self.name, what: what.into(), after: self.after };
        let page = global.client().await?.directory().search(request).await?.into_inner();
        match global.output {
            Format::Json => {
                let principals: Vec<Value> = page.principals.iter().map(as_json).collect();
                output::json(&json!({ "principals": principals, "more": page.more, "cut": page.cut }))?;
            }
            Format::Table => {
                let rows = page.principals.iter().map(|it| [it.name.clone(), words(it), it.sid.clone()]);
                output::table(["NAME", "KIND", "SID"], rows);
                if let Some(last) = page.principals.last().filter(|_| page.more) {
                    output::remark(&format!("There are more: --after '{}'", last.name));
                }
                if page.cut {
                    output::remark("So many begin so that not all are here: write more of the name.");
                }
            }
        }
        Ok(Exit::Fine)
    }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::ShowDirectoryRequest { principal: self.account, after: self.after };
        let shown = global.client().await?.directory().show(request).await?.into_inner();
        let principal = shown.principal.context("the answer has no principal")?;
        match global.output {
            Format::Json => {
                let own = json!({
                    "groups": memberships_json(&shown.groups), "groups_total": shown.groups_total,
                    "more": shown.more, "age_ms": shown.age_ms,
                });
                output::json(&output::merged(as_json(&principal), own))?;
            }
            Format::Table => {
                output::line(&format!("Name      {}", principal.name));
                output::line(&format!("Kind      {}", words(&principal)));
                output::line(&format!("SID       {}", principal.sid));
                if !principal.dn.is_empty() {
                    output::line(&format!("DN        {}", principal.dn));
                }
                output::line(&format!("Groups    {}", shown.groups_total));
                if shown.age_ms > 0 {
                    output::line(&old(shown.age_ms));
                }
                shown.groups.iter().for_each(|group| output::line(&format!("  {}", in_words(group))));
                if let Some(last) = shown.groups.last().filter(|_| shown.more) {
                    output::remark(&format!("There are more: --after '{}'", last.name));
                }
            }
        }
        Ok(Exit::Fine)
    }
}

/// A group and the way to it.
pub(super) fn in_words(group: &proto::Membership) -> String {
    let way = group.via.iter().map(|via| format!(", by {via}")).collect::<String>();
    if group.name == group.sid {
        format!("{}{way}", group.sid)
    } else {
        format!("{} ({}){way}", group.name, group.sid)
    }
}

/// That no domain controller answers, and how old is what is shown.
pub(super) fn old(age_ms: u64) -> String {
    format!("‼ the directory does not answer; this is what it said {} ago", words::span(age_ms))
}

pub(super) fn memberships_json(groups: &[proto::Membership]) -> Vec<Value> {
    groups.iter().map(|group| json!({ "name": group.name, "sid": group.sid, "via": group.via })).collect()
}

fn as_json(principal: &proto::Principal) -> Value {
    json!({
        "name": principal.name, "kind": kind(principal), "sid": principal.sid,
        "disabled": principal.disabled, "dn": principal.dn,
    })
}

pub(super) fn words(principal: &proto::Principal) -> String {
    let disabled = if principal.disabled { ", disabled" } else { "" };
    format!("{}{disabled}", kind(principal))
}

fn kind(principal: &proto::Principal) -> &'static str {
    match principal.what() {
        proto::What::User => "user",
        proto::What::Computer => "computer",
        proto::What::Group => "group",
        proto::What::DistributionGroup => "distribution group",
        proto::What::ServiceAccount => "service account",
        proto::What::Unspecified => "?",
    }
}

//! `rmsc authz`: who may use the connector.

use super::output::{self, Format};
use super::{Exit, Global, directory, effect, words::date};
use crate::proto::control::v1 as proto;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Who may use the connector.
#[derive(Debug, Subcommand)]
pub enum Authorization {
    Add(Add),
    Remove(Remove),
    /// Show the table.
    List,
    Test(Test),
}

/// Authorize an account, a computer or a group.
///
/// Examples:
///   rmsc authz add --role sharepoint 'CONTOSO\svc-sharepoint'
///   rmsc authz add --role exchange --group 'CONTOSO\Exchange Servers' --note CHG-1234
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// What it may do. An exchange entry is super user over all protected content.
    #[arg(long, value_enum)]
    role: RoleWord,
    #[command(flatten)]
    principal: Principal,
    /// The SID, for a principal that the directory does not know; the name is then only a label.
    #[arg(long)]
    sid: Option<String>,
    /// A note, for instance a change number.
    #[arg(long, default_value = "")]
    note: String,
    /// Add it even if an account then matches two entries.
    #[arg(long)]
    force: bool,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Principal {
    /// DOMAIN\name, as the directory has it, which also knows what kind it is.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// A user or service account, DOMAIN\name.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// A computer account, DOMAIN\name$.
    #[arg(long, value_name = "NAME")]
    computer: Option<String>,
    /// A group, DOMAIN\name: its members are authorized, nested ones too.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// Take an entry out of the table.
///
/// Examples:
///   rmsc authz remove 'CONTOSO\svc-sharepoint'
///   rmsc authz remove S-1-5-21-1004336348-1177238915-682003330-1105
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// DOMAIN\name, or the SID.
    #[arg(value_name = "NAME|SID")]
    principal: String,
}

/// Show what would happen if this account called: its SID, its groups, and the entry that matches.
///
/// Ends with 0 if it would be let in, and with 4 if not.
///
/// Examples:
///   rmsc authz test 'CONTOSO\EXCH01$'
///   rmsc authz test S-1-5-21-1004336348-1177238915-682003330-1105 -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// DOMAIN\name, or the SID.
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleWord {
    Exchange,
    Sharepoint,
    #[value(alias = "fci")]
    Fileserver,
}

impl Principal {
    fn parts(self) -> (String, proto::Kind) {
        let kinds = [
            (self.account, proto::Kind::Account),
            (self.computer, proto::Kind::Computer),
            (self.group, proto::Kind::Group),
            (self.name, proto::Kind::Unspecified),
        ];
        kinds
            .into_iter()
            .find_map(|(name, kind)| name.map(|name| (name, kind)))
            .unwrap_or((String::new(), proto::Kind::Unspecified))
    }
}

impl Authorization {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Authorization::Add(add) => add.run(global).await,
            Authorization::Remove(remove) => remove.run(global).await,
            Authorization::List => list(global).await,
            Authorization::Test(test) => test.run(global).await,
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let (typed, kind) = self.principal.parts();
        let found = resolve(global, self.sid.as_deref(), &typed).await?;
        if !self.yes && !confirmed(self.role, &typed, found.as_ref())? {
            output::remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
            return Ok(Exit::Refused);
        }
        let (name, sid, kind) = match (found, self.sid) {
            // That which was shown, and no other one that has the name by now.
            (Some(found), None) => {
                let kind = if kind == proto::Kind::Unspecified { kind_of(&found) } else { kind };
                (found.name, found.sid, kind)
            }
            (_, sid) => (typed, sid.unwrap_or_default(), kind),
        };
        let request = proto::AddRequest {
            name,
            sid,
            kind: kind.into(),
            role: match self.role {
                RoleWord::Exchange => proto::Role::Exchange,
                RoleWord::Sharepoint => proto::Role::Sharepoint,
                RoleWord::Fileserver => proto::Role::Fileserver,
            }
            .into(),
            note: self.note,
            force: self.force,
            request_id: rand::random::<[u8; 16]>().to_vec(),
            ..Default::default()
        };
        let response = global.client().await?.authorizations().add(request).await?.into_inner();
        let entry = response.entry.context("the answer has no entry")?;
        let effect = response.effect.context("the answer has no effect")?;
        let what = if response.added { "added" } else { "renewed" };
        if !response.unchecked.is_empty() {
            let why = &response.unchecked;
            output::remark(&format!("‼ Whether an account matches two entries now is not sure: {why}"));
        }
        print_change(global.output, what, Some(&entry), &effect)
    }
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::RemoveRequest {
            principal: self.principal,
            request_id: rand::random::<[u8; 16]>().to_vec(),
            ..Default::default()
        };
        let response = global.client().await?.authorizations().remove(request).await?.into_inner();
        let effect = response.effect.context("the answer has no effect")?;
        print_change(global.output, "removed", response.entry.as_ref(), &effect)
    }
}

async fn list(global: &Global) -> anyhow::Result<Exit> {
    let response = global.client().await?.authorizations().list(proto::ListRequest {}).await?.into_inner();
    match global.output {
        Format::Json => {
            let entries: Vec<Value> = response.entries.iter().map(entry_json).collect();
            output::json(&json!({ "revision": response.revision, "entries": entries }))?;
        }
        Format::Table => {
            let rows = response.entries.iter().map(|entry| {
                [
                    entry.name.clone(),
                    kind_word(entry).into(),
                    role_word(entry).into(),
                    entry.sid.clone(),
                    entry.added_by.clone(),
                    date(entry.added_at_ms),
                    entry.note.clone(),
                ]
            });
            output::table(["NAME", "KIND", "ROLE", "SID", "ADDED BY", "ADDED AT", "NOTE"], rows);
            output::line(&format!("\n{} entries, revision {}", response.entries.len(), response.revision));
        }
    }
    Ok(Exit::Fine)
}

impl Test {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::TestRequest { account: self.account };
        let response = global.client().await?.authorizations().test(request).await?.into_inner();
        match global.output {
            Format::Json => output::json(&json!({
                "name": response.name, "sid": response.sid, "groups": response.groups,
                "known": response.known, "revision": response.revision,
                "authorized": response.matched.is_some() && !response.disabled,
                "matched": response.matched.as_ref().map(entry_json),
                "also_matched": response.also_matched.iter().map(entry_json).collect::<Vec<_>>(),
                "memberships": directory::memberships_json(&response.memberships),
                "nearest": response.nearest.as_ref().map(entry_json),
                "groups_age_ms": response.groups_age_ms, "disabled": response.disabled,
            }))?,
            Format::Table => print_test(&response),
        }
        let is_let_in = response.matched.is_some() && !response.disabled;
        Ok(if is_let_in { Exit::Fine } else { Exit::Refused })
    }
}

fn print_test(response: &proto::TestResponse) {
    let name = if response.known { &response.name } else { "(not in the directory)" };
    output::line(&format!("Account   {name}"));
    output::line(&format!("SID       {}", response.sid));
    if response.memberships.is_empty() {
        let groups = if response.groups.is_empty() { "none".into() } else { response.groups.join(", ") };
        output::line(&format!("Groups    {groups}"));
    }
    for (at, group) in response.memberships.iter().take(GROUPS_SHOWN_MAX).enumerate() {
        let title = if at == 0 { "Groups" } else { "" };
        output::line(&format!("{title:9} {}", directory::in_words(group)));
    }
    if let Some(left) = response.memberships.len().checked_sub(GROUPS_SHOWN_MAX).filter(|left| *left > 0) {
        output::line(&format!("{:9} and {left} more: rmsc directory show", ""));
    }
    if response.groups_age_ms > 0 {
        output::line(&directory::old(response.groups_age_ms));
    }
    match &response.matched {
        Some(_) if response.disabled => {
            output::line("Verdict   would be refused: the account is disabled in the directory");
        }
        Some(entry) => {
            output::line(&format!(
                "Verdict   would be let in, as {} by the entry {} ({})",
                role_word(entry),
                entry.name,
                entry.sid
            ));
            if entry.role() == proto::Role::Exchange {
                output::line(
                    "Proof     Kerberos, or NTLM that is bound to the TLS connection, unless ntlm.exchange in a node's file \
                     says otherwise",
                );
            }
        }
        None => output::line(&format!(
            "Verdict   would be refused: no entry for the account or its groups (revision {})",
            response.revision
        )),
    }
    if let Some(entry) = &response.nearest {
        output::line(&format!(
            "Nearest   {} {} ({}), which it is not, nor in it",
            kind_word(entry),
            entry.name,
            entry.sid
        ));
    }
    for entry in &response.also_matched {
        output::line(&format!(
            "‼ also matches {} ({}): one and only one entry should",
            entry.name, entry.sid
        ));
    }
}

fn print_change(
    format: Format,
    what: &str,
    entry: Option<&proto::Entry>,
    effect: &proto::Effect,
) -> anyhow::Result<Exit> {
    match format {
        Format::Json => {
            let own = json!({ what: true, "entry": entry.map(entry_json) });
            output::json(&output::merged(own, effect::json(effect)))?;
        }
        Format::Table => {
            if let Some(entry) = entry {
                output::line(&format!("{what} {} {} ({})", role_word(entry), entry.name, entry.sid));
            }
            effect::print(effect);
        }
    }
    Ok(effect::exit(effect))
}

/// What the directory of the domain finds by the SID or the name. `None`: there is none, or it says nothing just
/// now; whether an entry can be made all the same is the node's to say.
async fn resolve(global: &Global, sid: Option<&str>, name: &str) -> anyhow::Result<Option<proto::Principal>> {
    let request = proto::ShowDirectoryRequest { principal: sid.unwrap_or(name).into(), after: String::new() };
    let shown = match global.client().await?.directory().show(request).await {
        Ok(shown) => shown.into_inner(),
        // A SID needs no directory.
        Err(_) if sid.is_some() => return Ok(None),
        Err(status) => return Err(status.into()),
    };
    // What it said before is not what it says now, and an accounts file has no such names.
    let found = shown.principal.filter(|found| shown.age_ms == 0 && !found.dn.is_empty());
    if let Some(found) = &found {
        output::remark(&format!("{} {}", directory::words(found), found.name));
        output::remark(&format!("  {}\n  {}", found.dn, found.sid));
    }
    Ok(found)
}

/// What was found by a name may be another one than was meant, and an exchange entry reads everything: the name
/// must be typed again.
fn confirmed(role: RoleWord, typed: &str, found: Option<&proto::Principal>) -> anyhow::Result<bool> {
    let name = found.map_or(typed, |found| &found.name);
    match (role, found) {
        (RoleWord::Exchange, _) => output::typed(
            &format!(
                "‼ The role exchange grants SUPER USER over all protected content of this tenant to {name}."
            ),
            name,
        ),
        (RoleWord::Sharepoint | RoleWord::Fileserver, Some(_)) => {
            output::typed(&format!("This is what the directory has; {name} will be authorized."), name)
        }
        (RoleWord::Sharepoint | RoleWord::Fileserver, None) => Ok(true),
    }
}

fn kind_of(found: &proto::Principal) -> proto::Kind {
    match found.what() {
        proto::What::User | proto::What::ServiceAccount => proto::Kind::Account,
        proto::What::Computer => proto::Kind::Computer,
        proto::What::Group | proto::What::DistributionGroup => proto::Kind::Group,
        proto::What::Unspecified => proto::Kind::Unspecified,
    }
}

fn entry_json(entry: &proto::Entry) -> Value {
    json!({
        "sid": entry.sid, "name": entry.name, "kind": kind_word(entry), "role": role_word(entry),
        "note": entry.note, "added_by": entry.added_by, "added_at": date(entry.added_at_ms),
    })
}

fn kind_word(entry: &proto::Entry) -> &'static str {
    match entry.kind() {
        proto::Kind::Account => "account",
        proto::Kind::Computer => "computer",
        proto::Kind::Group => "group",
        proto::Kind::Unspecified => "?",
    }
}

fn role_word(entry: &proto::Entry) -> &'static str {
    match entry.role() {
        proto::Role::Exchange => "exchange",
        proto::Role::Sharepoint => "sharepoint",
        proto::Role::Fileserver => "fileserver",
        proto::Role::Unspecified => "?",
    }
}

/// What fits a screen.
const GROUPS_SHOWN_MAX: usize = 50;

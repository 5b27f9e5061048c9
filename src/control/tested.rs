//! What would happen if an account called: the entry that matches, or the one that was likely meant.

use super::{convert, directory};
use crate::directory::Shown;
use crate::principal::{Account, AccountName, quoted};
use crate::proto::control::v1 as proto;
use crate::state::{Entry, Table};
use std::sync::Arc;
use tonic::Status;

/// An account of the directory.
pub(super) fn known(table: &Table, shown: &Shown) -> proto::TestResponse {
    let account = &shown.found.account;
    let nearest = nearest(table, account).map(|entry| convert::entry(entry));
    let mut tested = tested(table, account);
    tested.name = account.name.to_string();
    tested.known = true;
    tested.memberships = shown.groups.iter().map(directory::membership).collect();
    tested.nearest = nearest.filter(|_| tested.matched.is_none());
    tested.groups_age_ms = convert::milliseconds(shown.found.age);
    tested.disabled = !shown.found.enabled;
    tested
}

/// One that only its SID is known of.
pub(super) fn unknown(table: &Table, asked: &str) -> Result<proto::TestResponse, Status> {
    let sid = asked.parse().map_err(|_| {
        Status::not_found(format!(
            "the directory does not know {}; write DOMAIN\\name as it does, or give a SID",
            quoted(asked)
        ))
    })?;
    let name = AccountName::new("unknown", "unknown");
    let name = name.ok_or_else(|| Status::internal("a name that is always possible is not"))?;
    Ok(tested(table, &Account { sid, name, groups: Vec::new() }))
}

fn tested(table: &Table, account: &Account) -> proto::TestResponse {
    let matching = table.matching(account);
    let mut entries = matching.iter().map(|entry| convert::entry(entry));
    proto::TestResponse {
        sid: account.sid.to_string(),
        groups: account.groups.iter().map(ToString::to_string).collect(),
        matched: entries.next(),
        also_matched: entries.collect(),
        revision: table.revision,
        ..Default::default()
    }
}

/// The entry whose name is most like the account's: often a computer was authorized as a user, or one of
/// the same name in another domain, or a letter is wrong.
fn nearest<'a>(table: &'a Table, account: &Account) -> Option<&'a Arc<Entry>> {
    let wanted = account.name.name().to_lowercase();
    let like = |entry: &Entry| {
        let name = entry.name.to_lowercase();
        strsim::jaro_winkler(name.rsplit('\\').next().unwrap_or_default(), &wanted)
    };
    let likely = table.entries.values().take(ENTRIES_MAX).map(|entry| (like(entry), entry));
    let best = likely.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness > LIKENESS_MIN).map(|(_, entry)| entry)
}

/// Below it nobody would have meant it.
const LIKENESS_MIN: f64 = 0.7;
/// A million names take seconds.
const ENTRIES_MAX: usize = 20_000;

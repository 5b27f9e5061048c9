//! Looking accounts and groups up: by name, by SID, by the beginning of a name, and how they come to a group.

use super::ldap::{AccessError, Answer, Client, Follow, Name, Row};
use super::name::{Style, Typed, read};
use super::{Directory, FindError, Found, Remote, What};
use crate::principal::{Account, AccountName, Sid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// One group of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its SID.
    pub sid: Sid,
    /// Its name; its SID where the directory has no name for it.
    pub name: String,
    /// The groups between the account and this one, the account's own first.
    pub via: Vec<String>,
}

/// An account or a group with all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Itself.
    pub found: Found,
    /// Its groups, nested ones too, by name.
    pub groups: Vec<Group>,
}

/// What a search found, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub rows: Vec<Found>,
    /// There are others behind these.
    pub more: bool,
    /// There are more than are looked through: the order has holes.
    pub cut: bool,
}

impl Directory {
    /// Finds an account or a group by its SID or its name; `None` if there is none.
    ///
    /// # Errors
    /// The text is neither, or names more than one, or the directory gives no answer.
    pub async fn find(&self, name_or_sid: &str) -> Result<Option<Found>, FindError> {
        let typed = read(name_or_sid)?;
        let local = self.local.as_ref().and_then(|local| local.look_up(&typed));
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.may_have(&typed, local.is_some()))
        else {
            return Ok(local);
        };
        let rows = remote.rows(&typed).await.map_err(|error| no_answer(&error))?;
        if rows.len() + usize::from(local.is_some()) > 1 {
            let local = local.iter().map(|found| (found.account.name.clone(), found.account.sid.clone()));
            let all = local.chain(rows.into_iter().map(|row| (row.name, row.sid)));
            let objects = all.map(|(name, sid)| format!("{name} ({sid})")).collect();
            return Err(FindError::Ambiguous { text: name_or_sid.into(), objects });
        }
        match rows.into_iter().next() {
            None => Ok(local),
            Some(row) => remote.found(row).await.map(Some).map_err(|error| no_answer(&error)),
        }
    }

    /// The same; while the directory is away, what it said last.
    ///
    /// # Errors
    /// As [`Directory::find`], where nothing is known from before.
    pub async fn find_or_remembered(&self, name_or_sid: &str) -> Result<Option<Found>, FindError> {
        match self.find(name_or_sid).await {
            Err(FindError::NoAnswer { reason }) => {
                let remembered = self.remembered(name_or_sid)?;
                remembered.map(Some).ok_or(FindError::NoAnswer { reason })
            }
            found => found,
        }
    }

    /// Principals whose name begins so, by account name, those after `after`.
    ///
    /// # Errors
    /// The text is too short, or the directory gives no answer.
    pub async fn search(
        &self,
        beginning: &str,
        what: Option<What>,
        after: &str,
        rows_max: usize,
    ) -> Result<Page, FindError> {
        let (domain, name) = beginning.split_once('\\').unwrap_or(("", beginning));
        if name.chars().count() < BEGINNING_CHARS_MIN || beginning.chars().count() > TEXT_CHARS_MAX {
            return Err(FindError::NotAName { text: beginning.chars().take(TEXT_CHARS_MAX).collect() });
        }
        let mut page = Page::default();
        if let Some(local) = self.local.as_ref().filter(|local| domain.is_empty() || local.is_ours(domain)) {
            page.rows = local.like(name, what);
        }
        if let Some(remote) = self.remote.as_ref().filter(|remote| remote.is_ours(domain)) {
            let (rows, cut) = remote.client.like(name, what).await.map_err(|error| no_answer(&error))?;
            page.rows.extend(rows.into_iter().map(|row| bare(row, Vec::new(), Duration::ZERO)));
            page.cut = cut;
        }
        let key = |found: &Found| found.account.name.to_string().to_lowercase();
        page.rows.sort_by_cached_key(key);
        let after = after.to_lowercase();
        page.rows.retain(|found| key(found) > after);
        page.more = page.rows.len() > rows_max;
        page.rows.truncate(rows_max);
        Ok(page)
    }

    /// An account with its groups, and by which other groups it is in them.
    ///
    /// # Errors
    /// As [`Directory::find_or_remembered`].
    pub async fn show(&self, name_or_sid: &str) -> Result<Option<Shown>, FindError> {
        let Some(found) = self.find_or_remembered(name_or_sid).await? else { return Ok(None) };
        let groups = self.chains(&found).await;
        Ok(Some(Shown { found, groups }))
    }

    /// Every account in a group, as far as they are known; the second value: there are more.
    ///
    /// # Errors
    /// The directory gives no answer.
    pub async fn accounts_in(&self, group: &Sid, rows_max: usize) -> Result<(Vec<Found>, bool), FindError> {
        let mut accounts: Vec<Found> =
            self.local.iter().flat_map(|local| local.accounts_in(group)).take(rows_max).collect();
        let mut more = accounts.len() == rows_max;
        let Some(remote) = &self.remote else { return Ok((accounts, more)) };
        let client = &remote.client;
        if let Some(row) = client.by_sid(group).await.map_err(|error| no_answer(&error))? {
            let members =
                client.members(&row, Follow::All, rows_max).await.map_err(|error| no_answer(&error))?;
            more |= members.more;
            for row in members.rows.into_iter().filter(|row| row.what.kind() != super::Kind::Group) {
                accounts.push(remote.found(row).await.map_err(|error| no_answer(&error))?);
            }
        }
        Ok((accounts, more))
    }

    /// What the directory said last about an account.
    fn remembered(&self, name_or_sid: &str) -> Result<Option<Found>, FindError> {
        let Some(remote) = &self.remote else { return Ok(None) };
        let known = match read(name_or_sid)? {
            Typed::Sid(sid) => remote.groups.last_good(&sid).map(|known| (sid, known)),
            Typed::Name { name, .. } => remote.groups.last_good_named(name),
        };
        Ok(known.and_then(|(sid, known)| {
            let Answer::Account { name, groups, enabled } = &*known.answer else { return None };
            let what = if name.ends_with('$') { What::Computer } else { What::User };
            let name = AccountName::new(&remote.client.config.domain, name)?;
            let groups = remote.with_lists(&sid, groups.clone());
            let account = Account { sid, name, groups };
            Some(Found { account, what, dn: String::new(), enabled: *enabled, age: known.at.elapsed() })
        }))
    }

    /// How an account comes to each of its groups. Where nobody can say, they are named by their SIDs.
    async fn chains(&self, found: &Found) -> Vec<Group> {
        if let Some(groups) = self.local.as_ref().and_then(|local| local.chains(&found.account.sid)) {
            return groups;
        }
        let rows = match &self.remote {
            Some(remote) => remote.around(&found.account).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut groups = chains(&found.account, &rows);
        groups.sort_by_cached_key(|group| group.name.to_lowercase());
        groups
    }
}

impl Remote {
    /// A name with a domain belongs to one directory; one without may be in either.
    fn may_have(&self, typed: &Typed<'_>, is_local: bool) -> bool {
        match typed {
            Typed::Sid(_) => !is_local,
            Typed::Name { domain: Some(domain), style: Style::Account, .. } => self.is_ours(domain),
            Typed::Name { style: Style::Account | Style::Upn | Style::Plain, .. } => true,
        }
    }

    fn is_ours(&self, domain: &str) -> bool {
        domain.is_empty() || domain.to_lowercase() == self.client.config.domain.to_lowercase()
    }

    async fn rows(&self, typed: &Typed<'_>) -> Result<Vec<Row>, AccessError> {
        match typed {
            Typed::Sid(sid) => Ok(self.client.by_sid(sid).await?.into_iter().collect()),
            Typed::Name { name, style: Style::Upn, domain } => {
                let domain = domain.unwrap_or_default();
                let whole = format!("{name}@{domain}");
                self.client.by_name(Name::Upn { whole: &whole, name, domain }).await
            }
            Typed::Name { name, style: Style::Account | Style::Plain, .. } => {
                self.client.by_name(Name::Account(name)).await
            }
        }
    }

    async fn found(&self, row: Row) -> Result<Found, AccessError> {
        let groups = match (row.what, self.client.membership(&row.sid).await) {
            (_, Ok(Answer::Account { groups, .. })) => groups,
            (_, Ok(Answer::Gone | Answer::Foreign)) => Vec::new(),
            // A group may not show its own groups; nothing is decided by them.
            (What::Group | What::DistributionGroup, Err(AccessError::Refused { .. })) => Vec::new(),
            (_, Err(error)) => return Err(error),
        };
        let groups = self.with_lists(&row.sid, groups);
        Ok(bare(row, groups, Duration::ZERO))
    }

    pub(super) fn with_lists(&self, sid: &Sid, mut groups: Vec<Sid>) -> Vec<Sid> {
        groups.extend(self.lists.of(&self.client, sid, &groups));
        // BUILTIN groups are the controllers' own, and count nowhere else.
        groups.retain(|group| group.domain().is_some());
        groups
    }

    /// The account and its groups, as objects.
    async fn around(&self, account: &Account) -> Result<Vec<Row>, AccessError> {
        let client: &Client = &self.client;
        let some = account.groups.get(..GROUPS_MAX.min(account.groups.len())).unwrap_or_default();
        let mut rows: Vec<Row> = client.by_sid(&account.sid).await?.into_iter().collect();
        rows.extend(client.by_sids(some).await?);
        Ok(rows)
    }
}

fn bare(row: Row, groups: Vec<Sid>, age: Duration) -> Found {
    let account = Account { sid: row.sid, name: row.name, groups };
    Found { account, what: row.what, dn: row.dn, enabled: row.enabled, age }
}

fn no_answer(error: &AccessError) -> FindError {
    FindError::NoAnswer { reason: error.to_string() }
}

/// The shortest way from an account to each of its groups, out of what each object says it is a member of.
fn chains(account: &Account, rows: &[Row]) -> Vec<Group> {
    let by_dn: BTreeMap<String, &Row> = rows.iter().map(|row| (row.dn.to_lowercase(), row)).collect();
    let above = |row: &Row| -> Vec<&Row> {
        let primary = row.primary_group;
        let named = row.member_of.iter().filter_map(|dn| by_dn.get(&dn.to_lowercase()).copied());
        // A group has none, so this is for the account alone.
        let primary = primary.map(|rid| format!("-{rid}"));
        let is_primary = |group: &&Row| {
            primary
                .as_ref()
                .is_some_and(|end| group.what == What::Group && group.sid.to_string().ends_with(end))
        };
        named.chain(rows.iter().filter(is_primary)).collect()
    };
    let mut via: BTreeMap<&Sid, Vec<String>> = BTreeMap::new();
    let mut seen: BTreeSet<&Sid> = BTreeSet::new();
    let mut next: VecDeque<(&Row, Vec<String>)> = VecDeque::new();
    if let Some(own) = rows.iter().find(|row| row.sid == account.sid) {
        seen.insert(&own.sid);
        next.push_back((own, Vec::new()));
    }
    while let Some((row, way)) = next.pop_front() {
        for group in above(row) {
            if seen.insert(&group.sid) {
                via.insert(&group.sid, way.clone());
                let mut way = way.clone();
                way.push(group.name.to_string());
                next.push_back((group, way));
            }
        }
    }
    let named = |sid: &Sid| rows.iter().find(|row| row.sid == *sid).map(|row| row.name.to_string());
    let group = |sid: &Sid| Group {
        sid: sid.clone(),
        name: named(sid).unwrap_or_else(|| sid.to_string()),
        via: via.get(sid).cloned().unwrap_or_default(),
    };
    account.groups.iter().map(group).collect()
}

/// Fewer letters begin too many names.
const BEGINNING_CHARS_MIN: usize = 2;
const TEXT_CHARS_MAX: usize = 256;
/// Twice what Windows lets an account have in its token.
const GROUPS_MAX: usize = 2_048;

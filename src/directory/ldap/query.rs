//! One question to a domain controller, and the rows that come.

use super::{ANSWER_TIMEOUT, Connected};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{LdapError, Scope, SearchEntry, SearchOptions};
use std::time::Duration;

/// What is asked for.
pub(super) struct Query {
    pub(super) base: Base,
    pub(super) filter: String,
    pub(super) attributes: Vec<&'static str>,
    pub(super) rows_max: usize,
}

pub(super) enum Base {
    /// The domain and all below it.
    Domain,
    /// One object, by its name or `<SID=…>`.
    Object(String),
}

/// What came of it.
pub(super) struct Found {
    pub(super) rows: Vec<SearchEntry>,
    /// There would be more than were asked for.
    pub(super) more: bool,
}

impl Query {
    /// Everything in the domain that fits.
    pub(super) fn domain(filter: String, attributes: Vec<&'static str>, rows_max: usize) -> Self {
        Query { base: Base::Domain, filter, attributes, rows_max }
    }

    /// One object.
    pub(super) fn object(name: impl Into<String>, attributes: Vec<&'static str>) -> Self {
        Query { base: Base::Object(name.into()), filter: ANYTHING.into(), attributes, rows_max: 1 }
    }
}

/// Asks a controller.
pub(super) async fn asked(connected: &Connected, query: &Query) -> Result<Found, LdapError> {
    let mut ldap = connected.ldap.clone();
    let limit = i32::try_from(ANSWER_TIMEOUT.as_secs()).unwrap_or(i32::MAX);
    ldap.with_search_options(SearchOptions::new().timelimit(limit));
    let (base, scope) = match &query.base {
        Base::Domain => (connected.base.as_str(), Scope::Subtree),
        Base::Object(name) => (name.as_str(), Scope::Base),
    };
    // A domain refers to its other partitions, which hold no accounts.
    let mut adapters: Vec<Box<dyn Adapter<'_, &'static str, Vec<&'static str>>>> =
        vec![Box::new(EntriesOnly::new())];
    if matches!(query.base, Base::Domain) {
        let page = query.rows_max.saturating_add(1).min(PAGE_ROWS_MAX);
        adapters.push(Box::new(PagedResults::new(i32::try_from(page).unwrap_or(i32::MAX))));
    }
    let attributes = query.attributes.clone();
    let mut stream = ldap.streaming_search_with(adapters, base, scope, &query.filter, attributes).await?;
    let mut rows = Vec::new();
    let mut more = false;
    while let Some(row) = stream.next().await? {
        if rows.len() == query.rows_max {
            more = true;
            break;
        }
        rows.push(SearchEntry::construct(row));
    }
    let result = stream.finish().await;
    if !more {
        result.success()?;
    }
    Ok(Found { rows, more })
}

/// Whether a controller that took too long for one question answers another one.
pub(super) async fn is_alive(connected: &Connected) -> bool {
    let query = Query::object("", vec!["currentTime"]);
    matches!(tokio::time::timeout(ALIVE_TIMEOUT, asked(connected, &query)).await, Ok(Ok(_)))
}

pub(super) const LATE: &str = "it has no answer for 2 s";
/// It knows the time by heart.
const ALIVE_TIMEOUT: Duration = Duration::from_millis(500);
/// What every object is.
pub(super) const ANYTHING: &str = "(objectClass=*)";
/// Half of what controllers allow.
const PAGE_ROWS_MAX: usize = 500;

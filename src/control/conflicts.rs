//! Whether an entry that is to be added would make an account match twice: one and only one should.

use super::directory::no_directory;
use super::status;
use crate::directory::{Directory, FindError, Found};
use crate::state::{Kind, NewEntry, Table};
use std::time::Duration;
use tonic::Status;

/// Refuses an entry by which an account matches two. Says why that is not sure, where it is not.
pub(super) async fn check(
    directory: Option<&Directory>,
    table: &Table,
    new: &NewEntry,
) -> Result<String, Status> {
    let directory = directory.ok_or_else(no_directory)?;
    let accounts = match tokio::time::timeout(TIME_MAX, accounts(directory, new)).await {
        Ok(Ok(accounts)) => accounts,
        Ok(Err(FindError::NoAnswer { reason })) => return Ok(reason),
        Ok(Err(error)) => return Err(status::of_find(&error)),
        Err(_) => return Ok(format!("the directory needs more than {} s for it", TIME_MAX.as_secs())),
    };
    let (accounts, more) = accounts;
    for found in &accounts {
        // Its own entry is renewed, and does not count.
        let matching = table.matching(&found.account);
        if let Some(other) = matching.iter().find(|entry| entry.sid != new.sid) {
            return Err(Status::failed_precondition(format!(
                "{} would match two entries: the new one, {} ({}), and {} ({}) with the role {}; one and only one \
                 should. Take the other one out, or add it all the same with --force",
                found.account.name, new.name, new.sid, other.name, other.sid, other.role
            )));
        }
    }
    Ok(if more { format!("only {ACCOUNTS_MAX} of the group's members were compared") } else { String::new() })
}

/// The accounts that the new entry lets in.
async fn accounts(directory: &Directory, new: &NewEntry) -> Result<(Vec<Found>, bool), FindError> {
    match new.kind {
        Kind::Group => directory.accounts_in(&new.sid, ACCOUNTS_MAX).await,
        Kind::Account | Kind::Computer => {
            Ok((directory.find(&new.sid.to_string()).await?.into_iter().collect(), false))
        }
    }
}

const TIME_MAX: Duration = Duration::from_secs(5);
/// A group of servers has some dozens.
const ACCOUNTS_MAX: usize = 500;

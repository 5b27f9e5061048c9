//! What the directory says about one account: its groups, nested ones too, and whether it may log on.

use super::{AccessError, Client, Query, row};
use crate::principal::Sid;

/// What the directory says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::directory) enum Answer {
    /// It is there.
    Account {
        /// Its short name.
        name: String,
        /// The SIDs of all its groups of security.
        groups: Vec<Sid>,
        /// It is not disabled.
        enabled: bool,
    },
    /// Our domain has no such account.
    Gone,
    /// It is another domain's, which is not asked.
    Foreign,
}

impl Client {
    /// The groups of an account. One search of the object itself: `tokenGroups` is made for nothing else.
    pub(in crate::directory) async fn membership(&self, sid: &Sid) -> Result<Answer, AccessError> {
        let attributes = vec!["objectSid", "sAMAccountName", "userAccountControl", "tokenGroups"];
        let query = Query::object(format!("<SID={sid}>"), attributes);
        let found = match self.search(&query).await {
            Err(AccessError::Refused { code, .. }) if NOWHERE.contains(&code) => {
                return self.nowhere(sid).await;
            }
            found => found?,
        };
        let Some(entry) = found.rows.first() else { return self.nowhere(sid).await };
        if row::sid(entry).as_ref() != Some(sid) {
            return Err(self.refused("it shows another object"));
        }
        let groups: Option<Vec<Sid>> =
            row::bytes(entry, "tokenGroups").iter().map(|bytes| Sid::from_bytes(bytes)).collect();
        // Every account has its primary group at least.
        let groups = groups.filter(|groups| !groups.is_empty()).ok_or_else(|| self.refused(UNREADABLE))?;
        let name = row::text(entry, "sAMAccountName").unwrap_or_default();
        Ok(Answer::Account { name, groups, enabled: row::is_enabled(entry) })
    }

    async fn nowhere(&self, sid: &Sid) -> Result<Answer, AccessError> {
        let domain = self.connected().await?.domain_sid;
        Ok(if sid.rid_in(&domain).is_some() { Answer::Gone } else { Answer::Foreign })
    }

    pub(super) fn refused(&self, reason: &str) -> AccessError {
        AccessError::Refused { controller: self.config.domain.clone(), code: 0, reason: reason.into() }
    }
}

/// No such object, or one of a domain that the controller refers to (RFC 4511 A.2).
pub(super) const NOWHERE: [u32; 2] = [32, 10];
const UNREADABLE: &str = "it does not show the groups (tokenGroups); put the account that asks into the group \
                          'Windows Authorization Access Group'";

//! The members of a group: for distribution groups, which no ticket and no `tokenGroups` shows.

use super::{AccessError, Client, Query, Row};
use crate::directory::What;
use crate::principal::Sid;
use ldap3::ldap_escape;
use std::collections::BTreeSet;

/// Everything inside a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::directory) struct Members {
    /// Members, and members of groups in it, as far as they were followed.
    pub(in crate::directory) rows: Vec<Row>,
    /// There are more than were read.
    pub(in crate::directory) more: bool,
}

/// Which groups inside a group are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::directory) enum Follow {
    /// Every one.
    All,
    /// Those of distribution alone: an account shows by itself which groups of security it is in.
    Distribution,
}

impl Client {
    /// Reads a group and the groups in it. A circle is walked once.
    pub(in crate::directory) async fn members(
        &self,
        group: &Row,
        follow: Follow,
        rows_max: usize,
    ) -> Result<Members, AccessError> {
        let mut seen: BTreeSet<Sid> = [group.sid.clone()].into();
        let mut next = vec![(group.sid.clone(), group.dn.clone())];
        let mut members = Members::default();
        let domain = self.connected().await?.domain_sid;
        while let Some((sid, dn)) = next.pop() {
            let left = rows_max.saturating_sub(members.rows.len());
            let mut filter = format!("(memberOf={})", ldap_escape(dn.as_str()));
            // An account's primary group, Domain Users as a rule, is not in its memberOf. One of distribution is
            // nobody's.
            if let Some(rid) = sid.rid_in(&domain).filter(|_| follow == Follow::All) {
                filter = format!("(|{filter}(primaryGroupID={rid}))");
            }
            let found = self.search(&Query::domain(filter, Row::ATTRIBUTES.to_vec(), left)).await?;
            members.more |= found.more;
            for row in self.rows(&found.rows) {
                if !seen.insert(row.sid.clone()) {
                    continue;
                }
                let followed = match row.what {
                    What::DistributionGroup => true,
                    What::Group => follow == Follow::All,
                    What::User | What::Computer | What::ServiceAccount => false,
                };
                if followed {
                    next.push((row.sid.clone(), row.dn.clone()));
                }
                members.rows.push(row);
            }
            if members.more {
                break;
            }
        }
        Ok(members)
    }
}

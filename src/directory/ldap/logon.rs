//! Which account a name means that a domain controller has verified: one for certain, or none.

use super::query::Query;
use super::{AccessError, Client};
use crate::directory::What;
use crate::directory::ldap::Row;
use ldap3::ldap_escape;

/// What a domain calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::directory) struct Names {
    /// Its short name.
    pub(in crate::directory) netbios: String,
    /// Its DNS name.
    pub(in crate::directory) dns: String,
}

impl Client {
    /// The names of the domain that is asked, out of its own records and not out of the configuration.
    pub(in crate::directory) async fn names(&self) -> Result<Names, AccessError> {
        Ok(self.connected().await?.names)
    }

    /// The account whose own name is this one, without regard to case. Nothing else that it may be called counts:
    /// a controller that was asked to verify `EXCH01$` did not mean an object with that common name.
    pub(in crate::directory) async fn account_named(&self, name: &str) -> Result<Option<Row>, AccessError> {
        let filter = format!("(sAMAccountName={})", ldap_escape(name));
        let query = Query::domain(filter, Row::ATTRIBUTES.to_vec(), ROWS_MAX);
        let found = self.search(&query).await?;
        if found.more || found.rows.len() > 1 {
            return Err(self.refused("it has more than one account of one name"));
        }
        let mut rows = self.rows(&found.rows);
        // A directory may find more than what is equal: names without their accents, for instance.
        rows.retain(|row| row.name.name().to_lowercase() == name.to_lowercase());
        rows.retain(|row| match row.what {
            What::User | What::ServiceAccount | What::Computer => true,
            What::Group | What::DistributionGroup => false,
        });
        Ok(rows.pop())
    }
}

/// One is wanted; two say that there is not one.
const ROWS_MAX: usize = 2;

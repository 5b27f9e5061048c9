//! Which account a name means that a domain controller has verified: one for certain, or none.

use super::query::{Base, Query};
use super::{AccessError, Client, row};
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
    pub(in crate::directory) async fn names(&self) -> Result<&Names, AccessError> {
        self.names.get_or_try_init(|| self.ask_names()).await
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

    /// [MS-ADTS] 6.1.1.2.1.1: each domain has a cross-reference among the partitions of its forest.
    async fn ask_names(&self) -> Result<Names, AccessError> {
        let base = self.connected().await?.base;
        let root = self.search(&Query::object("", vec!["configurationNamingContext"])).await?;
        let configuration = root.rows.first().and_then(|root| row::text(root, "configurationNamingContext"));
        let configuration = configuration.ok_or_else(|| self.refused("it names no configuration"))?;
        let partitions = Query {
            base: Base::Below(format!("CN=Partitions,{configuration}")),
            filter: format!("(&(objectClass=crossRef)(nCName={}))", ldap_escape(&base)),
            attributes: vec!["nETBIOSName", "dnsRoot"],
            rows_max: ROWS_MAX,
        };
        let found = self.search(&partitions).await?;
        let entry = found.rows.first().filter(|_| found.rows.len() == 1);
        let names = entry.and_then(|entry| {
            let (netbios, dns) = (row::text(entry, "nETBIOSName")?, row::text(entry, "dnsRoot")?);
            Some(Names { netbios, dns })
        });
        names.ok_or_else(|| self.refused("it does not show what its domain is called"))
    }
}

/// One is wanted; two say that there is not one.
const ROWS_MAX: usize = 2;

//! Which domain a controller is of: the one that is configured, and the same one as long as this node runs.

use super::logon::Names;
use super::query::ANYTHING;
use super::{Client, row, words};
use crate::principal::Sid;
use ldap3::{Ldap, Scope, SearchEntry, ldap_escape};

/// The domain of a controller.
pub(super) struct Domain {
    /// Its name in the tree.
    pub(super) base: String,
    pub(super) sid: Sid,
    pub(super) names: Names,
}

impl Client {
    /// Names and groups of another domain would be taken for those of ours. What it is called is in its own records
    /// ([MS-ADTS] 6.1.1.2.1.1: a cross-reference among the partitions of its forest), not in the configuration.
    pub(super) async fn domain_of(&self, ldap: &mut Ldap) -> Result<Domain, String> {
        let contexts = ["defaultNamingContext", "configurationNamingContext"];
        let root = one(ldap, ("", Scope::Base), ANYTHING, &contexts).await?;
        let base = row::text(&root, "defaultNamingContext").ok_or("it names no domain")?;
        let domain = one(ldap, (&base, Scope::Base), ANYTHING, &["objectSid"]).await?;
        let sid = row::sid(&domain).ok_or("its domain has no SID")?;
        let configuration = row::text(&root, "configurationNamingContext").unwrap_or_default();
        let partitions = format!("CN=Partitions,{configuration}");
        let filter = format!("(&(objectClass=crossRef)(nCName={}))", ldap_escape(base.as_str()));
        let partition =
            one(ldap, (&partitions, Scope::OneLevel), &filter, &["nETBIOSName", "dnsRoot"]).await?;
        let netbios = row::text(&partition, "nETBIOSName").ok_or("its domain has no NetBIOS name")?;
        let dns = row::text(&partition, "dnsRoot").ok_or("its domain has no DNS name")?;
        if !netbios.eq_ignore_ascii_case(&self.config.domain) {
            return Err(format!("it is a controller of {netbios}, not of {}", self.config.domain));
        }
        // The first one that answers says which of all domains with this name it is.
        let ours = self.domain_sid.get_or_init(|| sid.clone());
        if *ours != sid {
            return Err(format!("it is a controller of another {netbios}: its SID is {sid}, not {ours}"));
        }
        Ok(Domain { base, sid, names: Names { netbios, dns } })
    }
}

async fn one(
    ldap: &mut Ldap,
    (base, scope): (&str, Scope),
    filter: &str,
    attributes: &[&str],
) -> Result<SearchEntry, String> {
    let searched = ldap.search(base, scope, filter, attributes.to_vec()).await;
    let (mut rows, _) = searched.and_then(ldap3::SearchResult::success).map_err(|error| words(&error))?;
    let row = rows.pop().ok_or_else(|| format!("it does not show {base:?}"))?;
    Ok(SearchEntry::construct(row))
}

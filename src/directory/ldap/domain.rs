//! Which domain a controller is of: the one that is configured, and the same one as long as this node runs.

use super::{ANYTHING, Client, row, words};
use crate::principal::Sid;
use ldap3::{Ldap, Scope, SearchEntry, ldap_escape};

impl Client {
    /// The domain's name in the tree, and its SID. Names and groups of another domain would be taken for those
    /// of ours.
    pub(super) async fn domain_of(&self, ldap: &mut Ldap) -> Result<(String, Sid), String> {
        let contexts = ["defaultNamingContext", "configurationNamingContext"];
        let root = one(ldap, ("", Scope::Base), ANYTHING, &contexts).await?;
        let base = row::text(&root, "defaultNamingContext").ok_or("it names no domain")?;
        let domain = one(ldap, (&base, Scope::Base), ANYTHING, &["objectSid"]).await?;
        let sid = row::sid(&domain).ok_or("its domain has no SID")?;
        let configuration = row::text(&root, "configurationNamingContext").unwrap_or_default();
        let partitions = format!("CN=Partitions,{configuration}");
        let filter = format!("(&(objectClass=crossRef)(nCName={}))", ldap_escape(base.as_str()));
        let partition = one(ldap, (&partitions, Scope::OneLevel), &filter, &["nETBIOSName"]).await?;
        let name = row::text(&partition, "nETBIOSName").ok_or("its domain has no NetBIOS name")?;
        if !name.eq_ignore_ascii_case(&self.config.domain) {
            return Err(format!("it is a controller of {name}, not of {}", self.config.domain));
        }
        // The first one that answers says which of all domains with this name it is.
        let ours = self.domain_sid.get_or_init(|| sid.clone());
        if *ours != sid {
            return Err(format!("it is a controller of another {name}: its SID is {sid}, not {ours}"));
        }
        Ok((base, sid))
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

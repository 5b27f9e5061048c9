//! The sample accounts: three servers, and one that nobody authorized.

use super::domain;
use crate::directory::Kind;
use crate::proto::control::v1::Role;
use crate::secret::Secret;
use rand::distr::{Alphanumeric, SampleString};

/// One account that the lab's directory knows.
#[derive(Clone, Debug)]
pub(super) struct SampleAccount {
    /// `DOMAIN\name`.
    pub(super) name: String,
    pub(super) password: Secret<String>,
    /// `None`: it is in the directory and not authorized.
    pub(super) role: Option<Role>,
    /// The group through which it is authorized; `None`: by itself.
    pub(super) group: Option<&'static str>,
    pub(super) kind: Kind,
}

/// Those of the accounts file, in the order of the kinds of traffic.
pub(super) fn local() -> Vec<SampleAccount> {
    let account = |name: &str, kind, role| SampleAccount {
        name: format!("LAB\\{name}"),
        password: Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 20)),
        role,
        group: None,
        kind,
    };
    vec![
        account("EXCH01$", Kind::Computer, Some(Role::Exchange)),
        account("svc-sharepoint", Kind::Account, Some(Role::Sharepoint)),
        account("FS01$", Kind::Computer, Some(Role::Fileserver)),
        account("mallory", Kind::Account, None),
    ]
}

/// Those of the domain, in the same order. Exchange servers are authorized by their group, as in most domains.
pub(super) fn of_domain() -> Vec<SampleAccount> {
    let account = |name: &str, kind, role, group| SampleAccount {
        name: format!("{}\\{name}", domain::DOMAIN),
        password: Secret::new(domain::PASSWORD.into()),
        role,
        group,
        kind,
    };
    vec![
        account("EXCH01$", Kind::Computer, Some(Role::Exchange), Some("CONTOSO\\Exchange Servers")),
        account("svc-sharepoint", Kind::Account, Some(Role::Sharepoint), None),
        account("FS01$", Kind::Computer, Some(Role::Fileserver), None),
        account("bob", Kind::Account, None, None),
    ]
}

/// As `rmsc authz add --role` takes it.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Exchange => "exchange",
        Role::Sharepoint => "sharepoint",
        Role::Fileserver => "fileserver",
        Role::Unspecified => "?",
    }
}

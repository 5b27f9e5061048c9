//! The accounts file of a run: who calls, with which password.

use crate::support::lab::Account;
use rmsc::directory::Kind;
use rmsc::directory::local::{self, NewAccount, NewDirectory};
use rmsc::principal::Sid;
use rmsc::secret::Secret;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes it; gives the accounts and their SIDs, both by short name.
pub fn write(folder: &Path) -> (BTreeMap<String, Account>, BTreeMap<String, String>) {
    let domain = [21, 77, 77, 77];
    let names = || ALWAYS.into_iter().chain(CHANGING).chain([STRANGER]);
    let password = || format!("canary-{:032x}", rand::random::<u128>());
    let passwords: Vec<String> = names().map(|_| password()).collect();
    let accounts = names().zip(&passwords).map(|(name, password)| NewAccount {
        name: name.into(),
        kind: if name.ends_with('$') { Kind::Computer } else { Kind::Account },
        password: Secret::new(password.clone()),
        groups: Vec::new(),
    });
    let directory = NewDirectory {
        domain: DOMAIN.into(),
        dns_domain: None,
        domain_sid: Sid::new(5, &domain).expect("a domain's SID has four parts"),
        groups: Vec::new(),
        accounts: accounts.collect(),
    };
    local::write(&folder.join("accounts.toml"), &directory).expect("the folder of the run can be written");
    let full = |(name, password): (&str, &String)| {
        (name.to_owned(), Account { name: format!("{DOMAIN}\\{name}"), password: password.clone() })
    };
    let sid = |(at, name): (usize, &str)| (name.to_owned(), format!("S-1-5-21-77-77-77-{}", FIRST_RID + at));
    (names().zip(&passwords).map(full).collect(), names().enumerate().map(sid).collect())
}

/// Accounts that are authorized all the time.
pub const ALWAYS: [&str; 2] = ["EXCH01$", "EXCH02$"];
/// Accounts that the administrators add and remove.
pub const CHANGING: [&str; 4] = ["slow", "quick-1", "quick-2", "quick-3"];
/// One that nobody ever authorizes.
pub const STRANGER: &str = "mallory";
pub const DOMAIN: &str = "LAB";
const FIRST_RID: usize = 1_101;

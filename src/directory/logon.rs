//! A logon that a domain controller verifies: which names are asked about, and which account it then is.
//!
//! winbind says that a proof holds, and not whose. So only a name that can mean one account is asked about: our
//! domain by its own names, and an account by its own name. What has no domain, or is a UPN, is refused.

use super::groups::Groups;
use super::ldap::{AccessError, Answer};
use super::winbind::{NotVerified, Winbind};
use super::{Remote, Verified, VerifyError};
use crate::identity::NtlmProof;
use crate::principal::{Account, AccountName};
use std::time::{Duration, SystemTime};

impl Remote {
    /// Has a proof verified, and finds the account in the directory. Ends within two seconds, whatever is away.
    pub(super) async fn log_on(&self, winbind: &Winbind, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        let logon = tokio::time::timeout(LOGON_WITHIN, self.verified(winbind, proof)).await;
        logon.unwrap_or_else(|_| {
            Err(undetermined(proof, "the directory has not answered in time".into(), true))
        })
    }

    async fn verified(&self, winbind: &Winbind, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        let (user, domain) = (proof.user.clone(), proof.domain.clone());
        let name = self.meant(proof).await?;
        let row = self.client.account_named(name.name()).await.map_err(|error| no_answer(proof, &error))?;
        let row =
            row.ok_or_else(|| VerifyError::UnknownAccount { user: user.clone(), domain: domain.clone() })?;
        let refused = |reason, asked| VerifyError::Refused {
            user: user.clone(),
            domain: domain.clone(),
            reason,
            asked,
        };
        // After the directory: under a name that only resembles an account's, nobody is asked, and the domain counts
        // nothing.
        let key = winbind.verify(proof).await.map_err(|error| match error {
            NotVerified::Refused(fault) => refused(fault.words(), true),
            NotVerified::Undetermined(reason) => undetermined(proof, reason, true),
        })?;
        if !row.enabled {
            return Err(refused("the account is disabled", true));
        }
        let groups = groups_of(&self.groups, &row.sid).await;
        let groups = groups
            .ok_or_else(|| undetermined(proof, "the directory does not say its groups".into(), false))?;
        let groups = match groups {
            Membership::In(groups) => self.with_lists(&row.sid, groups),
            Membership::Refused(reason) => return Err(refused(reason, true)),
        };
        Ok(Verified { account: Account { sid: row.sid, name: row.name, groups }, key })
    }

    /// The one account that the client's words can mean.
    async fn meant(&self, proof: &NtlmProof) -> Result<AccountName, VerifyError> {
        let config = &self.client.config.domain;
        let refuse = |reason| {
            let (user, domain) = (proof.user.clone(), proof.domain.clone());
            Err(VerifyError::Refused { user, domain, reason, asked: false })
        };
        // A computer or a domain could have that name: which one is asked is not for the client to choose.
        if proof.domain.is_empty() {
            return refuse("the name has no domain; it must be DOMAIN\\account");
        }
        // Samba and the directory could read other characters in two ways, and Samba cuts long names.
        if !proof.user.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
            || proof.user.len() > NAME_BYTES_MAX
        {
            return refuse("only names of up to 128 characters of ASCII are taken with NTLM; use Kerberos");
        }
        // Its own characters cannot be in an account's name. A name with @ would be looked for among UPNs.
        let name = AccountName::new(config, &proof.user).filter(|name| !name.name().contains('@'));
        let Some(name) = name else {
            return refuse("no account has such a name; it must be DOMAIN\\account");
        };
        let names = self.client.names().await.map_err(|error| no_answer(proof, &error))?;
        if !same(&names.netbios, config) {
            let reason =
                format!("the directory is that of {}, and directory.domain says {config}", names.netbios);
            return Err(undetermined(proof, reason, false));
        }
        if !same(&proof.domain, &names.netbios) && !same(&proof.domain, &names.dns) {
            return refuse("the domain is not the one that this node verifies");
        }
        Ok(name)
    }
}

/// What the directory says about an account that has just proven itself.
enum Membership {
    In(Vec<crate::principal::Sid>),
    Refused(&'static str),
}

async fn groups_of(groups: &Groups, sid: &crate::principal::Sid) -> Option<Membership> {
    // There is no ticket that could know better.
    let known = groups.of(sid, SystemTime::UNIX_EPOCH).await?;
    Some(match &*known.answer {
        Answer::Account { enabled: true, groups, .. } => Membership::In(groups.clone()),
        Answer::Account { enabled: false, .. } => Membership::Refused("the account is disabled"),
        Answer::Gone | Answer::Foreign => Membership::Refused("the account is not in the directory any more"),
    })
}

fn undetermined(proof: &NtlmProof, reason: String, asked: bool) -> VerifyError {
    VerifyError::Undetermined { user: proof.user.clone(), domain: proof.domain.clone(), reason, asked }
}

fn no_answer(proof: &NtlmProof, error: &AccessError) -> VerifyError {
    undetermined(proof, error.to_string(), false)
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

const NAME_BYTES_MAX: usize = 128;
/// With what HTTP adds, a client has its answer within two seconds.
const LOGON_WITHIN: Duration = Duration::from_millis(1_900);

//! What NTLM is good for, role by role. Pure.
//!
//! Who makes a server log on to him can pass its NTLM on to us, unless the proof is bound to our certificate. An
//! Exchange server may open everybody's mail, so its role takes no other NTLM unless an administrator says so.

use crate::principal::{Binding, Caller, Mechanism};
use crate::state::Role;

/// Whether a role takes NTLM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NtlmRule {
    /// Kerberos alone.
    Off,
    /// NTLM that is bound to the TLS connection, too.
    ChannelBinding,
    /// All NTLM that proves the account.
    On,
}

/// `[identity.ntlm]`: the rule of each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtlmRules {
    /// Of Exchange servers.
    pub exchange: NtlmRule,
    /// Of SharePoint servers.
    pub sharepoint: NtlmRule,
    /// Of file servers.
    pub fileserver: NtlmRule,
}

impl Default for NtlmRules {
    fn default() -> Self {
        let (sharepoint, fileserver) = (NtlmRule::On, NtlmRule::On);
        NtlmRules { exchange: NtlmRule::ChannelBinding, sharepoint, fileserver }
    }
}

impl NtlmRules {
    /// Whether somebody has opened the role that matters most.
    #[must_use]
    pub fn lets_exchange_in_unbound(&self) -> bool {
        self.exchange == NtlmRule::On
    }

    /// The error is how a caller with this role may come.
    pub(super) fn check(&self, role: Role, caller: &Caller) -> Result<(), &'static str> {
        let rule = match role {
            Role::Exchange => self.exchange,
            Role::SharePoint => self.sharepoint,
            Role::FileServer => self.fileserver,
        };
        match (caller.mechanism, rule, caller.binding) {
            (Mechanism::Kerberos, _, _)
            | (Mechanism::Ntlm, NtlmRule::On, _)
            | (Mechanism::Ntlm, NtlmRule::ChannelBinding, Binding::Channel) => Ok(()),
            (Mechanism::Ntlm, NtlmRule::ChannelBinding, Binding::None) => Err(BOUND),
            (Mechanism::Ntlm, NtlmRule::Off, _) => Err("Kerberos alone here"),
        }
    }
}

const BOUND: &str = "Kerberos, and NTLM only if it is bound to the TLS connection (extended protection)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Account, AccountName, Channel, Sid};

    fn check(rules: NtlmRules, role: Role, mechanism: Mechanism, binding: Binding) -> bool {
        let (sid, name) = (Sid::new(5, &[21, 1, 2, 3, 4]).unwrap(), AccountName::new("LAB", "a").unwrap());
        let account = Account { sid, name, groups: Vec::new() };
        let caller = Caller { account, mechanism, binding, channel: Channel::Https, computer: "a".into() };
        rules.check(role, &caller).is_ok()
    }

    #[test]
    fn by_default_exchange_alone_must_be_bound() {
        let rules = NtlmRules::default();
        assert!(!rules.lets_exchange_in_unbound());
        assert!(!check(rules, Role::Exchange, Mechanism::Ntlm, Binding::None));
        assert!(check(rules, Role::Exchange, Mechanism::Ntlm, Binding::Channel));
        assert!(check(rules, Role::SharePoint, Mechanism::Ntlm, Binding::None));
        assert!(check(rules, Role::FileServer, Mechanism::Ntlm, Binding::None));
    }

    #[test]
    fn a_rule_is_of_its_role_and_of_ntlm_alone() {
        let off = NtlmRules { sharepoint: NtlmRule::Off, exchange: NtlmRule::On, ..NtlmRules::default() };
        assert!(off.lets_exchange_in_unbound());
        assert!(!check(off, Role::SharePoint, Mechanism::Ntlm, Binding::Channel));
        assert!(check(off, Role::Exchange, Mechanism::Ntlm, Binding::None));
        assert!(check(off, Role::FileServer, Mechanism::Ntlm, Binding::None));
        for role in [Role::Exchange, Role::SharePoint, Role::FileServer] {
            let all =
                NtlmRules { exchange: NtlmRule::Off, sharepoint: NtlmRule::Off, fileserver: NtlmRule::Off };
            assert!(check(all, role, Mechanism::Kerberos, Binding::None));
            assert!(!check(all, role, Mechanism::Ntlm, Binding::Channel));
        }
    }
}

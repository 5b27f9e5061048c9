//! Every event in one table: its number, level, words and remedy. Numbers up to 3001 are those
//! of the original connector and keep their meaning; new ones start at 4000.

mod answers;
mod catalogue;
mod causes;
mod certificates;
mod disks;
mod log;
mod logins;
mod membership;
mod seen;
mod shed;
mod tally;
mod upstream;
mod who;

pub use self::{disks::Disks, seen::Seen, shed::Shed, tally::Tally, who::Who};
pub use answers::BadAnswers;
pub use catalogue::{CATALOGUE, Description, Level};
pub use causes::with_causes;
pub use certificates::Certificates;
pub use logins::LoginsLimited;
pub use membership::{NotJoined, Refused};
pub use upstream::UpstreamTrouble;

use std::fmt::Display;
use std::path::Path;

/// Something an administrator may want to know, with the fields that belong to it.
#[derive(Clone)]
pub enum Event<'a> {
    /// 1000: the node serves.
    ServiceStarted {
        /// The node's name.
        node: &'a str,
        /// The program's version.
        version: &'a str,
    },
    /// 1001: the node stopped in order.
    ServiceStopped {
        /// The node's name.
        node: &'a str,
    },
    /// 1002: an account was let in for the first time since it is authorized.
    AccessAllowed(Who<'a>),
    /// 1003: an account that used HTTP uses HTTPS.
    SwitchedToHttps {
        /// Who.
        who: Who<'a>,
        /// How many changes were not said before this one.
        left_out: u64,
    },
    /// 1004: the node has a new authorization table.
    TableUpdated {
        /// The table's revision.
        revision: u64,
        /// Every entry of it, or the first thousand.
        accounts: &'a [String],
    },
    /// 2000: a request came with no valid principal.
    PrincipalInvalid {
        /// Where from.
        computer: &'a str,
        /// What was wrong.
        reason: &'a str,
        /// How many such requests were not said before this one.
        left_out: u64,
    },
    /// 2001: an account that is not authorized asked for service.
    AccessRefused {
        /// Who asked.
        who: Who<'a>,
        /// Why it was refused.
        reason: &'a str,
        /// How many such requests were not said before this one.
        left_out: u64,
    },
    /// 2002: an account uses HTTP, for the first time or again.
    ClearText {
        /// Who.
        who: Who<'a>,
        /// How many changes were not said before this one.
        left_out: u64,
    },
    /// 2003: the table is empty.
    TableEmpty {
        /// The table's revision.
        revision: u64,
    },
    /// 2004: an account came by NTLM, which its role does not take so.
    NtlmRefused {
        /// Who asked.
        who: Who<'a>,
        /// What its role takes.
        reason: &'a str,
        /// How often it was refused since it was last said.
        left_out: u64,
    },
    /// 1010: a node was let in.
    NodeJoined {
        /// Its id.
        node_id: u64,
        /// Its name.
        name: &'a str,
        /// The token that it came with.
        token: &'a dyn Display,
    },
    /// 1011: this node has a new certificate.
    CertificateRenewed {
        /// Until when it can be used.
        until: &'a dyn Display,
    },
    /// 1012: this node is none of the cluster any more, and ends.
    NodeLeft {
        /// Its id.
        node_id: u64,
        /// Who removed it.
        by: &'a str,
    },
    /// 4018 to 4029: a connection to the peer or the admin port was refused.
    ConnectionRefused {
        /// Why.
        why: Refused,
        /// `peer` or `admin`.
        port: &'a str,
        /// Where it came from.
        remote: &'a dyn Display,
        /// Who, as far as the certificate says, and what else is known.
        who: &'a str,
    },
    /// 4030 to 4034: a host was not let in.
    JoinRefused {
        /// Why.
        why: NotJoined,
        /// Where it came from.
        remote: &'a dyn Display,
        /// The token's id.
        token: &'a dyn Display,
        /// Why, in words.
        reason: &'a str,
    },
    /// 4040: this node's certificate could not be renewed.
    RenewalFailed {
        /// Until when the old one can be used.
        until: &'a dyn Display,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
    /// 4041: this node's seal key lies in the clear.
    SealKeyInFile {
        /// The file.
        path: &'a dyn Display,
    },
    /// 4000: more than one entry of the table matches an account.
    Ambiguous {
        /// Who asked.
        who: Who<'a>,
        /// The entry that counts.
        entry: &'a str,
        /// The others.
        also: &'a str,
    },
    /// 4010, 4011, 4013, 4014: what the disk does.
    Disk {
        /// What it is.
        what: Disks,
        /// How full, and until when; or for how long. Nothing when it is over.
        reason: &'a str,
    },
    /// 4012: something on disk was damaged; it is kept aside, and made again.
    DamageSetAside {
        /// What it is.
        what: &'a str,
        /// Where it is now.
        kept: &'a Path,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// 4035: an administrator took a node out of the rotation.
    NodeDrained {
        /// The node's name.
        node: &'a str,
        /// The administrator.
        by: &'a str,
    },
    /// 4036: a node was removed from the cluster.
    NodeRemoved {
        /// The name it had.
        node: &'a str,
        /// Its id, which is never used again.
        id: u64,
        /// The administrator.
        by: &'a str,
    },
    /// 4037: an administrator was added.
    AdministratorAdded {
        /// The administrator's name.
        administrator: &'a str,
        /// SHA-256 of the key.
        key: &'a dyn Display,
        /// Who added it.
        by: &'a str,
    },
    /// 4038: an administrator was removed.
    AdministratorRemoved {
        /// The administrator's name.
        administrator: &'a str,
        /// SHA-256 of the key.
        key: &'a dyn Display,
        /// Who removed it.
        by: &'a str,
    },
    /// 4050: the Kerberos keys of the cluster are others.
    ServiceKeysChanged {
        /// Those that came.
        added: &'a str,
        /// Those that went.
        removed: &'a str,
        /// Who did it; empty if their time was over.
        by: &'a str,
    },
    /// 4051: a Kerberos key of the cluster is of no use here.
    ServiceKeyClosed {
        /// Which one.
        key: &'a dyn Display,
        /// Why.
        reason: &'a dyn Display,
    },
    /// 4042: another node says that this one is none of the cluster.
    NodeRefused {
        /// What it says.
        reason: &'a str,
    },
    /// 4053 to 4055: so many logins have failed that further ones are refused without asking.
    LoginsLimited {
        /// Which limit holds.
        why: LoginsLimited,
        /// The account, as the client wrote it.
        account: &'a str,
        /// Where it came from.
        computer: &'a str,
        /// The limit, and until when it holds.
        reason: &'a str,
        /// How many such logins were not said before this one.
        left_out: u64,
    },
    /// 4056: the nodes are too many to stay below the domain's threshold together.
    ThresholdTooLow {
        /// How many nodes relay.
        nodes: usize,
        /// The threshold.
        threshold: u32,
    },
    /// 1013: a domain controller answers again.
    DirectoryBack {
        /// The domain.
        domain: &'a str,
    },
    /// 4052: no domain controller answers.
    DirectoryAway {
        /// The domain.
        domain: &'a str,
        /// What each of them did.
        reason: &'a str,
    },
    /// 1014: NTLM is verified again.
    WinbindBack {
        /// The domain.
        domain: &'a str,
    },
    /// 4057: nobody verifies NTLM.
    WinbindAway {
        /// The domain.
        domain: &'a str,
        /// What went wrong.
        reason: &'a str,
    },
    /// 4062: a domain controller answers, but not about an account.
    DirectoryUnreadable {
        /// The domain.
        domain: &'a str,
        /// The account.
        account: &'a dyn Display,
        /// What it does not show.
        reason: &'a str,
    },
    /// 4070 to 4081: the service cannot be reached, for a reason that can be mended.
    UpstreamTrouble {
        /// What is wrong.
        why: UpstreamTrouble,
        /// The same with its causes.
        reason: &'a str,
    },
    /// 1015: the token for the cloud is renewed again.
    CloudTokenRenewed {
        /// Until when the new one can be used.
        until: &'a str,
    },
    /// 1016: an administrator signed the connector in at the cloud.
    CloudSignedIn {
        /// With what.
        method: &'a str,
        /// The administrator.
        by: &'a str,
    },
    /// 1017: an administrator asked for a new token.
    CloudRenewalAsked {
        /// The administrator.
        by: &'a str,
    },
    /// 4085: nobody is signed in at the cloud any more.
    CloudSignedOut {
        /// The administrator.
        by: &'a str,
    },
    /// 4086: the login was made for other settings than this node's.
    CloudSettingsDiffer {
        /// Which one, and what it is.
        difference: &'a str,
    },
    /// 1021: this node has a way to the service again.
    ServiceInReach,
    /// 4130: this node has no way to the service.
    ServiceOutOfReach {
        /// Why.
        reason: &'a str,
    },
    /// 4082: the token for the cloud cannot be renewed.
    CloudTokenNotRenewed {
        /// Until when the old one can be used.
        until: &'a str,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
    /// 4083: what the connector signs in with comes to its end.
    CloudCredentialExpires {
        /// How many days are left, at the most.
        days: u16,
        /// When it is over.
        until: &'a str,
    },
    /// 4084: what proves the connector goes to the service without TLS, as the node file allows.
    UpstreamInTheClear {
        /// Where the service is.
        url: &'a str,
    },
    /// 4110 to 4116: the certificate that calling servers see, or another one, needs a look.
    Certificate {
        /// What it is about.
        why: Certificates,
        /// The same in detail.
        reason: &'a str,
    },
    /// 4090 to 4095 and 4097: the service answers what no calling server may get.
    BadAnswer {
        /// What is wrong.
        why: BadAnswers,
        /// The same in detail.
        reason: &'a str,
    },
    /// 4096: the service cannot be reached, and an answer from before is given.
    KeptAnswer {
        /// What was asked.
        operation: &'a str,
        /// How old the answer is.
        age_seconds: u64,
        /// Why there is no newer one.
        reason: &'a str,
        /// How many were not said before this one.
        left_out: u64,
    },
    /// 4100: what a client sent is no good HTTP.
    NotHttp {
        /// Where from.
        computer: &'a str,
        /// What is wrong.
        reason: &'a str,
        /// How many were not said before this one.
        left_out: u64,
    },
    /// 4101: there is no room for what a client sends.
    Shed(Shed<'a>),
    /// 4102: this process may not have as many connections as are configured.
    FewOpenFiles {
        /// How many files it may have open.
        has: u64,
        /// How many it needs.
        needed: u64,
    },
    /// 3000: an unexpected error on the way to the service or in the node.
    Unexpected {
        /// What was being done.
        doing: &'a str,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_say_the_level() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].number < pair[1].number));
        for description in CATALOGUE {
            let level = match description.number {
                1000..2000 | 4011 | 4014 => Level::Information,
                2000..3000 | 4000.. => Level::Warning,
                _ => Level::Error,
            };
            assert_eq!(description.level, level, "{}", description.number);
            assert_eq!(description.remedy.is_empty(), level == Level::Information, "{}", description.number);
        }
    }
}

//! The catalogue of events: numbers, levels, words and remedies.

use super::{BadAnswers, Certificates, Disks, LoginsLimited, NotJoined, Refused, UpstreamTrouble};

/// What is fixed about an event: the row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The number.
    pub number: u16,
    /// How urgent it is.
    pub level: Level,
    /// What it means.
    pub words: &'static str,
    /// What to do; empty where there is nothing to do.
    pub remedy: &'static str,
}

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Information,
    /// To be read tomorrow.
    Warning,
    /// To be read now.
    Error,
}

/// The catalogue, in the order of the numbers.
pub const CATALOGUE: &[Description] = &[
    SERVICE_STARTED,
    SERVICE_STOPPED,
    ACCESS_ALLOWED,
    SWITCHED_TO_HTTPS,
    TABLE_UPDATED,
    NODE_JOINED,
    CERTIFICATE_RENEWED,
    NODE_LEFT,
    DIRECTORY_BACK,
    WINBIND_BACK,
    CLOUD_TOKEN_RENEWED,
    CLOUD_SIGNED_IN,
    CLOUD_RENEWAL_ASKED,
    SERVICE_IN_REACH,
    PRINCIPAL_INVALID,
    ACCESS_REFUSED,
    CLEAR_TEXT,
    TABLE_EMPTY,
    NTLM_REFUSED,
    UNEXPECTED,
    AMBIGUOUS,
    Disks::Full.description(),
    Disks::HasRoom.description(),
    DAMAGE_SET_ASIDE,
    Disks::StandsStill.description(),
    Disks::GoesOn.description(),
    Refused::RemovedAdministrator.description(),
    Refused::UnknownAdministrator.description(),
    Refused::OtherCluster.description(),
    Refused::AdministratorAtPeerPort.description(),
    Refused::NodeAtAdminPort.description(),
    Refused::Expired.description(),
    Refused::NotYetValid.description(),
    Refused::UnknownAuthority.description(),
    Refused::RemovedNode.description(),
    Refused::UnknownNode.description(),
    Refused::OtherKey.description(),
    Refused::NoMember.description(),
    NotJoined::WrongToken.description(),
    NotJoined::Expired.description(),
    NotJoined::Used.description(),
    NotJoined::Revoked.description(),
    NotJoined::Other.description(),
    NODE_DRAINED,
    NODE_REMOVED,
    ADMINISTRATOR_ADDED,
    ADMINISTRATOR_REMOVED,
    RENEWAL_FAILED,
    SEAL_KEY_IN_FILE,
    NODE_REFUSED,
    SERVICE_KEYS_CHANGED,
    SERVICE_KEY_CLOSED,
    DIRECTORY_AWAY,
    LoginsLimited::Account.description(),
    LoginsLimited::Source.description(),
    LoginsLimited::Room.description(),
    THRESHOLD_TOO_LOW,
    WINBIND_AWAY,
    DIRECTORY_UNREADABLE,
    UpstreamTrouble::NoName.description(),
    UpstreamTrouble::Expired.description(),
    UpstreamTrouble::WrongName.description(),
    UpstreamTrouble::UnknownIssuer.description(),
    UpstreamTrouble::ProxyUnreachable.description(),
    UpstreamTrouble::ProxyLogin.description(),
    UpstreamTrouble::ProxyRefused.description(),
    UpstreamTrouble::NotAllowed.description(),
    UpstreamTrouble::NoLogin.description(),
    UpstreamTrouble::LoginRefused.description(),
    UpstreamTrouble::NoToken.description(),
    UpstreamTrouble::TokenRefused.description(),
    CLOUD_TOKEN_NOT_RENEWED,
    CLOUD_CREDENTIAL_EXPIRES,
    UPSTREAM_IN_THE_CLEAR,
    CLOUD_SIGNED_OUT,
    CLOUD_SETTINGS_DIFFER,
    BadAnswers::Denied.description(),
    BadAnswers::OtherService.description(),
    BadAnswers::Throttled.description(),
    BadAnswers::OutOfOrder.description(),
    BadAnswers::NoMessages.description(),
    BadAnswers::Unfinished.description(),
    KEPT_ANSWER,
    BadAnswers::Loop.description(),
    NOT_HTTP,
    SHED,
    FEW_OPEN_FILES,
    Certificates::Changed.description(),
    Certificates::Expires.description(),
    Certificates::Expired.description(),
    Certificates::Fault.description(),
    Certificates::Missing.description(),
    Certificates::Unusable.description(),
    Certificates::Removed.description(),
    SERVICE_OUT_OF_REACH,
];

pub(super) const SERVICE_STARTED: Description =
    Description { number: 1000, level: Level::Information, words: "the connector has started", remedy: "" };
pub(super) const SERVICE_STOPPED: Description =
    Description { number: 1001, level: Level::Information, words: "the connector has stopped", remedy: "" };
pub(super) const ACCESS_ALLOWED: Description = Description {
    number: 1002,
    level: Level::Information,
    words: "an authorized account was let in for the first time",
    remedy: "",
};
pub(super) const SWITCHED_TO_HTTPS: Description = Description {
    number: 1003,
    level: Level::Information,
    words: "an account that used HTTP now uses HTTPS",
    remedy: "",
};
pub(super) const TABLE_UPDATED: Description = Description {
    number: 1004,
    level: Level::Information,
    words: "the list of authorized accounts was updated",
    remedy: "",
};
pub(super) const NODE_JOINED: Description =
    Description { number: 1010, level: Level::Information, words: "a node was let in", remedy: "" };
pub(super) const CERTIFICATE_RENEWED: Description = Description {
    number: 1011,
    level: Level::Information,
    words: "the node has a new certificate",
    remedy: "",
};
pub(super) const NODE_LEFT: Description = Description {
    number: 1012,
    level: Level::Information,
    words: "the node is not in the cluster any more, and ends",
    remedy: "",
};
pub(super) const DIRECTORY_BACK: Description =
    Description { number: 1013, level: Level::Information, words: "the directory answers again", remedy: "" };
pub(super) const WINBIND_BACK: Description =
    Description { number: 1014, level: Level::Information, words: "winbind verifies NTLM again", remedy: "" };
pub(super) const CLOUD_TOKEN_RENEWED: Description = Description {
    number: 1015,
    level: Level::Information,
    words: "the token for the cloud is renewed again",
    remedy: "",
};
pub(super) const CLOUD_SIGNED_IN: Description = Description {
    number: 1016,
    level: Level::Information,
    words: "an administrator signed the connector in at the cloud",
    remedy: "",
};
pub(super) const CLOUD_RENEWAL_ASKED: Description = Description {
    number: 1017,
    level: Level::Information,
    words: "an administrator asked for a new token for the cloud",
    remedy: "",
};
pub(super) const CLOUD_SIGNED_OUT: Description = Description {
    number: 4085,
    level: Level::Warning,
    words: "an administrator signed the connector out at the cloud, and nothing is relayed",
    remedy: "if that was not meant: rmsc cloud login",
};
pub(super) const CLOUD_SETTINGS_DIFFER: Description = Description {
    number: 4086,
    level: Level::Warning,
    words: "the login at the cloud was made for other settings than this node's, so the node sends no token",
    remedy: "make the node files alike; if the new setting is meant on every node, sign in again: rmsc cloud login",
};
pub(super) const SERVICE_OUT_OF_REACH: Description = Description {
    number: 4130,
    level: Level::Warning,
    words: "this node has no way to the service; nodes that have one get its requests",
    remedy: "see the reason; if other nodes have a way, look at what is between this one and the service: rmsc lb show",
};
pub(super) const SERVICE_IN_REACH: Description = Description {
    number: 1021,
    level: Level::Information,
    words: "this node has a way to the service again",
    remedy: "",
};
pub(super) const CLOUD_TOKEN_NOT_RENEWED: Description = Description {
    number: 4082,
    level: Level::Warning,
    words: "the token for the cloud cannot be renewed; the old one goes on until its time is over",
    remedy: "read the reason; test the way from that node: rmsc cloud test; if the sign-in is refused: rmsc cloud login",
};
pub(super) const CLOUD_CREDENTIAL_EXPIRES: Description = Description {
    number: 4083,
    level: Level::Warning,
    words: "what the connector signs in with at the cloud comes to its end",
    remedy: "make a new secret or certificate for the application, then rmsc cloud login; the old one goes on until then",
};
pub(super) const UPSTREAM_IN_THE_CLEAR: Description = Description {
    number: 4084,
    level: Level::Warning,
    words: "what proves the connector to the service goes over the network without TLS",
    remedy: "write https:// into upstream.url, and take upstream.clear_text out",
};
pub(super) const PRINCIPAL_INVALID: Description = Description {
    number: 2000,
    level: Level::Warning,
    words: "a request came without a valid Windows identity",
    remedy: "check that the calling server uses Windows authentication and that its account is known here",
};
pub(super) const ACCESS_REFUSED: Description = Description {
    number: 2001,
    level: Level::Warning,
    words: "an account that is not authorized asked for service",
    remedy: "if it is one of your servers: rmsc authz test ACCOUNT, then rmsc authz add",
};
pub(super) const CLEAR_TEXT: Description = Description {
    number: 2002,
    level: Level::Warning,
    words: "an account uses HTTP instead of HTTPS",
    remedy: "give the server the connector's https address",
};
pub(super) const TABLE_EMPTY: Description = Description {
    number: 2003,
    level: Level::Warning,
    words: "the list of authorized accounts is empty, so nobody is served",
    remedy: "authorize the servers: rmsc authz add",
};
pub(super) const NTLM_REFUSED: Description = Description {
    number: 2004,
    level: Level::Warning,
    words: "an authorized account was refused, because its role does not take NTLM as it came",
    remedy: "let it use Kerberos, or https with extended protection; or see [identity.ntlm] in rmsc.toml",
};
pub(super) const UNEXPECTED: Description = Description {
    number: 3000,
    level: Level::Error,
    words: "an unexpected error occurred",
    remedy: "read the reason; if it names the service, test the way to it from this node",
};

pub(super) const AMBIGUOUS: Description = Description {
    number: 4000,
    level: Level::Warning,
    words: "more than one entry matches an account",
    remedy: "one and only one entry should: rmsc authz test ACCOUNT, then rmsc authz remove",
};

pub(super) const DAMAGE_SET_ASIDE: Description = Description {
    number: 4012,
    level: Level::Warning,
    words: "something on disk was damaged; it is kept aside, and made again from what is whole",
    remedy: "test the disk; when it is sound or replaced, remove what was kept aside",
};
pub(super) const NODE_DRAINED: Description = Description {
    number: 4035,
    level: Level::Warning,
    words: "a node takes no requests because an administrator drained it",
    remedy: "put it back when the work on it is done: rmsc node undrain NODE",
};
pub(super) const NODE_REMOVED: Description = Description {
    number: 4036,
    level: Level::Warning,
    words: "a node was removed from the cluster",
    remedy: "if it should come back, it must join anew with a token",
};
pub(super) const ADMINISTRATOR_ADDED: Description = Description {
    number: 4037,
    level: Level::Warning,
    words: "an administrator was added",
    remedy: "if nobody should have done that: rmsc admin remove both, and see who has their keys",
};
pub(super) const ADMINISTRATOR_REMOVED: Description = Description {
    number: 4038,
    level: Level::Warning,
    words: "an administrator was removed",
    remedy: "if that was wrong: rmsc admin add, with a new key",
};
pub(super) const RENEWAL_FAILED: Description = Description {
    number: 4040,
    level: Level::Warning,
    words: "the node's certificate could not be renewed",
    remedy: "read the reason; it is tried again, and until the old one ends nothing else changes",
};
pub(super) const SEAL_KEY_IN_FILE: Description = Description {
    number: 4041,
    level: Level::Warning,
    words: "the node's seal key lies in a plain file",
    remedy: "whoever copies it and the data folder has every secret: give it to systemd, see rmsc.service",
};
pub(super) const NODE_REFUSED: Description = Description {
    number: 4042,
    level: Level::Warning,
    words: "another node says that this one is none of the cluster",
    remedy: "ask the cluster: rmsc node list; if it is so, stop this node, empty its data folder, and join it anew",
};
pub(super) const SERVICE_KEYS_CHANGED: Description = Description {
    number: 4050,
    level: Level::Warning,
    words: "the Kerberos keys of the cluster were changed",
    remedy: "if nobody should have done that: rmsc kerberos show, and see who has the keys of that administrator",
};
pub(super) const SERVICE_KEY_CLOSED: Description = Description {
    number: 4051,
    level: Level::Warning,
    words: "a Kerberos key of the cluster cannot be opened on this node, and is left out",
    remedy: "remove the key and import it again: rmsc kerberos remove SERVICE, then rmsc kerberos import FILE",
};
pub(super) const DIRECTORY_AWAY: Description = Description {
    number: 4052,
    level: Level::Warning,
    words: "the directory does not answer: callers have the groups that they had last, or those of their tickets",
    remedy: "read the reason; test the way to the domain controllers from this node",
};
pub(super) const THRESHOLD_TOO_LOW: Description = Description {
    number: 4056,
    level: Level::Warning,
    words: "there are too many nodes to keep failed logins below the domain's lockout threshold",
    remedy: "let fewer nodes relay, or raise the domain's threshold and identity.limits.lockout_threshold with it",
};
pub(super) const WINBIND_AWAY: Description = Description {
    number: 4057,
    level: Level::Warning,
    words: "winbind does not verify NTLM: who comes with it is told to try again, and Kerberos goes on",
    remedy: "read the reason; on this node: systemctl status winbind, wbinfo --ping-dc",
};
pub(super) const DIRECTORY_UNREADABLE: Description = Description {
    number: 4062,
    level: Level::Warning,
    words: "the directory does not show what decides about an account: its last answer counts, or a newer ticket",
    remedy: "read the reason; give the account that asks (`[directory] user`) the right that it names",
};
pub(super) const KEPT_ANSWER: Description = Description {
    number: 4096,
    level: Level::Warning,
    words: "the service cannot be reached, and an answer that was kept is given",
    remedy: "read the reason and the events about the service; the answer's age is in age_seconds",
};
pub(super) const NOT_HTTP: Description = Description {
    number: 4100,
    level: Level::Warning,
    words: "a client sends what is no good HTTP: it got 400, and its connection was closed",
    remedy: "read the reason; if it is a server of yours, a proxy on the way may change its requests",
};
pub(super) const SHED: Description = Description {
    number: 4101,
    level: Level::Warning,
    words: "there is no room for all that clients send: some get 429 and come again",
    remedy: "find out who sends so much; if it is right, raise the key, or add a node: see 4101 in the runbook",
};
pub(super) const FEW_OPEN_FILES: Description = Description {
    number: 4102,
    level: Level::Warning,
    words: "this process may not open as many files as it needs for limits.connections_max",
    remedy: "raise LimitNOFILE= in rmsc.service, or lower limits.connections_max",
};

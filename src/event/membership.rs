//! Events about who may be in the cluster: connections and joins that were refused, by number.

use super::{Description, Level};

/// Why a connection to the peer or the admin port was refused: events 4018 to 4029.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The administrator was removed.
    RemovedAdministrator,
    /// No administrator of that name has that key.
    UnknownAdministrator,
    /// A member of another cluster.
    OtherCluster,
    /// An administrator at the port for nodes.
    AdministratorAtPeerPort,
    /// A node at the port for administrators.
    NodeAtAdminPort,
    /// The certificate has expired.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// Another authority issued the certificate.
    UnknownAuthority,
    /// The node was removed.
    RemovedNode,
    /// There never was such a node.
    UnknownNode,
    /// The node is known by another key.
    OtherKey,
    /// There is no certificate, or it names nobody.
    NoMember,
}

/// Why a host was not let in: events 4030 to 4034.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotJoined {
    /// No such token, or the proof is wrong.
    WrongToken,
    /// The token has expired.
    Expired,
    /// The token was used.
    Used,
    /// The token was revoked.
    Revoked,
    /// Another reason.
    Other,
}

impl Refused {
    /// Whether the other end is told why: its certificate is good, and it may not know what was decided
    /// about it.
    #[must_use]
    pub const fn is_told(self) -> bool {
        match self {
            Refused::RemovedAdministrator
            | Refused::UnknownAdministrator
            | Refused::RemovedNode
            | Refused::OtherKey => true,
            Refused::OtherCluster
            | Refused::AdministratorAtPeerPort
            | Refused::NodeAtAdminPort
            | Refused::Expired
            | Refused::NotYetValid
            | Refused::UnknownAuthority
            | Refused::UnknownNode
            | Refused::NoMember => false,
        }
    }

    /// The row of the catalogue.
    #[must_use]
    pub const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            Refused::RemovedAdministrator => (
                4018,
                "a connection was refused: the administrator was removed",
                "find out who still has that key; to have them back: rmsc admin add, with a new key",
            ),
            Refused::UnknownAdministrator => (
                4019,
                "a connection was refused: its certificate is an administrator's whom nobody added",
                "if you do not know it, somebody has the cluster's keys: see the runbook; else rmsc admin add",
            ),
            Refused::OtherCluster => (
                4020,
                "a connection was refused: it is a member of another cluster",
                "find the host by its address; it has a wrong address of this cluster, or a copied data folder",
            ),
            Refused::AdministratorAtPeerPort => (
                4021,
                "a connection was refused: an administrator called the port for nodes",
                "administrators call the admin port: check the endpoints of the context",
            ),
            Refused::NodeAtAdminPort => (
                4022,
                "a connection was refused: a node called the port for administrators",
                "find out who uses that node's certificate; if nobody should: rmsc node remove NAME",
            ),
            Refused::Expired => (
                4023,
                "a connection was refused: its certificate has expired",
                "compare the clocks; a node renews its certificate when it runs, an administrator needs a new one",
            ),
            Refused::NotYetValid => (
                4024,
                "a connection was refused: its certificate is not valid yet",
                "compare the clocks of both hosts",
            ),
            Refused::UnknownAuthority => (
                4025,
                "a connection was refused: its certificate is not of this cluster's authority",
                "find the host by its address",
            ),
            Refused::RemovedNode => (
                4026,
                "a connection was refused: the node was removed from the cluster",
                "stop it, and join anew if it is wanted back: rmsc token create, then rmsc join",
            ),
            Refused::UnknownNode => (
                4027,
                "a connection was refused: no such node was ever let in",
                "find the host by its address; it may be of a cluster that was restored from a backup",
            ),
            Refused::OtherKey => (
                4028,
                "a connection was refused: the node is known by another key",
                "two hosts use one identity: stop both, remove the node and join anew",
            ),
            Refused::NoMember => (
                4029,
                "a connection was refused: its certificate names no member, or it shows none",
                "find the program by its address; it needs a node's or an administrator's certificate",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}

impl NotJoined {
    /// The row of the catalogue.
    #[must_use]
    pub const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            NotJoined::WrongToken => (
                4030,
                "a host was not let in: its token is not one of this cluster",
                "if the host is yours, make a new token: rmsc token create; if not, find it by its address",
            ),
            NotJoined::Expired => {
                (4031, "a host was not let in: its token has expired", "make a new one: rmsc token create")
            }
            NotJoined::Used => (
                4032,
                "a host was not let in: its token was used before",
                "if you do not know the node that used it, remove that node; then rmsc token create",
            ),
            NotJoined::Revoked => (
                4033,
                "a host was not let in: its token was revoked",
                "if the host is yours, make a new token: rmsc token create",
            ),
            NotJoined::Other => (
                4034,
                "a host was not let in",
                "read the reason; the same token can be used again when it is gone",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}

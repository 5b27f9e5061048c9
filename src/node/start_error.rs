//! Why a node did not start, in words that say what to do.

use crate::{cluster, directory, enrolment, identity, seal, telemetry, tls};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key is unusable.
    #[error("cannot use the node's certificates")]
    Tls(#[from] tls::LoadError),
    /// The host is no node, or its identity cannot be used.
    #[error(transparent)]
    WhoAmI(#[from] enrolment::IdentityError),
    /// The host's own key cannot be used.
    #[error(transparent)]
    SealKey(#[from] seal::NodeKeyError),
    /// The node's key cannot be used.
    #[error("the node's key cannot be used")]
    Key(#[from] tls::RequestError),
    /// What the node had is gone, and with it what it promised to the others.
    #[error(
        "the data of {name} (node {node_id}) in {path} are gone, and it must not come back without them. \
         On another node: rmsc node remove {name}. Then here, with a token of `rmsc token create`: \
         rmsc join ADDRESS --token TOKEN"
    )]
    DataLost {
        /// The node's name.
        name: String,
        /// Its id.
        node_id: u64,
        /// Where they were.
        path: PathBuf,
        /// What is missing.
        source: Box<cluster::OpenError>,
    },
    /// The accounts file is unusable.
    #[error("cannot use the directory")]
    Directory(#[from] directory::OpenError),
    /// The node's names cannot be told to clients.
    #[error("cannot authenticate clients")]
    Identity(#[from] identity::SettingsError),
    /// The keys of our services cannot be used.
    #[error("cannot take Kerberos")]
    Keytab(#[from] super::keytab::OpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The replicated part did not start.
    #[error("cannot start the replicated store")]
    Cluster(#[from] cluster::OpenError),
    /// It was started as what it is not.
    #[error("this host joined as a {kind}; start it with: {command} --config FILE")]
    OtherKind {
        /// What it is.
        kind: &'static str,
        /// What starts such a node.
        command: &'static str,
    },
    /// The collector cannot be told.
    #[error("cannot use [trace]")]
    Collector(#[from] telemetry::CollectorError),
    /// The admin port's descriptors are wrong.
    #[error("cannot serve the admin port")]
    Control(#[from] tonic_reflection::server::Error),
}

impl StartError {
    /// Whether only the operator can change it: starting again is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            StartError::WhoAmI(_)
                | StartError::SealKey(_)
                | StartError::DataLost { .. }
                | StartError::OtherKind { .. }
        )
    }
}

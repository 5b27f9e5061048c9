//! How a host becomes a node of the cluster, and stays one: founding, tokens, joining, new certificates,
//! leaving.

mod administrators;
mod authority;
mod cloud;
mod cloud_anew;
mod found;
mod front_certificate;
mod identity_file;
mod join;
mod join_service;
mod keep;
mod leave;
mod metrics;
mod reach;
mod refound;
mod secrets;
mod service_keys;
mod throttle;
mod ticket_keys;
mod token;
mod tokens;

pub use administrators::{AddError, Administrator, AdministratorAdded, NewKey, of_roster};
pub use authority::{CertifyError, authority_of};
pub use cloud::{
    Cloud, CloudCredential, CloudEnrolment, CloudMarks, CloudRenewal, CloudRenewalFailure, CloudSettings,
    CloudSignedOut, CloudToken, cloud_of,
};
pub use cloud_anew::{CloudAnew, CloudLogin, cloud_anew};
pub use found::{Founding, InitError, init};
pub use front_certificate::{
    Front, FrontError, FrontMarks, KeptCertificate, KeptRequest, RemovedCertificate,
};
pub use identity_file::{Card, Identity, IdentityError, card, forget_joining, load};
pub use join::{JoinError, Joined, join};
pub use join_service::{Guest, JoinService};
pub use leave::{LeaveError, put_aside};
pub use metrics::Metrics;
pub use reach::answering;
pub use refound::{Kept, Refounding, refound};
pub use secrets::SecretError;
pub use service_keys::{OpenedKeys, PlainServiceKey};
pub use ticket_keys::{KeptTicketKey, KeptTicketKeys};
pub use token::{TokenText, TokenTextError, hex};
pub use tokens::{NewToken, TokenError, TokenMade};

use crate::cluster::Cluster;
pub use crate::state::NewAdministrator;

use crate::seal;
use crate::tls::{Credentials, LoadError, Member, MemberKind, Membership};
use std::path::PathBuf;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// What a host says about itself when it founds a cluster or joins one.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Where its own key is.
    pub seal: seal::Config,
    /// Its name.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where administrators reach it.
    pub admin_address: String,
}

/// The part of a running node that lets others in and keeps this one in. Clones are the same one.
#[derive(Clone)]
pub struct Enrolment {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster,
    identity: identity_file::Kept,
    membership: Membership,
    certificate_life: Duration,
    metrics: Metrics,
    clock: fn() -> OffsetDateTime,
}

/// What a running node hands over.
pub struct Parts {
    /// The replicated part.
    pub cluster: Cluster,
    /// Who this node is.
    pub identity: Identity,
    /// Its own key, with which the identity is sealed.
    pub seal_key: seal::Key,
    /// Where the identity is.
    pub data_dir: PathBuf,
    /// Its certificate in use.
    pub membership: Membership,
    /// How long new certificates of nodes live.
    pub certificate_life: std::time::Duration,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: fn() -> OffsetDateTime,
}

impl Enrolment {
    /// Takes what a running node has.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { cluster, identity, seal_key, data_dir, membership, certificate_life, metrics, clock } =
            parts;
        let certificate_life = Duration::try_from(certificate_life).unwrap_or(Duration::MAX);
        metrics.note(membership.validity());
        let identity = identity_file::Kept::new(data_dir, seal_key, identity);
        let shared = Shared { cluster, identity, membership, certificate_life, metrics, clock };
        Enrolment { shared: Arc::new(shared) }
    }
}

impl Enrolment {
    /// The cluster's data key, for a copy that is to be of use when all nodes are gone.
    #[must_use]
    pub fn data_key(&self) -> seal::Key {
        self.shared.identity.now().data_key
    }
}

/// The credentials of a node, out of its identity.
///
/// # Errors
/// [`LoadError`]: the parts do not fit together.
pub fn membership(identity: &Identity, path: PathBuf) -> Result<Membership, LoadError> {
    Membership::new(Credentials {
        certificate: identity.certificate.clone(),
        authority: identity.authority.clone(),
        key: identity.node_key.clone(),
        path,
    })
}

fn node(cluster_id: &str, node_id: u64) -> Member {
    Member { cluster: cluster_id.into(), kind: MemberKind::Node(node_id) }
}

/// As the state counts time.
fn milliseconds(time: OffsetDateTime) -> crate::state::Timestamp {
    let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
    crate::state::Timestamp(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

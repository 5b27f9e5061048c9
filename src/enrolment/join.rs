//! `rmsc join`: the asking side. Every step can be repeated: key and disk number are kept before anything
//! is asked, so a host that is broken off comes back as the same one.

use super::identity_file::{self, Card, Identity, IdentityError, Joining};
use super::token::TokenText;
use super::{Host, leave, node};
use crate::cluster::{Cluster, Introduced, Introduction, OpenError, VERSION};
use crate::event::with_causes;
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::join_client::JoinClient;
use crate::proto::peer::v1::join_response::Result as Answer;
use crate::proto::peer::v1::not_welcome::Why;
use crate::seal::{self, Key, NodeKeyError};
use crate::secret::Secret;
use crate::state::KeyHash;
use crate::tls::{
    Credentials, LoadError, MemberKey, Membership, Pinned, RequestError, authority_pin, connect_pinned,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Endpoint;

/// What a join came to.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The cluster.
    pub cluster_id: String,
    /// This host's id there.
    pub node_id: u64,
    /// SHA-256 of the key of the cluster's authority.
    pub pin: [u8; 32],
    /// Whether it only votes.
    pub witness: bool,
    /// It was that node before; nothing was changed.
    pub already: bool,
    /// The file in which this host's seal key lies in the clear, if it does.
    pub plain_seal_file: Option<PathBuf>,
}

/// The host is not in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It is in another one.
    #[error(
        "this host is node {node_id} of cluster {cluster_id}, and the token is of another cluster; \
         let it leave first with `rmsc leave`, or name another data_dir"
    )]
    OtherCluster {
        /// Its id there.
        node_id: u64,
        /// That cluster.
        cluster_id: String,
    },
    /// The node could not be reached, or is none of that cluster.
    #[error("cannot join through {address}; {}", hint(source))]
    Connect {
        /// The node's peer address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// The cluster says no.
    #[error("{address} does not let this host in: {reason}")]
    NotWelcome {
        /// The node's peer address.
        address: String,
        /// Why.
        reason: String,
        /// Whether trying again may help.
        again: bool,
    },
    /// The answer does not fit to what was asked.
    #[error("the answer of {address} is not usable: {reason}")]
    Answer {
        /// The node's peer address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The host's seal key.
    #[error(transparent)]
    SealKey(#[from] NodeKeyError),
    /// The identity file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// A key.
    #[error(transparent)]
    Key(#[from] RequestError),
    /// What is left of another node cannot be put aside.
    #[error(transparent)]
    Leave(#[from] leave::LeaveError),
}

/// What was reached, and what to look at.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: check that a node runs there, and that this is its peer address, as `rmsc status` \
             shows it"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "nobody answers there: check the address, and that firewalls let this host come to it"
        }
        io::ErrorKind::InvalidInput => "that is no address: write HOST:PORT",
        io::ErrorKind::InvalidData => {
            "what listens there does not speak as a node's peer port does: check that this is a peer address, as \
             `rmsc status` shows it"
        }
        io::ErrorKind::PermissionDenied => {
            "a peer address of that cluster shows its authority's certificate: check that this is one, as `rmsc \
             status` shows it, and that the token is of the same cluster"
        }
        // The kind of what the resolver says has no name yet.
        _ if source.to_string().contains("failed to lookup address") => {
            "no host has that name: write HOST:PORT, without a scheme"
        }
        // An admin port ends such a connection.
        _ => {
            "the way to it was cut, or it is another port of a node: check that this is a peer address, as `rmsc \
             status` shows it"
        }
    }
}

/// Joins through the node at a peer address.
///
/// # Errors
/// [`JoinError`].
pub async fn join(host: &Host, address: &str, token: &TokenText) -> Result<Joined, JoinError> {
    let before = match identity_file::card(&host.data_dir)? {
        Some(card) => stays(host, &card, token)?,
        None => None,
    };
    // One that was never started may have been removed without hearing so: it asks again.
    if let Some(identity) = &before
        && Cluster::was_started(&host.data_dir)?
    {
        return Ok(already(identity, token));
    }
    let found = seal::find_or_make(&host.seal)?;
    let joining = match &before {
        Some(Identity { incarnation, node_key, .. }) => {
            Joining { incarnation: *incarnation, node_key: node_key.clone() }
        }
        None => begin(host, &found.key)?,
    };
    let welcome = ask(host, address, token, &joining).await?;
    let identity = accept(address, token, &joining, welcome)?;
    if let Some(before) = before {
        // It may have been started meanwhile, as what it was.
        if before.node_id == identity.node_id || Cluster::was_started(&host.data_dir)? {
            return Ok(already(&before, token));
        }
        // It can be broken off from here on as a first join can.
        identity_file::save_joining(&host.data_dir, &found.key, &joining)?;
        identity_file::remove(&host.data_dir)?;
    }
    // An attempt that was broken off may have claimed it for a node that was removed since.
    Cluster::renounce(&host.data_dir)?;
    Cluster::claim(&host.data_dir, &identity.cluster_id, identity.node_id, identity.incarnation)?;
    identity_file::save(&host.data_dir, &found.key, &identity)?;
    identity_file::forget_joining(&host.data_dir)?;
    Ok(Joined {
        cluster_id: identity.cluster_id,
        node_id: identity.node_id,
        pin: token.pin,
        witness: identity.witness,
        already: false,
        plain_seal_file: found.plain_file,
    })
}

fn already(identity: &Identity, token: &TokenText) -> Joined {
    Joined {
        cluster_id: identity.cluster_id.clone(),
        node_id: identity.node_id,
        pin: token.pin,
        witness: identity.witness,
        already: true,
        plain_seal_file: None,
    }
}

/// Who a host is that was a node before. One whose data are gone may join anew.
fn stays(host: &Host, card: &Card, token: &TokenText) -> Result<Option<Identity>, JoinError> {
    let pin = authority_pin(&card.authority);
    if !Cluster::has_data(&host.data_dir, &card.cluster_id, card.node_id)? {
        leave::put_aside(&host.data_dir, card.node_id)?;
        return Ok(None);
    }
    if pin != Some(token.pin) {
        let (node_id, cluster_id) = (card.node_id, card.cluster_id.clone());
        return Err(JoinError::OtherCluster { node_id, cluster_id });
    }
    let identity = identity_file::load(&host.data_dir, &seal::find(&host.seal)?.key)?;
    // Of a join that was broken off at its very end.
    identity_file::forget_joining(&host.data_dir)?;
    Ok(Some(identity))
}

fn begin(host: &Host, seal_key: &Key) -> Result<Joining, JoinError> {
    if let Some(joining) = identity_file::load_joining(&host.data_dir, seal_key)? {
        return Ok(joining);
    }
    let joining = Joining { incarnation: rand::random(), node_key: MemberKey::new()?.der() };
    identity_file::save_joining(&host.data_dir, seal_key, &joining)?;
    Ok(joining)
}

/// Asks until there is an answer that stays so, or the time is over.
async fn ask(
    host: &Host,
    address: &str,
    token: &TokenText,
    joining: &Joining,
) -> Result<wire::Welcome, JoinError> {
    let statement = wire::JoinStatement {
        certificate_request: MemberKey::of_der(joining.node_key.expose())?.request()?,
        name: host.name.clone(),
        peer_address: host.peer_address.clone(),
        admin_address: host.admin_address.clone(),
        incarnation: joining.incarnation.to_be_bytes().to_vec(),
        build: VERSION,
    };
    let statement = statement.encode_to_vec();
    let deadline = Instant::now() + ASK_TIMEOUT;
    let mut pause = PAUSE_FIRST;
    loop {
        let again = match ask_once(address, token, &statement).await {
            Err(error @ JoinError::NotWelcome { again: true, .. }) => error,
            answer => return answer,
        };
        if Instant::now() + pause >= deadline {
            return Err(again);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn ask_once(address: &str, token: &TokenText, statement: &[u8]) -> Result<wire::Welcome, JoinError> {
    let connect = |source| JoinError::Connect { address: address.into(), source };
    let Pinned { stream, exporter, .. } = connect_pinned(address, token.pin).await.map_err(connect)?;
    let mut once = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = once.take().ok_or_else(|| io::Error::other("the connection was for one use"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://node.rmsc.internal").timeout(CALL_TIMEOUT);
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|error| connect(io::Error::other(error)))?;
    let request = wire::JoinRequest {
        token_id: token.id.0.to_vec(),
        statement: statement.to_vec(),
        proof: token.key().prove(&exporter, token.id, statement).to_vec(),
    };
    let no = |reason: String, again| JoinError::NotWelcome { address: address.into(), reason, again };
    let answer = JoinClient::new(channel).join(request).await;
    let answer = answer.map_err(|status| {
        // Nobody said so: the connection ended. An admin port ends such a one.
        if let Some(cause) = status.source().filter(|_| status.code() == tonic::Code::Unknown) {
            return connect(io::Error::other(with_causes(cause)));
        }
        let again = matches!(status.code(), tonic::Code::ResourceExhausted | tonic::Code::Unavailable);
        no(status.message().into(), again)
    })?;
    match answer.into_inner().result {
        Some(Answer::Welcome(welcome)) => Ok(welcome),
        Some(Answer::NotWelcome(answer)) => {
            let again = answer.why() == Why::NotNow;
            Err(no(answer.reason, again))
        }
        None => Err(no("it says neither yes nor no; is it of a newer build?".into(), false)),
    }
}

/// Checks the answer: the same authority, and a certificate for this host's key.
fn accept(
    address: &str,
    token: &TokenText,
    joining: &Joining,
    welcome: wire::Welcome,
) -> Result<Identity, JoinError> {
    let unusable = |reason: String| JoinError::Answer { address: address.into(), reason };
    if authority_pin(&welcome.authority) != Some(token.pin) {
        return Err(unusable("its authority is not the one that the token names".into()));
    }
    let data_key = Secret::new(welcome.data_key);
    let data_key = Key::of_bytes(data_key.expose());
    // This also checks that the certificate is for this key.
    let membership = Membership::new(Credentials {
        certificate: welcome.certificate.clone(),
        authority: welcome.authority.clone(),
        key: joining.node_key.clone(),
        path: "the answer".into(),
    });
    let membership = membership.map_err(|error: LoadError| unusable(with_causes(&error)))?;
    if *membership.member() != node(&welcome.cluster_id, welcome.node_id) {
        return Err(unusable("its certificate is for another node".into()));
    }
    let introduction = introduction(welcome.as_of, &welcome.group, welcome.members);
    Ok(Identity {
        introduction: introduction.ok_or_else(|| unusable("its list of the members is malformed".into()))?,
        cluster_id: welcome.cluster_id,
        node_id: welcome.node_id,
        authority: welcome.authority,
        certificate: welcome.certificate,
        incarnation: joining.incarnation,
        witness: welcome.witness,
        node_key: joining.node_key.clone(),
        data_key: data_key.ok_or_else(|| unusable("the data key has not 32 bytes".into()))?,
        authority_key: None,
        administrator: None,
    })
}

/// Whom to believe until the log is here. A node of an older build does not say.
fn introduction(as_of: u64, group: &[u8], members: Vec<wire::Introduced>) -> Option<Option<Introduction>> {
    if members.is_empty() {
        return Some(None);
    }
    let introduced = |member: wire::Introduced| {
        let key = KeyHash(member.key.as_slice().try_into().ok()?);
        Some(Introduced { node_id: member.node_id, key, peer_address: member.peer_address })
    };
    let members = members.into_iter().map(introduced).collect::<Option<_>>()?;
    Some(Some(Introduction { as_of, group: u128::from_be_bytes(group.try_into().ok()?), members }))
}

/// An election is over by then.
const ASK_TIMEOUT: Duration = Duration::from_secs(15);
/// The other side waits 5 s for a leader.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

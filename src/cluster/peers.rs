//! Connections to the other nodes: made when they are needed, kept, and only to who is wanted.

use crate::proto::peer::v1::node_client::NodeClient;
use crate::proto::peer::v1::raft_client::RaftClient;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens a connection to a node and proves who is there.
pub trait Dial: Send + Sync + 'static {
    /// Connects to an address; the caller waits for a limited time.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Dialed>>;
}

/// A connection, and who is at its other end.
pub struct Dialed {
    /// The connection.
    pub stream: Box<dyn Stream>,
    /// The node, as its certificate says.
    pub node_id: u64,
}

/// There is no connection to the node, so nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("the node was not reached")]
struct NotReached(#[source] io::Error);

/// Whether a call surely never left this node.
pub(super) fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<NotReached>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What a connection is for: small and urgent messages do not queue behind large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Votes, heartbeats, handing over.
    Urgent,
    /// Entries of the log.
    Append,
    /// Snapshots.
    Snapshot,
    /// What nodes ask each other besides Raft.
    Call,
}

/// The connections of a node.
pub(super) struct Peers {
    dial: Arc<dyn Dial>,
    channels: Mutex<BTreeMap<(u64, Lane), (String, Channel)>>,
    /// Where the nodes are by the roster: newer than what Raft was told when it began to talk to them.
    places: Mutex<BTreeMap<u64, String>>,
    /// What a member last said when it refused this node as none of the cluster.
    refused: watch::Sender<Option<String>>,
}

impl Peers {
    pub(super) fn new(dial: Arc<dyn Dial>) -> Self {
        Peers {
            dial,
            channels: Mutex::default(),
            places: Mutex::default(),
            refused: watch::Sender::new(None),
        }
    }

    /// Notes a refusal. Who answers was found to be the node that was wanted, with the key that the roster has.
    pub(super) fn note(&self, status: &Status) {
        if status.code() == Code::PermissionDenied && status.metadata().contains_key(REFUSAL) {
            let words = status.message().to_owned();
            self.refused.send_if_modified(|said| said.replace(words.clone()).as_ref() != Some(&words));
        }
    }

    pub(super) fn refused(&self) -> watch::Receiver<Option<String>> {
        self.refused.subscribe()
    }

    /// Says where the nodes are.
    pub(super) fn place(&self, places: BTreeMap<u64, String>) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    pub(super) fn raft(&self, node_id: u64, address: &str, lane: Lane) -> RaftClient<Channel> {
        RaftClient::new(self.channel(node_id, address, lane))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(super) fn node(&self, node_id: u64, address: &str) -> NodeClient<Channel> {
        NodeClient::new(self.channel(node_id, address, Lane::Call))
    }

    fn channel(&self, node_id: u64, address: &str, lane: Lane) -> Channel {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = places.get(&node_id).map_or(address, String::as_str);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&(node_id, lane))
            && known == address
        {
            return channel.clone();
        }
        let (dialer, target) = (self.dial.clone(), address.to_owned());
        let connector = tower::service_fn(move |_: Uri| {
            let dialing = dial(dialer.clone(), target.clone());
            async move {
                let dialed = dialing.await.map_err(NotReached)?;
                expect_node(node_id, dialed.node_id).map_err(NotReached)?;
                Ok::<_, NotReached>(TokioIo::new(dialed.stream))
            }
        });
        let channel = endpoint().connect_with_connector_lazy(connector);
        channels.insert((node_id, lane), (address.into(), channel.clone()));
        channel
    }
}

async fn dial(dial: Arc<dyn Dial>, address: String) -> io::Result<Dialed> {
    match tokio::time::timeout(CONNECT_TIMEOUT, dial.dial(address)).await {
        Ok(dialed) => dialed,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn expect_node(wanted: u64, found: u64) -> io::Result<()> {
    if wanted == found {
        return Ok(());
    }
    let reason = format!("node {found} answers at the address of node {wanted}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

fn endpoint() -> Endpoint {
    // The name is for the header alone: the connector knows where to go.
    Endpoint::from_static("http://peer")
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

/// Stands beside a refusal of the whole node, and not of one call.
const REFUSAL: &str = "rmsc-refusal";
/// Both sides; a message with 256 of the largest commands fits.
pub(super) const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Long enough for a handshake in the local network, shorter than an election.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A frozen node keeps its connections open; only a ping tells.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

//! The simulated network: turmoil's, where a connection begins with the ids of both ends, in place of
//! certificates.

use super::super::{Dial, Dialed, PeerNode};
use super::bugs::{self, Bug};
use super::shared::Shared;
use crate::proto::peer::v1 as wire;
use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;
use turmoil::net::{TcpListener, TcpStream};

/// A machine's name in the simulated network.
pub(super) fn name(machine: u64) -> String {
    format!("node-{machine}")
}

pub(super) fn address(machine: u64) -> String {
    format!("{}:{PORT}", name(machine))
}

/// Dials as the node with this id.
pub(super) struct Plain {
    pub(super) node_id: u64,
    pub(super) shared: Shared,
}

impl Dial for Plain {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        let own = self.node_id;
        self.shared.lock().record.counts.dials += 1;
        Box::pin(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_u64(own).await?;
            let node_id = stream.read_u64().await?;
            Ok(Dialed { stream: Box::new(stream), node_id })
        })
    }
}

/// Serves the peer port of a node, until it crashes.
pub(super) async fn serve(node_id: u64, routes: Routes) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(node_id, stream, routes.clone()));
    }
}

async fn answer(node_id: u64, mut stream: TcpStream, routes: Routes) {
    let Ok(peer) = stream.read_u64().await else { return };
    if stream.write_u64(node_id).await.is_err() {
        return;
    }
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerNode(peer));
        let routes = routes.clone();
        async move {
            if bugs::is_planted(Bug::GrantsEveryVote) && request.uri().path().ends_with("Vote") {
                return Ok(grant(request).await);
            }
            routes.oneshot(request).await
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // A connection that breaks is the other end's to notice.
    server.serve_connection(TokioIo::new(stream), service).await.ok();
}

/// What a node answers that forgets whom it voted for.
async fn grant(request: http::Request<Body>) -> http::Response<Body> {
    let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
    let asked = wire::VoteRequest::decode(&body[FRAME_BYTES..]).unwrap();
    let granted = wire::VoteResponse { vote: asked.vote, granted: true, last: None }.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(granted.len()).unwrap().to_be_bytes());
    frame.extend(granted);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [http_body::Frame::data(bytes::Bytes::from(frame)), http_body::Frame::trailers(trailers)];
    let body = http_body_util::StreamBody::new(futures::stream::iter(frames.map(Ok::<_, tonic::Status>)));
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

const PORT: u16 = 7443;
/// Before a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

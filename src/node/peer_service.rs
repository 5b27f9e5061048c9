//! Who may use the peer and admin ports, and which part answers.

use crate::cluster::{Member as ClusterMember, PeerNode};
use crate::control::Administrator;
use crate::listener::{Body, Service};
use crate::relay;
use crate::tls::{Member, MemberKind};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::service::Routes;
use tower::ServiceExt;

type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The peer port: the relay hop for members of the cluster, Raft for nodes.
pub(super) struct PeerService {
    /// None: a witness, which relays nothing.
    hop: Option<relay::Server>,
    raft: Routes,
    members: watch::Receiver<Arc<Vec<ClusterMember>>>,
}

/// The admin port.
pub(super) struct AdminService {
    control: Routes,
}

impl PeerService {
    pub(super) fn new(
        hop: Option<relay::Server>,
        raft: Routes,
        members: watch::Receiver<Arc<Vec<ClusterMember>>>,
    ) -> Self {
        PeerService { hop, raft, members }
    }
}

impl Service for PeerService {
    fn admit(&self, member: &Member) -> Result<(), String> {
        match &member.kind {
            MemberKind::Node(_) => Ok(()),
            MemberKind::Admin(name) => Err(format!("{name} is an administrator; this port is for nodes")),
        }
    }

    fn call(&self, member: &Member, request: Request<Incoming>) -> Answering {
        let Some(node_id) = member.node_id() else { return refuse() };
        // A certificate alone is not enough: a node that was removed still has one. Before the group is
        // formed there are no members, and nodes must find each other.
        let members = self.members.borrow().clone();
        let is_member = members.iter().any(|member| member.node_id == node_id);
        let path = request.uri().path();
        if path.starts_with(HOP) {
            let Some(hop) = self.hop.as_ref().filter(|_| is_member) else { return refuse() };
            let response = hop.serve(request.map(|body| body.map_err(Into::into).boxed_unsync()));
            return Box::pin(async { response });
        }
        if !is_member && !members.is_empty() && path != HELLO {
            return refuse();
        }
        route(&self.raft, request, PeerNode(node_id))
    }
}

impl AdminService {
    pub(super) fn new(control: Routes) -> Self {
        AdminService { control }
    }
}

impl Service for AdminService {
    fn admit(&self, member: &Member) -> Result<(), String> {
        match &member.kind {
            MemberKind::Admin(_) => Ok(()),
            MemberKind::Node(id) => Err(format!("{id} is a node; this port is for administrators")),
        }
    }

    fn call(&self, member: &Member, request: Request<Incoming>) -> Answering {
        match &member.kind {
            MemberKind::Admin(name) => route(&self.control, request, Administrator(name.clone())),
            MemberKind::Node(_) => refuse(),
        }
    }
}

fn route(
    routes: &Routes,
    mut request: Request<Incoming>,
    who: impl Clone + Send + Sync + 'static,
) -> Answering {
    request.extensions_mut().insert(who);
    let answer = routes.clone().oneshot(request);
    Box::pin(async move {
        match answer.await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(never) => match never {},
        }
    })
}

fn refuse() -> Answering {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::FORBIDDEN;
    Box::pin(async { response })
}

/// What a node is asked before anybody knows it.
const HELLO: &str = "/rmsc.peer.v1.Node/Hello";
/// The paths of the relay hop.
const HOP: &str = "/rmsc.peer.v1.Relay/";

//! Who may use the peer and admin ports, and which part answers.

use super::administrators::Administrators;
use super::admission::Admission;
use crate::cluster::{Admitted, PeerNode};
use crate::control::Administrator;
use crate::enrolment::Guest;
use crate::event::Refused;
use crate::listener::{Body, Service, Unwelcome};
use crate::relay;
use crate::tls::{MemberKind, Peer, Who};
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::service::Routes;
use tower::ServiceExt;

type Answering = BoxFuture<'static, Response<Body>>;

/// The peer port: the relay hop and Raft for nodes of the roster, joining for who has no certificate.
pub(super) struct PeerService {
    /// None: a witness, which relays nothing.
    hop: Option<relay::Server>,
    raft: Routes,
    join: Routes,
    admission: Admission,
}

/// The admin port.
pub(super) struct AdminService {
    control: Routes,
    administrators: Administrators,
}

impl PeerService {
    pub(super) fn new(hop: Option<relay::Server>, raft: Routes, join: Routes, admission: Admission) -> Self {
        PeerService { hop, raft, join, admission }
    }

    fn node(&self, node_id: u64, peer: &Peer, remote: SocketAddr, request: Request<Incoming>) -> Answering {
        // A certificate alone is not enough: a node that was removed still has one.
        match self.admission.check(node_id, peer) {
            Ok(Admitted::Member) => {}
            Ok(Admitted::Coming) if request.uri().path().starts_with(RAFT) => {
                return self.coming(node_id, peer, remote, request);
            }
            Ok(Admitted::Coming) => return refuse(&not_yet(node_id), request),
            Err(unwelcome) => return refuse(&unwelcome, request),
        }
        if request.uri().path().starts_with(HOP) {
            let Some(hop) = &self.hop else { return nothing_here() };
            let response = hop.serve(request.map(|body| body.map_err(Into::into).boxed_unsync()));
            return Box::pin(async { response });
        }
        route(&self.raft, request, PeerNode(node_id))
    }

    /// A node that is not known here yet: nothing but the log can make it known.
    fn coming(&self, node_id: u64, peer: &Peer, remote: SocketAddr, request: Request<Incoming>) -> Answering {
        let (admission, peer, raft) = (self.admission.clone(), peer.clone(), self.raft.clone());
        Box::pin(async move {
            match admission.check_coming(node_id, &peer, remote).await {
                Ok(()) => route(&raft, request, PeerNode(node_id)).await,
                Err(unwelcome) => refuse(&unwelcome, request).await,
            }
        })
    }
}

impl Service for PeerService {
    fn admit(&self, who: &Who) -> Result<(), Unwelcome> {
        match who {
            Who::Guest(_) => Ok(()),
            Who::Member(peer) => match &peer.member.kind {
                MemberKind::Node(node_id) => self.admission.check(*node_id, peer).map(drop),
                MemberKind::Admin(_) => Err(administrator(peer)),
            },
        }
    }

    fn dismissed(&self, who: &Who) -> BoxFuture<'static, Unwelcome> {
        match who {
            Who::Member(peer) => match peer.node_id() {
                Some(node_id) => {
                    let (admission, peer) = (self.admission.clone(), peer.clone());
                    Box::pin(async move { admission.dismissed(node_id, &peer).await })
                }
                None => Box::pin(std::future::pending()),
            },
            Who::Guest(_) => Box::pin(std::future::pending()),
        }
    }

    fn call(&self, who: &Who, remote: SocketAddr, request: Request<Incoming>) -> Answering {
        match who {
            Who::Member(peer) => match &peer.member.kind {
                MemberKind::Node(node_id) => self.node(*node_id, peer, remote, request),
                MemberKind::Admin(_) => refuse(&administrator(peer), request),
            },
            Who::Guest(exporter) if request.uri().path().starts_with(JOIN) => {
                route(&self.join, request, Guest { remote: remote.ip(), exporter: *exporter })
            }
            Who::Guest(_) => refuse(&nobody(), request),
        }
    }
}

impl AdminService {
    pub(super) fn new(control: Routes, administrators: Administrators) -> Self {
        AdminService { control, administrators }
    }

    fn administrator(who: &Who) -> Result<(&str, &Peer), Unwelcome> {
        match who {
            Who::Member(peer) => match &peer.member.kind {
                MemberKind::Admin(name) => Ok((name, peer)),
                MemberKind::Node(_) => Err(node(peer)),
            },
            Who::Guest(_) => Err(nobody()),
        }
    }
}

impl Service for AdminService {
    fn admit(&self, who: &Who) -> Result<(), Unwelcome> {
        // A certificate alone is not enough: every node can issue one.
        Self::administrator(who).and_then(|(name, peer)| self.administrators.admit(name, peer))
    }

    fn dismissed(&self, who: &Who) -> BoxFuture<'static, Unwelcome> {
        let Ok((name, peer)) = Self::administrator(who) else { return Box::pin(std::future::pending()) };
        let (administrators, name, peer) = (self.administrators.clone(), name.to_owned(), peer.clone());
        Box::pin(async move { administrators.dismissed(&name, &peer).await })
    }

    fn call(&self, who: &Who, _remote: SocketAddr, request: Request<Incoming>) -> Answering {
        let (name, peer) = match Self::administrator(who) {
            Ok((name, peer)) => (name.to_owned(), peer.clone()),
            Err(unwelcome) => return refuse(&unwelcome, request),
        };
        let (administrators, control) = (self.administrators.clone(), self.control.clone());
        Box::pin(async move {
            match administrators.check(&name, &peer).await {
                Ok(()) => route(&control, request, Administrator(name)).await,
                Err(unwelcome) => refuse(&unwelcome, request).await,
            }
        })
    }
}

fn administrator(peer: &Peer) -> Unwelcome {
    let who = format!("{} is an administrator; this port is for nodes", peer.member.uri());
    Unwelcome { why: Refused::AdministratorAtPeerPort, who }
}

fn node(peer: &Peer) -> Unwelcome {
    let who = format!("{} is a node; this port is for administrators", peer.member.uri());
    Unwelcome { why: Refused::NodeAtAdminPort, who }
}

fn not_yet(node_id: u64) -> Unwelcome {
    let who = format!("node {node_id} is not known here yet; until it is, it may send Raft's messages alone");
    Unwelcome { why: Refused::UnknownNode, who }
}

fn nobody() -> Unwelcome {
    Unwelcome { why: Refused::NoMember, who: "it shows no certificate".into() }
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

/// A witness relays nothing.
fn nothing_here() -> Answering {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Box::pin(async { response })
}

/// As HTTP and as gRPC, whose clients show its own status alone. Some clients see no answer that comes before
/// they have sent their message, so a short one is let in first.
fn refuse(unwelcome: &Unwelcome, request: Request<Incoming>) -> Answering {
    let grpc = tonic::Status::permission_denied(&unwelcome.who).into_http::<tonic::body::Body>();
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.headers_mut() = grpc.into_parts().0.headers;
    *response.status_mut() = StatusCode::FORBIDDEN;
    if let Ok(why) = HeaderValue::from_str(&unwelcome.who) {
        response.headers_mut().insert(REFUSAL, why);
    }
    Box::pin(async {
        let mut message = Limited::new(request.into_body(), REFUSED_BYTES_MAX);
        let read = async { while let Some(Ok(_)) = message.frame().await {} };
        let _ = tokio::time::timeout(REFUSED_WITHIN, read).await;
        response
    })
}

/// The paths of the relay hop.
const HOP: &str = "/rmsc.peer.v1.Relay/";
/// The paths of Raft's own messages.
const RAFT: &str = "/rmsc.peer.v1.Raft/";
/// The only path for who has no certificate.
const JOIN: &str = "/rmsc.peer.v1.Join/";
/// What is read of the message of one that is refused, and for how long.
const REFUSED_BYTES_MAX: usize = 16 << 10;
const REFUSED_WITHIN: Duration = Duration::from_millis(200);
/// Says why, to whom it is said.
const REFUSAL: &str = "rmsc-refusal";

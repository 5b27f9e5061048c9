//! The answering side of a join, at any node. Whoever asks has shown no certificate, so nothing is taken
//! on trust: limits first, then the proof, then the state's own rules.

use super::throttle::Throttle;
use super::{Enrolment, milliseconds};
use crate::cluster::Introduced;
use crate::event::{Event, NotJoined, with_causes};
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::join_response::Result as Answer;
use crate::proto::peer::v1::join_server::{Join, JoinServer};
use crate::proto::peer::v1::not_welcome::Why;
use crate::state::{
    Change, KeyHash, NewNode, Node, NodeKind, Outcome, Rejection, Roster, RosterChange, Timestamp, Token,
    TokenFate, TokenId,
};
use crate::tls::Request as CertificateRequest;
use prost::Message;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Who asks to join: the listener puts it into the extensions of a request on a connection without a
/// certificate.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Where it comes from.
    pub remote: IpAddr,
    /// The connection's exporter, which the proof is bound to.
    pub exporter: [u8; 32],
}

/// Lets hosts in.
pub struct JoinService {
    enrolment: Enrolment,
    throttle: Throttle,
    at_once: Arc<Semaphore>,
}

/// What a host asks with, once the proof was right.
struct Proven {
    id: TokenId,
    token: Token,
    node: NewNode,
    request: CertificateRequest,
}

/// A host is not let in: why, for it and for the log.
struct No {
    why: Why,
    reason: String,
}

impl JoinService {
    /// The service of a running node.
    #[must_use]
    pub fn into_routes(enrolment: Enrolment) -> tonic::service::Routes {
        let at_once = Arc::new(Semaphore::new(JOINS_AT_ONCE_MAX));
        let service = JoinService { enrolment, throttle: Throttle::default(), at_once };
        let server = JoinServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
        tonic::service::Routes::new(server)
    }

    async fn let_in(&self, guest: Guest, request: wire::JoinRequest) -> Result<wire::Welcome, (TokenId, No)> {
        let id = request.token_id.as_slice().try_into().map(TokenId);
        let id = id.map_err(|_| (TokenId::default(), malformed("the token's id has not 8 bytes")))?;
        let of_token = |no| (id, no);
        if !self.throttle.allows(guest.remote, Instant::now()) {
            return Err(of_token(not_now("too many wrong tokens from this address; try again in a minute")));
        }
        let proven = self.prove(guest, id, &request).await.map_err(of_token)?;
        self.admit(proven).await.map_err(of_token)
    }

    async fn prove(&self, guest: Guest, id: TokenId, request: &wire::JoinRequest) -> Result<Proven, No> {
        let token = self.token(id).await?;
        let key = token.as_ref().and_then(|token| match self.enrolment.token_key(id, token) {
            Ok(key) => Some((token, key)),
            Err(error) => {
                tracing::error!(token = %id, %error, "a token's key does not open");
                None
            }
        });
        let right =
            key.filter(|(_, key)| key.verify(&guest.exporter, id, &request.statement, &request.proof));
        let Some((token, _)) = right else {
            self.throttle.wrong(guest.remote, Instant::now());
            let reason =
                "the token is not one of this cluster; it may be of another one, or long gone".into();
            return Err(No { why: Why::WrongToken, reason });
        };
        let statement = wire::JoinStatement::decode(request.statement.as_slice())
            .map_err(|_| malformed("the statement is not readable"))?;
        let request = CertificateRequest::read(&statement.certificate_request)
            .map_err(|error| malformed(&with_causes(&error)))?;
        for (what, word) in [("name", &statement.name), ("address", &statement.peer_address)] {
            check_word(what, word)?;
        }
        check_word("address", &statement.admin_address)?;
        let incarnation = statement.incarnation.as_slice().try_into().map(u128::from_be_bytes);
        let node = NewNode {
            name: statement.name,
            peer_address: statement.peer_address,
            admin_address: statement.admin_address,
            kind: token.kind,
            incarnation: incarnation.map_err(|_| malformed("the incarnation has not 16 bytes"))?,
            key: KeyHash(request.hash()),
            build: statement.build,
        };
        Ok(Proven { id, token: token.clone(), node, request })
    }

    /// A token that was made a moment ago at another node may not be applied here yet.
    async fn token(&self, id: TokenId) -> Result<Option<Token>, No> {
        if let Some(token) = self.enrolment.roster().tokens.get(&id) {
            return Ok(Some(token.clone()));
        }
        let read = self.enrolment.shared.cluster.read_barrier().await;
        read.map_err(|error| not_now(&with_causes(&error)))?;
        Ok(self.enrolment.roster().tokens.get(&id).cloned())
    }

    async fn admit(&self, proven: Proven) -> Result<wire::Welcome, No> {
        let Proven { id, token, node, request } = proven;
        let version = self.enrolment.roster().version;
        if node.build < version {
            let reason = format!(
                "its build knows the rules up to version {}, and the cluster keeps to {version}; install a newer one",
                node.build
            );
            return Err(No { why: Why::Rejected, reason });
        }
        let now = (self.enrolment.shared.clock)();
        let (name, witness) = (node.name.clone(), node.kind == NodeKind::Witness);
        let node_id = self.node_id(id, &token, node, milliseconds(now)).await?;
        self.check_vote(node_id)?;
        let certificate = self.enrolment.certify(node_id, request.subject(), now);
        let certificate = certificate.map_err(|error| not_now(&with_causes(&error)))?;
        Event::NodeJoined { node_id, name: &name, token: &id }.log();
        let identity = self.enrolment.shared.identity.now();
        let introduction = self.enrolment.shared.cluster.introduction();
        Ok(wire::Welcome {
            cluster_id: identity.cluster_id,
            node_id,
            certificate,
            authority: identity.authority,
            data_key: identity.data_key.bytes().expose().clone(),
            witness,
            members: introduction.members.into_iter().map(introduced).collect(),
            as_of: introduction.as_of,
            group: introduction.group.to_be_bytes().to_vec(),
        })
    }
}

impl JoinService {
    async fn node_id(&self, id: TokenId, token: &Token, node: NewNode, now: Timestamp) -> Result<u64, No> {
        if known(&self.enrolment.roster(), &node).is_some()
            && let Some(node_id) = self.let_in_before(id, &node, now).await?
        {
            return Ok(node_id);
        }
        self.check_address(token, &node).await?;
        match self.propose(id, token, node.clone(), now).await? {
            Ok(node_id) => Ok(node_id),
            Err(rejection) => {
                let may_be_itself = matches!(rejection, Rejection::NameTaken { .. });
                // Another join of this host was on its way.
                let before = if may_be_itself { self.let_in_before(id, &node, now).await? } else { None };
                before.ok_or_else(|| rejected(&rejection))
            }
        }
    }

    async fn propose(
        &self,
        id: TokenId,
        token: &Token,
        node: NewNode,
        now: Timestamp,
    ) -> Result<Result<u64, Rejection>, No> {
        let change = Change::Roster(RosterChange::Admit { token: id, node });
        let by = format!("{} (token {id})", token.created_by);
        // The state knows a host that asks again by its key and its disk, so this needs no client id.
        let written = self.enrolment.shared.cluster.write(&by, change, None, now).await;
        match written.map_err(|error| not_now(&with_causes(&error)))?.outcome {
            Outcome::Admitted { node_id } => Ok(Ok(node_id)),
            Outcome::Rejected(rejection) => Ok(Err(rejection)),
            other => Err(not_now(&format!("an unexpected outcome: {other:?}"))),
        }
    }

    /// A host that was let in with another token, did not hear so, and comes with this one: it is that node, and the
    /// token stays good.
    async fn let_in_before(&self, id: TokenId, node: &NewNode, now: Timestamp) -> Result<Option<u64>, No> {
        // It, and the token, may have been removed meanwhile.
        let read = self.enrolment.shared.cluster.read_barrier().await;
        read.map_err(|error| not_now(&with_causes(&error)))?;
        let roster = self.enrolment.roster();
        let stays = |node_id| roster.nodes.get(&node_id).is_some_and(|node| node.leaving.is_none());
        let is_good = |token: &Token| {
            token.fate == TokenFate::Open && now < token.expires_at && !token.replaces.is_some_and(stays)
        };
        Ok(roster.tokens.get(&id).filter(|token| is_good(token)).and_then(|_| known(&roster, node)))
    }

    /// Who has a vote has run, and what it promised is on its disk: a host that asks to join lost that, and must not vote
    /// a second time as the same node.
    fn check_vote(&self, node_id: u64) -> Result<(), No> {
        let members = self.enrolment.shared.cluster.members();
        let members = members.borrow();
        let Some(member) = members.iter().find(|member| member.node_id == node_id && member.voter) else {
            return Ok(());
        };
        let name = &member.name;
        let reason = format!(
            "this host was {name} (node {node_id}), which has a vote, and has lost its data: put a new node in its place \
             with what `rmsc node replace {name}` prints"
        );
        Err(No { why: Why::Rejected, reason })
    }

    /// Two nodes at one address: the others would never reach the new one. The state has no such rule, since nodes may
    /// change their addresses; of tokens and of two with one name it has its own.
    async fn check_address(&self, token: &Token, node: &NewNode) -> Result<(), No> {
        if token.fate != TokenFate::Open || address_taken(&self.enrolment.roster(), token, node).is_none() {
            return Ok(());
        }
        // The other one may have gone, which was not applied here yet.
        let read = self.enrolment.shared.cluster.read_barrier().await;
        read.map_err(|error| not_now(&with_causes(&error)))?;
        let taken = address_taken(&self.enrolment.roster(), token, node);
        taken.map_or(Ok(()), |reason| Err(No { why: Why::Rejected, reason }))
    }
}

/// Whose address it is that a new node has, and what to do, if it is another one's that stays.
fn address_taken(roster: &Roster, token: &Token, node: &NewNode) -> Option<String> {
    let is_taken = |(id, other): &(&u64, &Node)| {
        let goes = other.leaving.is_some() || token.replaces == Some(**id);
        let is_itself = (other.key, other.incarnation) == (node.key, node.incarnation);
        other.peer_address == node.peer_address && other.name != node.name && !goes && !is_itself
    };
    let (id, other) = roster.nodes.iter().find(is_taken)?;
    Some(format!(
        "the peer address {} is that of {name} (node {id}); write this host's own under [listen], or, if {name} is gone, \
         remove it first: rmsc node remove {name}",
        node.peer_address,
        name = other.name
    ))
}

/// The node that is this host: the same key on the same disk.
fn known(roster: &Roster, new: &NewNode) -> Option<u64> {
    let same = |node: &Node| {
        (node.key, node.incarnation, node.kind) == (new.key, new.incarnation, new.kind)
            && node.leaving.is_none()
    };
    roster.nodes.iter().find(|(_, node)| same(node)).map(|(id, _)| *id)
}

#[tonic::async_trait]
impl Join for JoinService {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let guest = request.extensions().get::<Guest>().copied();
        let guest = guest.ok_or_else(|| Status::permission_denied("a member has no need to join"))?;
        let Ok(_place) = self.at_once.try_acquire() else {
            return Err(Status::resource_exhausted("too many hosts join at once; try again"));
        };
        let answer = match self.let_in(guest, request.into_inner()).await {
            Ok(welcome) => Answer::Welcome(welcome),
            Err((token, No { why, reason })) => {
                let kind = event_of(why);
                Event::JoinRefused { why: kind, remote: &guest.remote, token: &token, reason: &reason }.log();
                Answer::NotWelcome(wire::NotWelcome { why: why.into(), reason })
            }
        };
        Ok(Response::new(wire::JoinResponse { result: Some(answer) }))
    }
}

fn introduced(member: Introduced) -> wire::Introduced {
    let Introduced { node_id, key, peer_address } = member;
    wire::Introduced { node_id, key: key.0.to_vec(), peer_address }
}

fn event_of(why: Why) -> NotJoined {
    match why {
        Why::WrongToken => NotJoined::WrongToken,
        Why::Expired => NotJoined::Expired,
        Why::Used => NotJoined::Used,
        Why::Revoked => NotJoined::Revoked,
        Why::Rejected | Why::NotNow | Why::Malformed | Why::Unspecified => NotJoined::Other,
    }
}

fn rejected(rejection: &Rejection) -> No {
    let why = match rejection {
        Rejection::NoSuchToken { .. } => Why::WrongToken,
        Rejection::TokenExpired { .. } => Why::Expired,
        Rejection::TokenUsed { .. } => Why::Used,
        Rejection::TokenRevoked { .. } => Why::Revoked,
        Rejection::NotFounded => Why::NotNow,
        Rejection::AlreadyFounded
        | Rejection::NoSuchNode { .. }
        | Rejection::NameTaken { .. }
        | Rejection::LastNode { .. }
        | Rejection::TooManyNodes { .. }
        | Rejection::NoSuchAdministrator { .. }
        | Rejection::AdministratorExists { .. }
        | Rejection::LastAdministrator { .. }
        | Rejection::TooManyAdministrators { .. }
        | Rejection::KeyUsed { .. }
        | Rejection::NoSuchServiceKey { .. }
        | Rejection::ServiceKeyDiffers { .. }
        | Rejection::ServiceKeyRemoved { .. }
        | Rejection::ServiceKeyRealms { .. }
        | Rejection::TooManyServiceKeys { .. }
        | Rejection::SecretChanged { .. }
        | Rejection::Version { .. } => Why::Rejected,
    };
    No { why, reason: rejection.to_string() }
}

fn check_word(what: &str, word: &str) -> Result<(), No> {
    let good = (1..=WORD_CHARS_MAX).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]%".contains(&byte));
    if good { Ok(()) } else { Err(malformed(&format!("the {what} cannot be used"))) }
}

fn malformed(reason: &str) -> No {
    No { why: Why::Malformed, reason: reason.into() }
}

fn not_now(reason: &str) -> No {
    No { why: Why::NotNow, reason: reason.into() }
}

/// More at once would only wait for each other in the log.
const JOINS_AT_ONCE_MAX: usize = 8;
/// A request for a certificate, a name and two addresses.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A DNS name has 253 characters; an address some more.
const WORD_CHARS_MAX: usize = 260;

//! What lets nodes in: make a token, list them, take one back.

use super::survey::Survey;
use super::{administrator, removal, status};
use crate::enrolment::{Enrolment, NewToken, TokenError};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::token::State as TokenState;
use crate::proto::control::v1::tokens_server::Tokens;
use crate::state::{NodeKind, Rejection, Roster, Timestamp, Token, TokenFate, TokenId};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    enrolment: Enrolment,
    survey: Survey,
    peer_address: String,
}

impl Service {
    pub(super) fn new(enrolment: Enrolment, survey: Survey, peer_address: String) -> Self {
        Service { enrolment, survey, peer_address }
    }

    async fn newest(&self) -> Result<Arc<Roster>, Status> {
        let cluster = self.survey.cluster();
        cluster.read_barrier().await.map_err(|error| status::of_read(&error))?;
        Ok(cluster.state().borrow().roster.clone())
    }

    /// Where a host can join: through this node first.
    fn addresses(&self, roster: &Roster) -> Vec<String> {
        let others = roster.nodes.values().map(|node| node.peer_address.clone());
        let others = others.filter(|address| *address != self.peer_address);
        [self.peer_address.clone()].into_iter().chain(others).collect()
    }
}

#[tonic::async_trait]
impl Tokens for Service {
    async fn create(
        &self,
        request: Request<proto::CreateTokenRequest>,
    ) -> Result<Response<proto::CreateTokenResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let roster = self.newest().await?;
        let ttl = if request.ttl_s == 0 { TTL } else { Duration::from_secs(request.ttl_s) };
        let kind = if request.witness { NodeKind::Witness } else { NodeKind::Relay };
        let replaces = Some(request.replaces).filter(|node| !node.is_empty());
        let made = self.enrolment.create_token(&by, NewToken { ttl, kind, replaces }).await;
        let made = made.map_err(|error| of_token(&error))?;
        Ok(Response::new(proto::CreateTokenResponse {
            text: made.text.expose().clone(),
            token: Some(token(made.id, &made.token, &roster, made.token.created_at)),
            addresses: self.addresses(&roster),
        }))
    }

    async fn list(
        &self,
        request: Request<proto::ListTokensRequest>,
    ) -> Result<Response<proto::ListTokensResponse>, Status> {
        administrator(&request)?;
        let (roster, now) = (self.newest().await?, now());
        let mut tokens: Vec<_> = roster.tokens.iter().collect();
        tokens.sort_by_key(|(id, token)| (token.created_at, **id));
        let tokens = tokens.into_iter().map(|(id, it)| token(*id, it, &roster, now)).collect();
        Ok(Response::new(proto::ListTokensResponse { tokens }))
    }

    async fn revoke(
        &self,
        request: Request<proto::RevokeTokenRequest>,
    ) -> Result<Response<proto::RevokeTokenResponse>, Status> {
        let by = administrator(&request)?;
        let id = token_id(&request.into_inner().id)?;
        self.enrolment.revoke_token(&by, id).await.map_err(|error| of_token(&error))?;
        let roster = self.newest().await?;
        let token = roster.tokens.get(&id).map(|it| token(id, it, &roster, now()));
        Ok(Response::new(proto::RevokeTokenResponse { token }))
    }

    async fn leave(
        &self,
        request: Request<proto::LeaveRequest>,
    ) -> Result<Response<proto::LeaveResponse>, Status> {
        let by = administrator(&request)?;
        let proto::LeaveRequest { cluster_id, node_id, force } = request.into_inner();
        let picture = self.survey.newest().await;
        if let Some(seat) = picture.seats.iter().find(|seat| seat.id() == node_id).filter(|_| !force) {
            removal::check_majority(&picture, seat)?;
        }
        let removed = self.enrolment.remove_node(&by, &cluster_id, node_id).await;
        removed.map_err(|error| of_token(&error))?;
        Ok(Response::new(proto::LeaveResponse {}))
    }
}

fn token(id: TokenId, token: &Token, roster: &Roster, now: Timestamp) -> proto::Token {
    let name = |node_id: u64| {
        let node = roster.nodes.get(&node_id).map(|node| node.name.clone());
        let gone = || roster.removed.get(&node_id).map(|node| node.name.clone());
        node.or_else(gone).unwrap_or_else(|| node_id.to_string())
    };
    let (state, used_by) = match token.fate {
        TokenFate::UsedBy(node_id) => (TokenState::Used, name(node_id)),
        TokenFate::Revoked => (TokenState::Revoked, String::new()),
        TokenFate::Open if now >= token.expires_at => (TokenState::Expired, String::new()),
        TokenFate::Open => (TokenState::Open, String::new()),
    };
    proto::Token {
        id: id.to_string(),
        state: state.into(),
        witness: token.kind == NodeKind::Witness,
        replaces: token.replaces.map(name).unwrap_or_default(),
        created_by: token.created_by.clone(),
        created_at_ms: token.created_at.0,
        expires_at_ms: token.expires_at.0,
        used_by,
    }
}

fn token_id(text: &str) -> Result<TokenId, Status> {
    let good = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = Some(text).filter(|_| good).and_then(|text| u64::from_str_radix(text, 16).ok());
    let id = id.ok_or_else(|| {
        Status::invalid_argument(format!("{text:?} is no token id, which has 16 digits: rmsc token list"))
    })?;
    Ok(TokenId(id.to_be_bytes()))
}

fn of_token(error: &TokenError) -> Status {
    match error {
        TokenError::Write(error) => status::of_write(error),
        TokenError::Read(error) => status::of_read(error),
        TokenError::Ttl | TokenError::NoSuchNode { .. } => Status::invalid_argument(with_causes(error)),
        TokenError::Rejected(Rejection::LastNode { .. }) => Status::failed_precondition(format!(
            "{error}; to give the cluster up, stop the node and delete its data folder"
        )),
        TokenError::Rejected(_) => Status::not_found(with_causes(error)),
        TokenError::OtherCluster { .. } | TokenError::Used { .. } => {
            Status::failed_precondition(with_causes(error))
        }
        TokenError::NotFounded => Status::unavailable(with_causes(error)),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Long enough to walk to the other machine.
const TTL: Duration = Duration::from_secs(15 * 60);

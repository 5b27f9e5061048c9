//! The cloud: sign in there and out, show what came of it, renew a token, try the way. No answer has a secret in it.

mod login;

use super::changes::{now, rejected, write};
use super::survey::Survey;
use super::{administrator, effect, status};
use crate::cluster::Written;
use crate::enrolment::{
    Cloud, CloudEnrolment, CloudMarks, CloudRenewal, CloudSignedOut, CloudToken, Enrolment,
};
use crate::event::{Event, with_causes};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::cloud_server::Cloud as CloudService;
use crate::proto::control::v1::reach_cloud_request::What;
use crate::state::{Outcome, Timestamp};
use crate::tasks::Tasks;
use crate::upstream::cloud::{OAuthConfig, Provider, Purpose, Reach};
use std::pin::Pin;
use std::time::Duration;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// What the service knows about the cloud of this node.
#[derive(Clone)]
pub struct CloudParts {
    /// The kind of service.
    pub kind: &'static str,
    /// Where it is.
    pub url: String,
    /// The settings of the sign-in; nothing for kinds that have none.
    pub oauth: Option<OAuthConfig>,
    /// Where one signs in, likewise.
    pub provider: Option<Provider>,
    /// Tries the way.
    pub reach: Reach,
}

/// The service.
pub(super) struct Service {
    survey: Survey,
    enrolment: Enrolment,
    parts: Option<CloudParts>,
    node: String,
    tasks: Tasks,
}

impl Service {
    pub(super) fn new(
        survey: Survey,
        enrolment: Enrolment,
        parts: Option<CloudParts>,
        node: String,
        tasks: Tasks,
    ) -> Self {
        Service { survey, enrolment, parts, node, tasks }
    }

    fn parts(&self) -> Result<&CloudParts, Status> {
        self.parts.as_ref().ok_or_else(|| {
            Status::failed_precondition("this node is a witness, which calls no service; ask another node")
        })
    }

    fn provider(&self) -> Result<&Provider, Status> {
        let CloudParts { kind, provider, .. } = self.parts()?;
        provider.as_ref().ok_or_else(|| {
            Status::failed_precondition(format!(
                "the service is of kind {kind:?}, which takes no tokens; write kind = \"oauth\" and [upstream.oauth] \
                 into the node files first"
            ))
        })
    }

    /// What is kept, and whether it is the newest.
    async fn kept(&self) -> Result<(Cloud, bool), Status> {
        let current = self.survey.cluster().read_barrier().await.is_ok();
        let roster = self.survey.cluster().state().borrow().roster.clone();
        let cloud = self.enrolment.cloud(&roster).map_err(|error| Status::data_loss(with_causes(&error)))?;
        Ok((cloud, current))
    }

    async fn newest(&self) -> Result<Cloud, Status> {
        self.survey.cluster().read_barrier().await.map_err(|error| status::of_read(&error))?;
        Ok(self.kept().await?.0)
    }
}

#[tonic::async_trait]
impl CloudService for Service {
    type LoginStream = Pin<Box<dyn Stream<Item = Result<proto::LoginCloudResponse, Status>> + Send>>;

    async fn show(
        &self,
        request: Request<proto::ShowCloudRequest>,
    ) -> Result<Response<proto::ShowCloudResponse>, Status> {
        administrator(&request)?;
        let CloudParts { kind, url, oauth, .. } = self.parts()?;
        let (cloud, current) = self.kept().await?;
        let oauth_text = |text: fn(&OAuthConfig) -> String| oauth.as_ref().map(text).unwrap_or_default();
        Ok(Response::new(proto::ShowCloudResponse {
            kind: (*kind).into(),
            url: url.clone(),
            environment: oauth_text(|oauth| oauth.environment.word().into()),
            sign_in: oauth_text(|oauth| oauth.sign_in.to_string()),
            client_id: oauth_text(|oauth| oauth.client_id.clone()),
            login: cloud.enrolment.as_ref().map(login_of),
            token: cloud.token.as_ref().map(|token| times(token, &cloud)),
            problems: if oauth.is_some() { problems(&cloud, now()) } else { Vec::new() },
            current,
        }))
    }

    async fn login(
        &self,
        request: Request<proto::LoginCloudRequest>,
    ) -> Result<Response<Self::LoginStream>, Status> {
        let by = administrator(&request)?;
        let login = login::Login {
            survey: self.survey.clone(),
            enrolment: self.enrolment.clone(),
            provider: self.provider()?.clone(),
            by,
        };
        login.start(request.into_inner(), &self.tasks).await
    }

    async fn logout(
        &self,
        request: Request<proto::LogoutCloudRequest>,
    ) -> Result<Response<proto::LogoutCloudResponse>, Status> {
        let by = administrator(&request)?;
        let before = self.newest().await?;
        if before.marks == CloudMarks::default() {
            return Ok(Response::new(proto::LogoutCloudResponse { login: None, effect: None }));
        }
        let change = self.enrolment.sign_out_at_cloud(&CloudSignedOut { by: by.clone(), at: now() });
        let written = written(write(self.survey.cluster(), &by, change, &[]).await?)?;
        let effect = Some(effect::of(&self.survey, written.log_index).await);
        let login = before.enrolment.as_ref().map(login_of);
        Ok(Response::new(proto::LogoutCloudResponse { login, effect }))
    }

    async fn renew(
        &self,
        request: Request<proto::RenewCloudTokenRequest>,
    ) -> Result<Response<proto::RenewCloudTokenResponse>, Status> {
        let by = administrator(&request)?;
        self.provider()?;
        let before = self.newest().await?;
        let Some(token) = before.token.clone() else {
            return Err(Status::failed_precondition(match before.enrolment {
                Some(_) => "there is no token yet; the nodes try to get one: see rmsc cloud show",
                None => "nobody has logged in: rmsc cloud login",
            }));
        };
        Event::CloudRenewalAsked { by: &by }.log();
        let change = self.enrolment.refuse_cloud_token_now(&before, token.id);
        // Where something was changed meanwhile there is another token already, or another attempt is made.
        write(self.survey.cluster(), &by, change, &[]).await?;
        let now = self.other_than(&token).await?;
        let (before, now) = (Some(times(&token, &before)), Some(now));
        Ok(Response::new(proto::RenewCloudTokenResponse { before, now }))
    }

    async fn reach(
        &self,
        request: Request<proto::ReachCloudRequest>,
    ) -> Result<Response<proto::ReachCloudResponse>, Status> {
        administrator(&request)?;
        let parts = self.parts()?;
        let purpose = match request.into_inner().what() {
            What::Service | What::Unspecified => Purpose::Service,
            What::Endpoints => Purpose::Endpoints,
            What::Clouds => Purpose::Clouds,
        };
        let hosts = parts.reach.try_all(purpose, parts.oauth.as_ref()).await;
        Ok(Response::new(proto::ReachCloudResponse {
            node: self.node.clone(),
            proxy: parts.reach.proxy().unwrap_or_default(),
            hosts: hosts
                .into_iter()
                .map(|host| proto::ReachedHost {
                    host: host.host,
                    port: host.port.into(),
                    purpose: host.purpose.into(),
                    domain: host.domain,
                    reached: host.reached,
                    took_ms: u64::try_from(host.took.as_millis()).unwrap_or(u64::MAX),
                    issuer: host.issuer,
                    reason: host.reason,
                })
                .collect(),
        }))
    }
}

impl Service {
    /// Waits for another token.
    async fn other_than(&self, token: &CloudToken) -> Result<proto::CloudTokenTimes, Status> {
        let mut roster = self.survey.cluster().roster();
        let other = async {
            loop {
                let applied = roster.borrow_and_update().clone();
                let cloud = self.enrolment.cloud(&applied).unwrap_or_default();
                match &cloud.token {
                    Some(other) if other.id != token.id => return Some(times(other, &cloud)),
                    Some(_) | None => roster.changed().await.ok()?,
                }
            }
        };
        let renewed = tokio::time::timeout(RENEW_TIMEOUT, other).await.ok().flatten();
        renewed.ok_or_else(|| {
            Status::unavailable(
                "there is no new token yet, and the nodes go on trying: rmsc cloud show says why. The old one goes on \
                 while the service takes it",
            )
        })
    }
}

fn login_of(enrolment: &CloudEnrolment) -> proto::CloudLogin {
    proto::CloudLogin {
        method: enrolment.credential.word().into(),
        by: enrolment.by.clone(),
        at_ms: enrolment.at.0,
        expires_at_ms: enrolment.expires_at.map_or(0, |at| at.0),
    }
}

fn times(token: &CloudToken, cloud: &Cloud) -> proto::CloudTokenTimes {
    proto::CloudTokenTimes {
        id: token.id.iter().take(4).map(|byte| format!("{byte:02x}")).collect(),
        issued_at_ms: token.issued_at.0,
        expires_at_ms: token.expires_at.0,
        refused: cloud.refused == Some(token.id),
    }
}

/// A change of secrets was made.
fn written(written: Written) -> Result<Written, Status> {
    if let Outcome::Rejected(rejection) = &written.outcome {
        return Err(rejected(rejection));
    }
    Ok(written)
}

/// What is wrong with the sign-in, and what to do.
pub(super) fn problems(cloud: &Cloud, now: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(enrolment) = &cloud.enrolment else {
        let who = cloud.signed_out.as_ref().map(|out| format!(" ({} signed it out)", out.by));
        return vec![format!(
            "the connector is not signed in at the cloud{}, so nothing is relayed: rmsc cloud login",
            who.unwrap_or_default()
        )];
    };
    let overdue = match &cloud.token {
        None => Some("there is no token for the cloud yet"),
        Some(token) if token.expires_at <= now => {
            Some("the token for the cloud has expired, so the service takes no requests")
        }
        Some(token) if is_overdue(token, now) => Some(
            "the token for the cloud should have been renewed long ago; the old one goes on until it is over",
        ),
        Some(_) => None,
    };
    if let Some(overdue) = overdue {
        let why = match cloud.renewal.as_ref().map(|renewal| (renewal.node_id, &renewal.failure)) {
            Some((node, Some(failure))) => format!("node {node} tried last: {} (event 4082)", failure.reason),
            Some((node, None)) => format!("node {node} asks for a new one"),
            None => "no node asks for a new one: see that one with kind = \"oauth\" and the settings of the login \
                     is up, and that changes are possible"
                .into(),
        };
        problems.push(format!("{overdue}; {why}"));
    } else if let Some(CloudRenewal { node_id, failure: Some(failure), .. }) = &cloud.renewal {
        problems.push(format!(
            "no new token was got when node {node_id} asked: {} (event 4082); the old one goes on until it is over",
            failure.reason
        ));
    }
    if cloud.token.as_ref().is_some_and(|token| cloud.refused == Some(token.id)) {
        problems
            .push("the service does not take the token (event 4081), and another one is asked for".into());
    }
    if let Some(expires_at) = enrolment.expires_at {
        let left = expires_at.0.saturating_sub(now.0);
        let days = left / DAY_MS;
        if left <= 0 {
            problems.push(
                "what the connector signs in with has expired: rmsc cloud login, with a new one".into(),
            );
        } else if days <= CREDENTIAL_DAYS {
            let when = if days == 0 { "within a day".into() } else { format!("in {days} days") };
            problems.push(format!(
                "what the connector signs in with ends {when}: rmsc cloud login, with a new one"
            ));
        }
    }
    problems
}

/// A tenth of the life later than the latest time at which it is renewed, and no less than the steps to that take.
fn is_overdue(token: &CloudToken, now: Timestamp) -> bool {
    let life = token.expires_at.0.saturating_sub(token.issued_at.0);
    let late = now.0.saturating_sub(token.issued_at.0).saturating_sub(life / 3 * 2 + life / 20);
    late > (life / 10).max(LATE_MIN_MS)
}

const LATE_MIN_MS: i64 = 1_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// As the first event about it.
const CREDENTIAL_DAYS: i64 = 45;
/// Two entries of the log, and one question to the sign-in service.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);

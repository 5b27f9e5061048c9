//! Signing in: what is shown to be good is kept, with the token that showed it.

use super::{effect, login_of, now, times, write};
use crate::control::survey::Survey;
use crate::enrolment::{Cloud, CloudCredential, CloudEnrolment, Enrolment};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::login_cloud_request::Credential as Asked;
use crate::renewal;
use crate::secret::Secret;
use crate::state::Timestamp;
use crate::tasks::Tasks;
use crate::tls::AssertionKey;
use crate::upstream::cloud::{self, Granted, Provider, SignInError};
use std::pin::Pin;
use std::time::Instant;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

type Answers = Pin<Box<dyn Stream<Item = Result<proto::LoginCloudResponse, Status>> + Send>>;

/// One login.
pub(super) struct Login {
    pub(super) survey: Survey,
    pub(super) enrolment: Enrolment,
    pub(super) provider: Provider,
    pub(super) by: String,
}

impl Login {
    pub(super) async fn start(
        self,
        request: proto::LoginCloudRequest,
        tasks: &Tasks,
    ) -> Result<Response<Answers>, Status> {
        let expires_at = (request.expires_at_ms != 0).then_some(Timestamp(request.expires_at_ms));
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        match request.credential {
            Some(Asked::DeviceCode(_)) => {
                let asked = self.provider.ask_person().await.map_err(|error| refused(&error))?;
                let code = proto::LoginCode {
                    address: asked.address.clone(),
                    code: asked.user_code.clone(),
                    life_s: asked.life.as_secs(),
                };
                let code = proto::LoginCloudResponse { code: Some(code), ..Default::default() };
                // There is room for both answers.
                let _ = sender.try_send(Ok(code));
                let draining = tasks.clone();
                tasks.spawn("cloud login", async move {
                    tokio::select! {
                        answer = self.await_person(asked, expires_at) => drop(sender.try_send(answer)),
                        // Whoever asked is gone.
                        () = sender.closed() => {}
                        () = draining.draining() => {}
                    }
                });
            }
            Some(Asked::ClientSecret(secret)) => {
                let credential = CloudCredential::ClientSecret(Secret::new(secret));
                let _ = sender.try_send(Ok(self.sign_in(credential, expires_at).await?));
            }
            Some(Asked::Certificate(proto::LoginCertificate { certificate, key })) => {
                let key = Secret::new(key);
                let read = AssertionKey::of_pem(&certificate, &key)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
                let expires_at = milliseconds(read.not_after());
                let credential = CloudCredential::Certificate(certificate, key);
                let _ = sender.try_send(Ok(self.sign_in(credential, Some(expires_at)).await?));
            }
            None => return Err(Status::invalid_argument("the request has nothing to sign in with")),
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    /// Asks again and again until the person has signed in, or may not any more.
    async fn await_person(
        self,
        asked: cloud::Asked,
        expires_at: Option<Timestamp>,
    ) -> Result<proto::LoginCloudResponse, Status> {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(asked.every).await;
            let asked_at = milliseconds(OffsetDateTime::now_utc());
            match self.provider.has_signed_in(&asked).await {
                Ok(granted) => {
                    let Some(refresh) = granted.refresh.clone() else {
                        return Err(Status::failed_precondition(
                            "the sign-in service gave nothing to get later tokens with; allow the application \
                             offline_access",
                        ));
                    };
                    let credential = CloudCredential::RefreshToken(refresh);
                    return self.keep(credential, granted, asked_at, expires_at).await;
                }
                Err(SignInError::Pending) if begun.elapsed() < asked.life => {}
                Err(SignInError::Pending) => {
                    return Err(Status::deadline_exceeded("nobody has signed in with the code in time"));
                }
                Err(error) if error.passes() && begun.elapsed() < asked.life => {}
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    async fn sign_in(
        self,
        kept: CloudCredential,
        expires_at: Option<Timestamp>,
    ) -> Result<proto::LoginCloudResponse, Status> {
        let credential =
            renewal::credential(&kept, None).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let now = OffsetDateTime::now_utc();
        let granted = self.provider.token(&credential, now).await.map_err(|error| refused(&error))?;
        self.keep(kept, granted, milliseconds(now), expires_at).await
    }

    async fn keep(
        self,
        credential: CloudCredential,
        granted: Granted,
        asked_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<proto::LoginCloudResponse, Status> {
        let (id, at, by) = (rand::random(), now(), self.by.clone());
        let enrolment = CloudEnrolment { id, credential, by, at, expires_at };
        let token = renewal::token(id, granted, asked_at, None);
        // The token first: as long as the login is another one it is nobody's, and then it is there at once.
        let cluster = self.survey.cluster();
        write(cluster, &self.by, self.enrolment.keep_cloud_token(&token), &[]).await?;
        let written = write(cluster, &self.by, self.enrolment.keep_cloud_enrolment(&enrolment), &[]).await?;
        tracing::info!(by = self.by, method = enrolment.credential.word(), "signed in at the cloud");
        Ok(proto::LoginCloudResponse {
            code: None,
            token: Some(times(&token, &Cloud::default())),
            login: Some(login_of(&enrolment)),
            effect: Some(effect::of(&self.survey, written.log_index).await),
        })
    }
}

fn refused(error: &SignInError) -> Status {
    let words = with_causes(error);
    if error.passes() { Status::unavailable(words) } else { Status::failed_precondition(words) }
}

fn milliseconds(time: OffsetDateTime) -> Timestamp {
    Timestamp(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

/// A code, and what came of it.
const ANSWERS_MAX: usize = 2;

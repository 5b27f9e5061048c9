//! Signing in: what is shown to be good is kept, with the token that showed it.

use super::{effect, login_of, now, times, write, written};
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
use std::time::{Duration, Instant};
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

/// What was shown to be good.
struct Good {
    credential: CloudCredential,
    granted: Granted,
    asked_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl Login {
    /// Begins, and goes on in a task of its own: who signs in leaves nothing half done by going away.
    pub(super) async fn start(
        self,
        request: proto::LoginCloudRequest,
        tasks: &Tasks,
    ) -> Result<Response<Answers>, Status> {
        let expires_at = (request.expires_at_ms != 0).then_some(Timestamp(request.expires_at_ms));
        if expires_at.is_some_and(|at| at <= now()) {
            return Err(Status::invalid_argument("the time until when it can be used is over"));
        }
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
                    let good = tokio::select! {
                        good = self.await_person(asked, expires_at) => good,
                        // Whoever asked is gone, and nothing was granted yet.
                        () = sender.closed() => return,
                        () = draining.draining() => return,
                    };
                    let _ = sender.try_send(self.keep(good).await);
                });
            }
            Some(Asked::ClientSecret(secret)) => {
                let credential = CloudCredential::ClientSecret(Secret::new(secret));
                self.try_out(credential, expires_at, sender, tasks)?;
            }
            Some(Asked::Certificate(proto::LoginCertificate { certificate, key })) => {
                let key = Secret::new(key);
                let read = AssertionKey::of_pem(&certificate, &key)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
                let expires_at = milliseconds(read.not_after());
                let certificate = first_certificate(&certificate);
                let credential = CloudCredential::Certificate(certificate, key);
                self.try_out(credential, Some(expires_at), sender, tasks)?;
            }
            None => return Err(Status::invalid_argument("the request has nothing to sign in with")),
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    /// Signs in with what needs no person.
    fn try_out(
        self,
        credential: CloudCredential,
        expires_at: Option<Timestamp>,
        sender: mpsc::Sender<Result<proto::LoginCloudResponse, Status>>,
        tasks: &Tasks,
    ) -> Result<(), Status> {
        let bytes = match &credential {
            CloudCredential::ClientSecret(secret) | CloudCredential::RefreshToken(secret) => {
                secret.expose().len()
            }
            CloudCredential::Certificate(certificate, key) => certificate.len() + key.expose().len(),
        };
        if bytes > CREDENTIAL_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "what to sign in with has {bytes} bytes; at most {CREDENTIAL_BYTES_MAX} can be kept. A certificate's \
                 key must stand alone in its file"
            )));
        }
        let known = renewal::credential(&credential, None)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        tasks.spawn("cloud login", async move {
            let now = OffsetDateTime::now_utc();
            let granted = self.provider.token(&known, now).await.map_err(|error| refused(&error));
            let good =
                granted.map(|granted| Good { credential, granted, asked_at: milliseconds(now), expires_at });
            let _ = sender.try_send(self.keep(good).await);
        });
        Ok(())
    }

    /// Asks again and again until the person has signed in, or may not any more.
    async fn await_person(&self, asked: cloud::Asked, expires_at: Option<Timestamp>) -> Result<Good, Status> {
        let begun = Instant::now();
        let mut every = asked.every;
        loop {
            tokio::time::sleep(every).await;
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
                    return Ok(Good { credential, granted, asked_at, expires_at });
                }
                Err(SignInError::Pending) if begun.elapsed() < asked.life => {}
                Err(SignInError::Pending) => {
                    return Err(Status::deadline_exceeded("nobody has signed in with the code in time"));
                }
                // RFC 8628 3.5: so much more from now on, and after a broken connection as well.
                Err(error) if error.passes() && begun.elapsed() < asked.life => every += SLOWER_BY,
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    /// The login and its token in one change: until that is made what was before goes on.
    async fn keep(self, good: Result<Good, Status>) -> Result<proto::LoginCloudResponse, Status> {
        let Good { credential, granted, asked_at, expires_at } = good?;
        let (id, at, by) = (rand::random(), now(), self.by.clone());
        let settings = Some(renewal::settings_of(&self.provider));
        let enrolment = CloudEnrolment { id, credential, by, at, expires_at, settings };
        let token = renewal::token(id, granted, asked_at, None);
        let change = self.enrolment.sign_in_at_cloud(&enrolment, &token);
        let written = written(write(self.survey.cluster(), &self.by, change, &[]).await?)?;
        Ok(proto::LoginCloudResponse {
            code: None,
            token: Some(times(&token, &Cloud::default())),
            login: Some(login_of(&enrolment)),
            effect: Some(effect::of(&self.survey, written.log_index).await),
        })
    }
}

/// The certificate itself. Whoever checks an assertion knows it, and needs none of those above it.
fn first_certificate(pem: &str) -> String {
    let begin = pem.find(CERTIFICATE_BEGIN).unwrap_or(0);
    let rest = pem.get(begin..).unwrap_or(pem);
    let end = rest.find(CERTIFICATE_END).map_or(rest.len(), |end| end + CERTIFICATE_END.len());
    format!("{}\n", rest.get(..end).unwrap_or(rest))
}

fn refused(error: &SignInError) -> Status {
    let words = with_causes(error);
    if error.passes() { Status::unavailable(words) } else { Status::failed_precondition(words) }
}

fn milliseconds(time: OffsetDateTime) -> Timestamp {
    Timestamp(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";
/// With a token of 16 KiB they fit into one change; a certificate and a key of 4096 bits have 5 KiB.
const CREDENTIAL_BYTES_MAX: usize = 6 << 10;
const SLOWER_BY: Duration = Duration::from_secs(5);
/// A code, and what came of it.
const ANSWERS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_bundle_the_first_certificate_is_kept() {
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        let other = one.replace("AA==", "BB==");
        assert_eq!(first_certificate(&format!("subject=CN\n{one}{other}")), one);
        assert_eq!(first_certificate(one), one);
    }
}

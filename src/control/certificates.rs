//! The certificate that calling servers see: take one, show what each node shows, make a new key with the request for
//! its certificate. A key goes in, sealed, and never out again.

use super::changes::{now, write_roster};
use super::survey::{Picture, Survey};
use super::{administrator, effect, status};
use crate::enrolment::{Enrolment, Front, KeptRequest};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::certificates_server::Certificates;
use crate::secret::Secret;
use crate::state::{Change, Roster, RosterChange};
use crate::tls::{
    AboutCertificate, CertificateFault, FrontCertificate, FrontKeyKind, FrontRequest, PartsError, Trusted,
};
use std::sync::Arc;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    survey: Survey,
    enrolment: Enrolment,
    service_name: String,
}

impl Service {
    pub(super) fn new(survey: Survey, enrolment: Enrolment, service_name: String) -> Self {
        Service { survey, enrolment, service_name }
    }

    /// What the cluster has, after everything that was acknowledged before.
    async fn newest(&self) -> Result<Front, Status> {
        self.survey.cluster().read_barrier().await.map_err(|error| status::of_read(&error))?;
        let roster = self.survey.cluster().state().borrow().roster.clone();
        self.front(&roster)
    }

    fn front(&self, roster: &Arc<Roster>) -> Result<Front, Status> {
        self.enrolment.front(roster).map_err(|error| {
            let causes = with_causes(&error);
            Status::failed_precondition(format!("the certificate that is kept cannot be read here: {causes}"))
        })
    }

    async fn write(
        &self,
        by: &str,
        change: Change,
        request_id: &[u8],
    ) -> Result<Option<proto::Effect>, Status> {
        let Change::Roster(change @ RosterChange::PutSecrets(_)) = change else {
            return Err(Status::internal("a certificate is kept as a secret"));
        };
        let written = write_roster(self.survey.cluster(), by, change, request_id).await?;
        Ok(if written.changed { Some(effect::of(&self.survey, written.log_index).await) } else { None })
    }
}

#[tonic::async_trait]
impl Certificates for Service {
    async fn import(
        &self,
        request: Request<proto::ImportCertificateRequest>,
    ) -> Result<Response<proto::ImportCertificateResponse>, Status> {
        let by = administrator(&request)?;
        let proto::ImportCertificateRequest { certificates, key, force, request_id } = request.into_inner();
        let key = Secret::new(key);
        check_length(&certificates)?;
        let before = self.newest().await?;
        let (certificate, key_from) = with_key(certificates, &key, &before)?;
        let faults = certificate.faults(&self.service_name, &Trusted::of_system(), OffsetDateTime::now_utc());
        let refused: Vec<&CertificateFault> =
            faults.iter().filter(|fault| !(force && fault.may_be_meant())).collect();
        if !refused.is_empty() {
            return Err(refusal(&refused));
        }
        let same = before.certificate.as_ref().is_some_and(|kept| kept.certificate.is(&certificate));
        let effect = if same {
            None
        } else {
            let change = self.enrolment.keep_front_certificate(&before, &certificate, &by);
            self.write(&by, change, &request_id).await?
        };
        let picture = self.survey.ask().await;
        Ok(Response::new(proto::ImportCertificateResponse {
            chain: certificate.about().iter().map(shown).collect(),
            faults: faults.iter().map(ToString::to_string).collect(),
            key_from: key_from.into(),
            files: files(&picture),
            effect,
        }))
    }

    async fn show(
        &self,
        request: Request<proto::ShowCertificateRequest>,
    ) -> Result<Response<proto::ShowCertificateResponse>, Status> {
        administrator(&request)?;
        let picture = self.survey.newest().await;
        let front = self.front(&picture.state.roster)?;
        let (chain, by, at_ms) = match &front.certificate {
            Some(kept) => (kept.certificate.about(), kept.by.clone(), kept.at.0),
            None => (Vec::new(), String::new(), 0),
        };
        let (requested_by, requested_at_ms) =
            front.request.as_ref().map_or_else(Default::default, |it| (it.by.clone(), it.at.0));
        Ok(Response::new(proto::ShowCertificateResponse {
            service_name: self.service_name.clone(),
            nodes: picture.seats.iter().filter(|seat| !seat.is_witness()).map(node).collect(),
            problems: problems(&picture, chain.first()),
            chain: chain.iter().map(shown).collect(),
            by,
            at_ms,
            requested_by,
            requested_at_ms,
            current: picture.current,
        }))
    }

    async fn renew(
        &self,
        request: Request<proto::RenewCertificateRequest>,
    ) -> Result<Response<proto::RenewCertificateResponse>, Status> {
        let by = administrator(&request)?;
        let proto::RenewCertificateRequest { key_type, anew, request_id } = request.into_inner();
        let kind = match key_type.as_str() {
            "rsa" => FrontKeyKind::Rsa,
            "ecdsa" => FrontKeyKind::Ecdsa,
            other => return Err(Status::invalid_argument(format!("{other:?} is no key type: rsa or ecdsa"))),
        };
        let before = self.newest().await?;
        if let Some(KeptRequest { request, by, at, .. }) = before.request.clone().filter(|_| !anew) {
            let (already, at_ms) = (true, at.0);
            return Ok(Response::new(proto::RenewCertificateResponse {
                request,
                already,
                by,
                at_ms,
                effect: None,
            }));
        }
        let about = before.certificate.as_ref().and_then(|kept| kept.certificate.about().into_iter().next());
        let names = names(&self.service_name, about.map(|about| about.names).unwrap_or_default());
        let made = FrontRequest::new(kind, &names)
            .map_err(|error| Status::internal(format!("no request was made: {}", with_causes(&error))))?;
        let FrontRequest { key, request } = made;
        let kept = KeptRequest { key, request, by: by.clone(), at: now() };
        let change = self.enrolment.keep_front_request(&before, &kept);
        let effect = self.write(&by, change, &request_id).await?;
        let KeptRequest { request, by, at, .. } = kept;
        let (already, at_ms) = (false, at.0);
        Ok(Response::new(proto::RenewCertificateResponse { request, already, by, at_ms, effect }))
    }
}

/// The service's name first, then what the certificate of now is for besides.
fn names(service_name: &str, others: Vec<String>) -> Vec<String> {
    let mut names = vec![service_name.to_owned()];
    names.extend(others.into_iter().filter(|name| !name.eq_ignore_ascii_case(service_name)));
    names
}

fn check_length(certificates: &[Vec<u8>]) -> Result<(), Status> {
    let bytes: usize = certificates.iter().map(Vec::len).sum();
    if certificates.len() > CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "{} certificates with {bytes} bytes are too many for a chain; at most {CERTIFICATES_MAX} with \
             {CHAIN_BYTES_MAX} bytes",
            certificates.len()
        )));
    }
    Ok(())
}

/// With the key that came along, or else one that the cluster has: of `rmsc cert renew`, or of the certificate before.
fn with_key(
    certificates: Vec<Vec<u8>>,
    key: &Secret<Vec<u8>>,
    before: &Front,
) -> Result<(FrontCertificate, &'static str), Status> {
    let refused = |error: &PartsError| Status::invalid_argument(error.to_string());
    if !key.expose().is_empty() {
        let certificate = FrontCertificate::of_parts(certificates, key.clone());
        return certificate.map(|it| (it, "file")).map_err(|error| refused(&error));
    }
    let of_request = before.request.as_ref().map(|request| (request.key.clone(), "request"));
    let of_before = before.certificate.as_ref().map(|kept| (kept.certificate.key().clone(), "before"));
    for (key, from) in of_request.into_iter().chain(of_before) {
        match FrontCertificate::of_parts(certificates.clone(), key) {
            Ok(certificate) => return Ok((certificate, from)),
            Err(PartsError::OtherKey) => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    Err(Status::invalid_argument(
        "there is no private key in the file, and none in the cluster that the certificate is for: name its file with \
         --key FILE, or export it as PFX with its key",
    ))
}

fn refusal(faults: &[&CertificateFault]) -> Status {
    let words: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let hint = match faults.iter().all(|fault| fault.may_be_meant()) {
        true => "\nIf that is meant: --force",
        false => "",
    };
    Status::failed_precondition(format!("the certificate is not taken:{}{hint}", words.concat()))
}

fn shown(about: &AboutCertificate) -> proto::Certificate {
    let milliseconds = |at: OffsetDateTime| at.unix_timestamp().saturating_mul(1_000);
    proto::Certificate {
        subject: about.subject.clone(),
        issuer: about.issuer.clone(),
        names: about.names.clone(),
        not_before_ms: milliseconds(about.from),
        not_after_ms: milliseconds(about.until),
        fingerprint: about.fingerprint.into(),
    }
}

fn node(seat: &super::survey::Seat) -> proto::CertificateOfNode {
    let shown = seat.status.as_ref().and_then(|status| status.facts.front_certificate.clone());
    let source = match &shown {
        Some(shown) if shown.of_file => "file",
        Some(_) => "cluster",
        None => "",
    };
    let shown = shown.unwrap_or_default();
    proto::CertificateOfNode {
        name: seat.name().to_owned(),
        up: seat.up(),
        source: source.into(),
        fingerprint: shown.fingerprint,
        subject: shown.subject,
        issuer: shown.issuer,
        not_after_ms: shown.not_after.0,
    }
}

fn files(picture: &Picture) -> Vec<String> {
    picture.names(|seat| {
        let shown = seat.status.as_ref().and_then(|status| status.facts.front_certificate.as_ref());
        shown.is_some_and(|shown| shown.of_file)
    })
}

/// What each node says of its own, and what only shows beside the others.
fn problems(picture: &Picture, of_cluster: Option<&AboutCertificate>) -> Vec<String> {
    let mut problems = Vec::new();
    for seat in picture.seats.iter().filter(|seat| !seat.is_witness()) {
        let Some(status) = &seat.status else {
            problems.push(format!("{} does not answer: what it shows is not known", seat.name()));
            continue;
        };
        let faults = status.facts.certificate_faults.iter();
        problems.extend(faults.map(|fault| format!("{}: {fault}", seat.name())));
        match (&status.facts.front_certificate, of_cluster) {
            (Some(shown), Some(_)) if shown.of_file => problems.push(format!(
                "{} shows the certificate of its own file, not the cluster's: take certificate and key out of [listen] \
                 there, and restart it",
                seat.name()
            )),
            (Some(shown), Some(about)) if shown.fingerprint != about.fingerprint => {
                problems.push(format!("{} does not show the cluster's certificate yet", seat.name()));
            }
            (Some(_) | None, _) => {}
        }
    }
    problems
}

/// A leaf, and three authorities above it, are many.
const CERTIFICATES_MAX: usize = 10;
/// It is in the roster of every node; a certificate has one or two thousand.
const CHAIN_BYTES_MAX: usize = 32 << 10;

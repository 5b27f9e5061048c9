//! The certificate that calling servers see: take one, show what each node shows, make a new key with the request for
//! its certificate, take it away. A key goes in, sealed, and never out again.

mod meant;
mod nodes;
mod renewal;

pub(super) use nodes::left_over;
#[cfg(test)]
pub(super) use nodes::tests;

use super::changes::{now, write_roster};
use super::survey::Survey;
use super::{administrator, effect, status};
use crate::enrolment::{Enrolment, Front, KeptCertificate, KeptRequest};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::certificates_server::Certificates;
use crate::secret::Secret;
use crate::state::{Change, RosterChange};
use crate::tls::{
    AboutCertificate, CertificateFault, FrontCertificate, FrontKeyKind, FrontRequest, PartsError, Trusted,
};
use renewal::Names;
use time::OffsetDateTime;
use tonic::{Code, Request, Response, Status};

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
        Ok(self.enrolment.front(&roster))
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
        let same = certificate_of(&before).is_some_and(|kept| kept.certificate.is(&certificate));
        let effect = if same {
            None
        } else {
            let change = self.enrolment.keep_front_certificate(&before, &certificate, &by);
            self.write(&by, change, &request_id).await?
        };
        let (picture, unshown) = nodes::await_shown(&self.survey, &certificate).await;
        Ok(Response::new(proto::ImportCertificateResponse {
            chain: certificate.about().iter().map(shown).collect(),
            faults: faults.iter().map(ToString::to_string).collect(),
            key_from: key_from.into(),
            files: nodes::files(&picture),
            effect,
            unshown,
            ends: certificate.about().first().and_then(ends).unwrap_or_default(),
            unreadable_before: before
                .certificate
                .as_ref()
                .err()
                .map(|error| with_causes(error))
                .unwrap_or_default(),
        }))
    }

    async fn show(
        &self,
        request: Request<proto::ShowCertificateRequest>,
    ) -> Result<Response<proto::ShowCertificateResponse>, Status> {
        administrator(&request)?;
        let picture = self.survey.newest().await;
        let front = self.enrolment.front(&picture.state.roster);
        let (chain, by, at_ms) = match certificate_of(&front) {
            Some(kept) => (kept.certificate.about(), kept.by.clone(), kept.at.0),
            None => (Vec::new(), String::new(), 0),
        };
        let request = front.request.as_ref().ok().and_then(Option::as_ref);
        let (requested_by, requested_at_ms) =
            request.map_or_else(Default::default, |it| (it.by.clone(), it.at.0));
        let removed = front.removed.as_ref().ok().and_then(Option::as_ref);
        let (removed_by, removed_at_ms) =
            removed.map_or_else(Default::default, |it| (it.by.clone(), it.at.0));
        let mut problems = unreadable(&front);
        problems.extend(nodes::problems(&picture, chain.first()));
        Ok(Response::new(proto::ShowCertificateResponse {
            service_name: self.service_name.clone(),
            nodes: picture.seats.iter().filter(|seat| !seat.is_witness()).map(nodes::node).collect(),
            problems,
            chain: chain.iter().map(shown).collect(),
            by,
            at_ms,
            requested_by,
            requested_at_ms,
            removed_by,
            removed_at_ms,
            unreadable: front.certificate.is_err(),
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
        if !anew && let Some(waiting) = renewal::waiting(&before)? {
            return Ok(Response::new(waiting));
        }
        let Names { all: names, of_certificate, other_name } = renewal::names(&self.service_name, &before);
        let made = FrontRequest::new(kind, &names)
            .map_err(|error| Status::internal(format!("no request was made: {}", with_causes(&error))))?;
        let FrontRequest { key, request } = made;
        let kept = KeptRequest { key, request, by: by.clone(), at: now() };
        let change = self.enrolment.keep_front_request(&before, &kept);
        let effect = self.write(&by, change, &request_id).await?;
        let KeptRequest { request, by, at, .. } = kept;
        Ok(Response::new(proto::RenewCertificateResponse {
            request,
            already: false,
            by,
            at_ms: at.0,
            effect,
            names,
            names_of_certificate: of_certificate,
            other_name,
        }))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveCertificateRequest>,
    ) -> Result<Response<proto::RemoveCertificateResponse>, Status> {
        let by = administrator(&request)?;
        let proto::RemoveCertificateRequest { force, request_id, fingerprint } = request.into_inner();
        let before = self.newest().await?;
        if before.marks.certificate.is_none() {
            return Ok(Response::new(proto::RemoveCertificateResponse::default()));
        }
        meant::check(&before, &fingerprint)?;
        let without = nodes::without_files(&self.survey.ask().await);
        if !without.is_empty() && !force {
            return Err(Status::failed_precondition(nodes::would_show_none(&without)));
        }
        let change = self.enrolment.remove_front_certificate(&before, &by);
        let effect = match self.write(&by, change, &request_id).await {
            Ok(effect) => effect,
            // The change names what it takes away: somebody has put another one there in between.
            Err(status) if status.code() == Code::FailedPrecondition => {
                meant::check(&self.newest().await?, &fingerprint)?;
                return Err(status);
            }
            Err(status) => return Err(status),
        };
        let (picture, still) = nodes::await_gone(&self.survey).await;
        let chain = certificate_of(&before).map(|kept| kept.certificate.about()).unwrap_or_default();
        Ok(Response::new(proto::RemoveCertificateResponse {
            chain: chain.iter().map(shown).collect(),
            without: nodes::shows_none(&picture),
            effect,
            still,
        }))
    }
}

/// What can be read of it here.
fn certificate_of(front: &Front) -> Option<&KeptCertificate> {
    front.certificate.as_ref().ok().and_then(Option::as_ref)
}

/// What is kept and cannot be read, in sentences.
fn unreadable(front: &Front) -> Vec<String> {
    let certificate = front.certificate.as_ref().err().map(|error| {
        format!(
            "the certificate that is kept cannot be read: {}; import one: rmsc cert import",
            with_causes(error)
        )
    });
    let request = front.request.as_ref().err().map(|error| {
        format!(
            "the key that waits cannot be read: {}; make another in its place: rmsc cert renew --anew",
            with_causes(error)
        )
    });
    certificate.into_iter().chain(request).collect()
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
    let of_request = before.request.as_ref().ok().and_then(Option::as_ref);
    let of_request = of_request.map(|request| (request.key.clone(), "request"));
    let of_before = certificate_of(before).map(|kept| (kept.certificate.key().clone(), "before"));
    for (key, from) in of_request.into_iter().chain(of_before) {
        match FrontCertificate::of_parts(certificates.clone(), key) {
            Ok(certificate) => return Ok((certificate, from)),
            Err(PartsError::OtherKey) => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    let unreadable: Vec<String> = unreadable(before).iter().map(|words| format!("; {words}")).collect();
    Err(Status::invalid_argument(format!(
        "there is no private key in the file, and none in the cluster that the certificate is for: name its file with \
         --key FILE, or export it as PFX with its key{}",
        unreadable.concat()
    )))
}

fn refusal(faults: &[&CertificateFault]) -> Status {
    let words: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let hint = match faults.iter().all(|fault| fault.may_be_meant()) {
        true => "\nIf that is meant: --force",
        false => "",
    };
    Status::failed_precondition(format!("the certificate is not taken:{}{hint}", words.concat()))
}

/// That the end of a new certificate is near.
fn ends(about: &AboutCertificate) -> Option<String> {
    about
        .end_in_words(OffsetDateTime::now_utc())
        .map(|words| format!("it {words}; for the next one: rmsc cert renew"))
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

/// A leaf, and three authorities above it, are many.
const CERTIFICATES_MAX: usize = 10;
/// It is in the roster of every node; a certificate has one or two thousand.
const CHAIN_BYTES_MAX: usize = 32 << 10;

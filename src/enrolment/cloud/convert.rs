//! What is kept about the cloud to the stored messages, and back.

use super::{CloudCredential, CloudEnrolment, CloudRenewal, CloudRenewalFailure, CloudSettings, CloudToken};
use crate::proto::state::v1 as stored;
use crate::secret::Secret;
use crate::state::Timestamp;
use stored::cloud_enrolment::Credential as StoredCredential;

pub(super) fn enrolment_to(enrolment: &CloudEnrolment) -> stored::CloudEnrolment {
    let credential = match &enrolment.credential {
        CloudCredential::ClientSecret(secret) => StoredCredential::ClientSecret(secret.expose().clone()),
        CloudCredential::Certificate(certificate, key) => {
            let (certificate, key) = (certificate.clone(), key.expose().clone());
            StoredCredential::Certificate(stored::CloudCertificate { certificate, key })
        }
        CloudCredential::RefreshToken(token) => StoredCredential::RefreshToken(token.expose().clone()),
    };
    stored::CloudEnrolment {
        id: enrolment.id.into(),
        credential: Some(credential),
        by: enrolment.by.clone(),
        at_ms: enrolment.at.0,
        expires_at_ms: enrolment.expires_at.map(|at| at.0),
        settings: enrolment.settings.as_ref().map(|settings| stored::CloudSettings {
            sign_in: settings.sign_in.clone(),
            client_id: settings.client_id.clone(),
            audience: settings.audience.clone(),
            service: settings.service.clone(),
        }),
    }
}

pub(super) fn enrolment_from(read: stored::CloudEnrolment) -> Option<CloudEnrolment> {
    let credential = match read.credential? {
        StoredCredential::ClientSecret(secret) => CloudCredential::ClientSecret(Secret::new(secret)),
        StoredCredential::Certificate(stored::CloudCertificate { certificate, key }) => {
            CloudCredential::Certificate(certificate, Secret::new(key))
        }
        StoredCredential::RefreshToken(token) => CloudCredential::RefreshToken(Secret::new(token)),
    };
    Some(CloudEnrolment {
        id: read.id.try_into().ok()?,
        credential,
        by: read.by,
        at: Timestamp(read.at_ms),
        expires_at: read.expires_at_ms.map(Timestamp),
        settings: read.settings.map(|read| CloudSettings {
            sign_in: read.sign_in,
            client_id: read.client_id,
            audience: read.audience,
            service: read.service,
        }),
    })
}

pub(super) fn token_to(token: &CloudToken) -> stored::CloudToken {
    stored::CloudToken {
        id: token.id.into(),
        enrolment: token.enrolment.into(),
        access_token: token.access.expose().clone(),
        issued_at_ms: token.issued_at.0,
        expires_at_ms: token.expires_at.0,
        refresh_token: token.refresh.as_ref().map(|token| token.expose().clone()),
        refused_before: token.refused_before,
    }
}

pub(super) fn token_from(read: stored::CloudToken) -> Option<CloudToken> {
    Some(CloudToken {
        id: read.id.try_into().ok()?,
        enrolment: read.enrolment.try_into().ok()?,
        access: Secret::new(read.access_token),
        issued_at: Timestamp(read.issued_at_ms),
        expires_at: Timestamp(read.expires_at_ms),
        refresh: read.refresh_token.map(Secret::new),
        refused_before: read.refused_before,
    })
}

pub(super) fn renewal_to(renewal: &CloudRenewal) -> stored::CloudRenewal {
    let CloudRenewal { node_id, at, failures, failure } = renewal;
    let failure = failure.as_ref().map(|failure| stored::CloudRenewalFailure {
        reason: failure.reason.clone(),
        refused: failure.refused,
    });
    stored::CloudRenewal { node_id: *node_id, at_ms: at.0, failures: *failures, failure }
}

pub(super) fn renewal_from(read: stored::CloudRenewal) -> CloudRenewal {
    let stored::CloudRenewal { node_id, at_ms, failures, failure } = read;
    let failure =
        failure.map(|failure| CloudRenewalFailure { reason: failure.reason, refused: failure.refused });
    CloudRenewal { node_id, at: Timestamp(at_ms), failures, failure }
}

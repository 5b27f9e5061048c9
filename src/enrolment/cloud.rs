//! How the connector signs in at the cloud, as it is kept: each part sealed as a whole, among the secrets of the
//! roster, so that every node has it and the data folder alone reveals nothing.

use super::{Enrolment, Identity};
use crate::proto::state::v1 as stored;
use crate::seal::SealError;
use crate::secret::Secret;
use crate::state::{Change, Roster, RosterChange, Sealed, Timestamp};
use prost::Message;
use stored::cloud_enrolment::Credential as StoredCredential;

/// What an administrator's login left.
#[derive(Clone, Debug)]
pub struct CloudEnrolment {
    /// Which login it was.
    pub id: [u8; 16],
    /// What the connector proves itself with.
    pub credential: CloudCredential,
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when the credential can be used, if somebody said.
    pub expires_at: Option<Timestamp>,
}

/// What the connector proves itself with.
#[derive(Clone, Debug)]
pub enum CloudCredential {
    /// A secret of the application.
    ClientSecret(Secret<String>),
    /// A certificate of the application, PEM, and its key.
    Certificate(String, Secret<String>),
    /// What a person's sign-in left.
    RefreshToken(Secret<String>),
}

/// What requests carry.
#[derive(Clone, Debug)]
pub struct CloudToken {
    /// Which one it is.
    pub id: [u8; 16],
    /// The login that it comes from.
    pub enrolment: [u8; 16],
    /// The token.
    pub access: Secret<String>,
    /// When it was got.
    pub issued_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// What the next one is got with, in the place of the login's.
    pub refresh: Option<Secret<String>>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    /// The login; nothing without one.
    pub enrolment: Option<CloudEnrolment>,
    /// The token of that login.
    pub token: Option<CloudToken>,
    /// The token that the service did not take last.
    pub refused: Option<[u8; 16]>,
}

/// What is kept cannot be read here.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// It is sealed for another cluster, or damaged.
    #[error("{name} does not open")]
    Sealed {
        /// Which part.
        name: &'static str,
        /// The cause.
        source: SealError,
    },
    /// It is of a later build.
    #[error("{name} is not of a kind that this build knows")]
    Unknown {
        /// Which part.
        name: &'static str,
    },
}

impl CloudCredential {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            CloudCredential::ClientSecret(_) => "client-secret",
            CloudCredential::Certificate(..) => "certificate",
            CloudCredential::RefreshToken(_) => "device-code",
        }
    }
}

impl Enrolment {
    /// What a roster has about the cloud.
    ///
    /// # Errors
    /// [`CloudError`].
    pub fn cloud(&self, roster: &Roster) -> Result<Cloud, CloudError> {
        open(&self.shared.identity.now(), roster)
    }

    /// The change that keeps a login.
    #[must_use]
    pub fn keep_cloud_enrolment(&self, enrolment: &CloudEnrolment) -> Change {
        self.put(ENROLMENT, &enrolment_to(enrolment))
    }

    /// The change that keeps a token.
    #[must_use]
    pub fn keep_cloud_token(&self, token: &CloudToken) -> Change {
        self.put(TOKEN, &token_to(token))
    }

    /// The change that says that a token was not taken.
    #[must_use]
    pub fn refuse_cloud_token(&self, id: [u8; 16]) -> Change {
        self.put(REFUSED, &stored::CloudTokenRefused { id: id.into() })
    }

    /// The changes that forget all of it, the login first.
    #[must_use]
    pub fn forget_cloud() -> [Change; 3] {
        [ENROLMENT, TOKEN, REFUSED]
            .map(|name| Change::Roster(RosterChange::PutSecret { name: name.into(), sealed: None }))
    }

    fn put(&self, name: &str, message: &impl Message) -> Change {
        let identity = self.shared.identity.now();
        let plain = Secret::new(message.encode_to_vec());
        let sealed = identity.data_key.seal(&context(&identity.cluster_id, name), plain.expose());
        Change::Roster(RosterChange::PutSecret { name: name.into(), sealed: Some(Sealed(sealed)) })
    }
}

fn open(identity: &Identity, roster: &Roster) -> Result<Cloud, CloudError> {
    let enrolment = read::<stored::CloudEnrolment>(identity, roster, ENROLMENT)?;
    let enrolment = enrolment.map(|read| enrolment_from(read).ok_or(CloudError::Unknown { name: ENROLMENT }));
    let enrolment = enrolment.transpose()?;
    let token = read::<stored::CloudToken>(identity, roster, TOKEN)?;
    let token = token.map(|read| token_from(read).ok_or(CloudError::Unknown { name: TOKEN })).transpose()?;
    // One that was got for a login that is gone meanwhile is nobody's.
    let token =
        token.filter(|token| enrolment.as_ref().is_some_and(|enrolment| enrolment.id == token.enrolment));
    let refused = read::<stored::CloudTokenRefused>(identity, roster, REFUSED)?;
    let refused = refused.and_then(|refused| refused.id.try_into().ok());
    Ok(Cloud { enrolment, token, refused })
}

fn read<T: Message + Default>(
    identity: &Identity,
    roster: &Roster,
    name: &'static str,
) -> Result<Option<T>, CloudError> {
    let Some(sealed) = roster.secrets.get(name) else { return Ok(None) };
    let plain = identity
        .data_key
        .open(&context(&identity.cluster_id, name), &sealed.0)
        .map_err(|source| CloudError::Sealed { name, source })?;
    T::decode(plain.expose().as_slice()).map(Some).map_err(|_| CloudError::Unknown { name })
}

fn enrolment_to(enrolment: &CloudEnrolment) -> stored::CloudEnrolment {
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
    }
}

fn enrolment_from(read: stored::CloudEnrolment) -> Option<CloudEnrolment> {
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
    })
}

fn token_to(token: &CloudToken) -> stored::CloudToken {
    stored::CloudToken {
        id: token.id.into(),
        enrolment: token.enrolment.into(),
        access_token: token.access.expose().clone(),
        issued_at_ms: token.issued_at.0,
        expires_at_ms: token.expires_at.0,
        refresh_token: token.refresh.as_ref().map(|token| token.expose().clone()),
    }
}

fn token_from(read: stored::CloudToken) -> Option<CloudToken> {
    Some(CloudToken {
        id: read.id.try_into().ok()?,
        enrolment: read.enrolment.try_into().ok()?,
        access: Secret::new(read.access_token),
        issued_at: Timestamp(read.issued_at_ms),
        expires_at: Timestamp(read.expires_at_ms),
        refresh: read.refresh_token.map(Secret::new),
    })
}

fn context(cluster_id: &str, name: &str) -> String {
    format!("{cluster_id} secret {name}")
}

const ENROLMENT: &str = "cloud-enrolment";
const TOKEN: &str = "cloud-token";
const REFUSED: &str = "cloud-token-refused";

#[cfg(test)]
mod tests;

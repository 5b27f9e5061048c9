//! How the connector signs in at the cloud, as it is kept: each part sealed as a whole, among the secrets of the
//! roster, so that every node has it and the data folder alone reveals nothing.

mod convert;

use super::Enrolment;
use super::secrets::{SecretError, changed, mark, read};
use crate::proto::state::v1 as stored;
use crate::seal::Key;
use crate::secret::Secret;
use crate::state::{Change, Roster, SealMark, Sealed, Timestamp};
use convert::{enrolment_from, enrolment_to, renewal_from, renewal_to, token_from, token_to};

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
    /// What it is good for, if somebody said.
    pub settings: Option<CloudSettings>,
}

/// Where a login is good, out of the settings of the node that signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudSettings {
    /// Where one signs in.
    pub sign_in: String,
    /// The application.
    pub client_id: String,
    /// What tokens are asked for.
    pub audience: String,
    /// The service's host and port.
    pub service: String,
}

impl CloudSettings {
    /// Which setting is another one, and what it is in both; nothing if they are alike.
    #[must_use]
    pub fn difference(&self, own: &CloudSettings) -> Option<String> {
        let pairs = [
            ("sign_in or tenant", &self.sign_in, &own.sign_in),
            ("client_id", &self.client_id, &own.client_id),
            ("scope or resource", &self.audience, &own.audience),
            ("url", &self.service, &own.service),
        ];
        let (name, login, own) = pairs.into_iter().find(|(_, login, own)| login != own)?;
        Some(format!("{name} is {own} in this node's file, and the login was made for {login}"))
    }
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
    /// How many before this one were refused, in a row and each at once.
    pub refused_before: u32,
}

/// Who asks for the next token, or why there is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRenewal {
    /// The node.
    pub node_id: u64,
    /// When it said so.
    pub at: Timestamp,
    /// How often it failed before.
    pub failures: u32,
    /// Why it failed; nothing while it is being asked for.
    pub failure: Option<CloudRenewalFailure>,
}

/// There is no new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRenewalFailure {
    /// What went wrong.
    pub reason: String,
    /// The sign-in service said no, and would say so to any node.
    pub refused: bool,
}

/// Nobody is signed in any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudSignedOut {
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
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
    /// What is done about the next token.
    pub renewal: Option<CloudRenewal>,
    /// Who signed out, if nobody has signed in since.
    pub signed_out: Option<CloudSignedOut>,
    /// Which login, token and renewal these are.
    pub marks: CloudMarks,
}

/// Tell what was read from what is kept later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloudMarks {
    /// Of the login.
    pub enrolment: Option<SealMark>,
    /// Of the token.
    pub token: Option<SealMark>,
    /// Of the renewal.
    pub renewal: Option<SealMark>,
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
    /// [`SecretError`].
    pub fn cloud(&self, roster: &Roster) -> Result<Cloud, SecretError> {
        let identity = self.shared.identity.now();
        cloud_of(roster, &identity.cluster_id, &identity.data_key)
    }

    /// The change that keeps a login and its first token, both or none, in the place of what was before.
    #[must_use]
    pub fn sign_in_at_cloud(&self, enrolment: &CloudEnrolment, token: &CloudToken) -> Change {
        let secrets = vec![
            self.sealed(ENROLMENT, &enrolment_to(enrolment)),
            self.sealed(TOKEN, &token_to(token)),
            (REFUSED.into(), None),
            (RENEWAL.into(), None),
            (SIGNED_OUT.into(), None),
        ];
        changed(secrets, Vec::new())
    }

    /// The change that forgets all of it.
    #[must_use]
    pub fn sign_out_at_cloud(&self, out: &CloudSignedOut) -> Change {
        let mut secrets: Vec<_> =
            [ENROLMENT, TOKEN, REFUSED, RENEWAL].map(|name| (name.to_owned(), None)).into();
        let out = stored::CloudSignedOut { by: out.by.clone(), at_ms: out.at.0 };
        secrets.push(self.sealed(SIGNED_OUT, &out));
        changed(secrets, Vec::new())
    }

    /// The change that keeps a token in the place of the one that was read, if that and its login are still there.
    #[must_use]
    pub fn keep_cloud_token(&self, after: CloudMarks, token: &CloudToken) -> Change {
        let secrets =
            vec![self.sealed(TOKEN, &token_to(token)), (REFUSED.into(), None), (RENEWAL.into(), None)];
        changed(secrets, vec![(ENROLMENT.into(), after.enrolment), (TOKEN.into(), after.token)])
    }

    /// The change that says what is done about the token that was read, if nobody has said something else since;
    /// and the marks of what is kept then.
    #[must_use]
    pub fn say_cloud_renewal(&self, after: CloudMarks, renewal: &CloudRenewal) -> (Change, CloudMarks) {
        let sealed = self.sealed(RENEWAL, &renewal_to(renewal));
        let marks = CloudMarks { renewal: sealed.1.as_ref().map(Sealed::mark), ..after };
        (changed(vec![sealed], expected(after)), marks)
    }

    /// The change that says that a token that was read was not taken.
    #[must_use]
    pub fn refuse_cloud_token(&self, after: CloudMarks, id: [u8; 16]) -> Change {
        let refused = self.sealed(REFUSED, &stored::CloudTokenRefused { id: id.into() });
        changed(vec![refused], vec![(TOKEN.into(), after.token)])
    }

    /// The same, and the next attempt to get another one is made at once, however often it failed.
    #[must_use]
    pub fn refuse_cloud_token_now(&self, cloud: &Cloud, id: [u8; 16]) -> Change {
        if cloud.renewal.as_ref().is_none_or(|renewal| renewal.failure.is_none()) {
            return self.refuse_cloud_token(cloud.marks, id);
        }
        let refused = self.sealed(REFUSED, &stored::CloudTokenRefused { id: id.into() });
        changed(vec![refused, (RENEWAL.into(), None)], expected(cloud.marks))
    }
}

fn expected(after: CloudMarks) -> Vec<(String, Option<SealMark>)> {
    vec![(ENROLMENT.into(), after.enrolment), (TOKEN.into(), after.token), (RENEWAL.into(), after.renewal)]
}

/// What a roster has about the cloud, with the key that opens it.
///
/// # Errors
/// [`SecretError`].
pub fn cloud_of(roster: &Roster, cluster_id: &str, data_key: &Key) -> Result<Cloud, SecretError> {
    let keys = (cluster_id, data_key);
    let enrolment = read::<stored::CloudEnrolment>(keys, roster, ENROLMENT)?;
    let enrolment =
        enrolment.map(|read| enrolment_from(read).ok_or(SecretError::Unknown { name: ENROLMENT }));
    let enrolment = enrolment.transpose()?;
    let token = read::<stored::CloudToken>(keys, roster, TOKEN)?;
    let token = token.map(|read| token_from(read).ok_or(SecretError::Unknown { name: TOKEN })).transpose()?;
    // One that was got for a login that is gone meanwhile is nobody's.
    let token =
        token.filter(|token| enrolment.as_ref().is_some_and(|enrolment| enrolment.id == token.enrolment));
    let refused = read::<stored::CloudTokenRefused>(keys, roster, REFUSED)?;
    let refused = refused.and_then(|refused| refused.id.try_into().ok());
    let renewal = read::<stored::CloudRenewal>(keys, roster, RENEWAL)?.map(renewal_from);
    let signed_out = read::<stored::CloudSignedOut>(keys, roster, SIGNED_OUT)?;
    let signed_out = signed_out.map(|out| CloudSignedOut { by: out.by, at: Timestamp(out.at_ms) });
    let mark = |name| mark(roster, name);
    let marks = CloudMarks { enrolment: mark(ENROLMENT), token: mark(TOKEN), renewal: mark(RENEWAL) };
    Ok(Cloud { enrolment, token, refused, renewal, signed_out, marks })
}

pub(super) const ENROLMENT: &str = "cloud-enrolment";
pub(super) const TOKEN: &str = "cloud-token";
pub(super) const REFUSED: &str = "cloud-token-refused";
pub(super) const RENEWAL: &str = "cloud-renewal";
const SIGNED_OUT: &str = "cloud-signed-out";

#[cfg(test)]
pub(super) mod tests;

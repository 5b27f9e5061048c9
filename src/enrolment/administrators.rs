//! Administrators: their certificates, and how one lets another in. The private key stays on the host where
//! it was made; what counts is that its hash is in the roster.

use super::{Enrolment, authority_of, milliseconds};
use crate::cluster::WriteError;
use crate::seal::Key;
use crate::secret::Secret;
use crate::state::{Change, KeyHash, NewAdministrator, Outcome, Rejection, Roster, RosterChange};
use crate::tls::{Authority, IssueError, Member, MemberKey, MemberKind, Request, RequestError};
use time::{Duration, OffsetDateTime};

/// An administrator's certificate and key, PEM.
pub struct Administrator {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: Secret<String>,
    /// The cluster's certificate authority.
    pub authority: String,
}

/// An administrator that was let in.
#[derive(Clone, Debug)]
pub struct AdministratorAdded {
    /// The certificate, PEM.
    pub certificate: String,
    /// The cluster's certificate authority, PEM.
    pub authority: String,
    /// SHA-256 of the key.
    pub key: KeyHash,
    /// The log index of the change.
    pub log_index: u64,
}

/// A key that is to be an administrator's, and the request for its certificate.
pub struct NewKey {
    /// The private key, PEM.
    pub key: Secret<String>,
    /// The request, PEM.
    pub request: String,
}

/// No administrator was added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name cannot stand in a certificate.
    #[error("{name:?} cannot be an administrator's name; write 1 to 63 letters and digits")]
    Name {
        /// The name.
        name: String,
    },
    /// The request is none, or was not made with its key.
    #[error("the request for a certificate cannot be used")]
    Request(#[from] RequestError),
    /// The cluster does not accept it now.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The state refuses it.
    #[error(transparent)]
    Rejected(Rejection),
    /// It is in, and has no certificate: the same can be asked again.
    #[error("the administrator is added, and no certificate could be issued; ask again")]
    Certify(#[from] super::CertifyError),
    /// What came of it is not known.
    #[error("an unexpected outcome: {outcome}")]
    Unexpected {
        /// The outcome.
        outcome: String,
    },
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn new() -> Result<Self, RequestError> {
        let key = MemberKey::new()?;
        Ok(NewKey { key: key.pem(), request: key.request_pem()? })
    }
}

impl Enrolment {
    /// Lets an administrator in whose host made this request (PEM). Can be repeated with the same request.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_administrator(
        &self,
        by: &str,
        name: &str,
        request: &str,
    ) -> Result<AdministratorAdded, AddError> {
        check_name(name)?;
        let request = Request::read(&Request::of_pem(request)?)?;
        let (now, key) = ((self.shared.clock)(), KeyHash(request.hash()));
        let new = NewAdministrator { name: name.into(), key };
        let change = Change::Roster(RosterChange::AddAdministrator(new));
        // The state knows one that is asked for again by its key, so this needs no client id.
        let written = self.shared.cluster.write(by, change, None, milliseconds(now)).await?;
        match written.outcome {
            Outcome::RosterChanged | Outcome::RosterUnchanged => {}
            Outcome::Rejected(rejection) => return Err(AddError::Rejected(rejection)),
            other => return Err(AddError::Unexpected { outcome: format!("{other:?}") }),
        }
        let identity = self.shared.identity.now();
        let authority = authority_of(&self.roster(), &identity.cluster_id, &identity.data_key)?;
        let member = member(&identity.cluster_id, name);
        let certificate = authority.certify_member(&member, request.subject(), now, ADMINISTRATOR_LIFE);
        let certificate = certificate.map_err(super::CertifyError::from)?;
        Ok(AdministratorAdded {
            certificate,
            authority: identity.authority,
            key,
            log_index: written.log_index,
        })
    }
}

/// A new administrator with a new key, out of what is replicated: for who has the keys of a stopped node.
///
/// # Errors
/// [`super::CertifyError`].
pub fn of_roster(
    roster: &Roster,
    (cluster_id, data_key): (&str, &Key),
    name: &str,
    now: OffsetDateTime,
) -> Result<(Administrator, NewAdministrator), super::CertifyError> {
    let authority = authority_of(roster, cluster_id, data_key)?;
    Ok(issue(&authority, cluster_id, name, now)?)
}

/// A new administrator with a new key.
pub(super) fn issue(
    authority: &Authority,
    cluster_id: &str,
    name: &str,
    now: OffsetDateTime,
) -> Result<(Administrator, NewAdministrator), IssueError> {
    let issued = authority.issue_member(&member(cluster_id, name), now, ADMINISTRATOR_LIFE)?;
    let new = NewAdministrator { name: name.into(), key: KeyHash(issued.key_hash) };
    let administrator = Administrator {
        certificate: issued.certificate_pem,
        key: issued.key_pem,
        authority: authority.certificate_pem().into(),
    };
    Ok((administrator, new))
}

fn member(cluster_id: &str, name: &str) -> Member {
    Member { cluster: cluster_id.into(), kind: MemberKind::Admin(name.into()) }
}

/// As [`Member`] reads it back out of a certificate.
fn check_name(name: &str) -> Result<(), AddError> {
    let good =
        (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if good { Ok(()) } else { Err(AddError::Name { name: name.into() }) }
}

/// Nothing renews it: who should not have it any more is removed from the roster.
const ADMINISTRATOR_LIFE: Duration = Duration::days(3_650);
const NAME_CHARS_MAX: usize = 63;

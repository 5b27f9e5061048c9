//! What a new lineage does about the cloud: the cluster that it came from may run, and go on signing in.

use super::cloud::{ENROLMENT, REFUSED, RENEWAL, TOKEN};
use super::{CloudCredential, CloudEnrolment, cloud_of};
use crate::seal::Key;
use crate::state::Roster;

/// What becomes of the login when a cluster begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudLogin {
    /// What another cluster may be using, and could be used once, is forgotten.
    Forget,
    /// It goes on: nobody else uses it.
    Keep,
}

/// The login at the cloud in a new lineage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudAnew {
    /// With what and by whom, if somebody had signed in and it can be read.
    pub login: Option<String>,
    /// The secrets that are not taken over.
    pub forgotten: Vec<String>,
}

impl CloudAnew {
    /// What an administrator has to know, if there is anything.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let is_gone = self.forgotten.iter().any(|name| name == ENROLMENT);
        let login = self.login.as_deref().unwrap_or("it cannot be read");
        match (&self.login, is_gone) {
            (None, false) => None,
            (_, true) => Some(format!(
                "the login at the cloud ({login}) is forgotten, since the old cluster may be using it: rmsc cloud \
                 login. If nobody uses it, do this again with --keep-cloud-login"
            )),
            (Some(_), false) => Some(format!(
                "the login at the cloud ({login}) is taken again; if it was taken back since: rmsc cloud logout"
            )),
        }
    }
}

/// What of it a new lineage goes on with. A token is one for all: who has a person's refresh token uses it up for the
/// others, and at some services takes all of them back by that.
#[must_use]
pub fn cloud_anew(roster: &Roster, keys: Option<(&str, &Key)>, wanted: CloudLogin) -> CloudAnew {
    let names = [ENROLMENT, TOKEN, REFUSED, RENEWAL];
    if !names.iter().any(|name| roster.secrets.contains_key(*name)) {
        return CloudAnew::default();
    }
    let read = keys.and_then(|(cluster_id, key)| cloud_of(roster, cluster_id, key).ok());
    let login = read.and_then(|cloud| cloud.enrolment);
    let goes_on = |login: &CloudEnrolment| !matches!(login.credential, CloudCredential::RefreshToken(_));
    let forgotten = match (wanted, &login) {
        (CloudLogin::Keep, _) => &[][..],
        (CloudLogin::Forget, Some(login)) if goes_on(login) => &names[1..],
        (CloudLogin::Forget, _) => &names[..],
    };
    CloudAnew {
        login: login.map(|login| format!("{} by {}", login.credential.word(), login.by)),
        forgotten: forgotten.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::cloud::tests::{roster_of, secret};

    #[track_caller]
    fn check(credential: CloudCredential, wanted: CloudLogin, forgotten: &[&str], words: &str) {
        let key = Key::of_bytes(&[7; 32]).unwrap();
        let anew = cloud_anew(&roster_of(credential, &key), Some(("c1", &key)), wanted);
        assert_eq!(anew.forgotten, forgotten);
        let said = anew.words().unwrap();
        assert!(said.contains(words) && said.contains("by alice"), "{said}");
    }

    #[test]
    fn a_persons_login_is_not_used_by_two() {
        let (person, secret_of) =
            (|| CloudCredential::RefreshToken(secret()), || CloudCredential::ClientSecret(secret()));
        let names = [ENROLMENT, TOKEN, REFUSED, RENEWAL];
        check(person(), CloudLogin::Forget, &names, "is forgotten");
        check(person(), CloudLogin::Keep, &[], "is taken again");
        // Who has a secret gets a token of its own.
        check(secret_of(), CloudLogin::Forget, &names[1..], "is taken again");
        let none = cloud_anew(&Roster::default(), None, CloudLogin::Forget);
        assert_eq!((none.words(), none.forgotten), (None, Vec::new()));
    }

    #[test]
    fn a_login_that_cannot_be_read_is_forgotten() {
        let key = Key::of_bytes(&[7; 32]).unwrap();
        let roster = roster_of(CloudCredential::ClientSecret(secret()), &key);
        let anew = cloud_anew(&roster, Some(("c2", &key)), CloudLogin::Forget);
        assert_eq!(anew.forgotten.len(), 4);
        assert!(anew.words().unwrap().contains("is forgotten"));
    }
}

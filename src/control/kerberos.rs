//! The keys of our services: take those of a keytab, show which there are, forget some. A keytab is read here,
//! sealed, and kept nowhere else; no answer has a key in it.

mod judge;

use super::changes::{now, write_roster};
use super::survey::{Picture, Survey};
use super::{administrator, effect, status};
use crate::enrolment::{Enrolment, PlainServiceKey};
use crate::event::with_causes;
use crate::identity::kerberos::{Keytab, LeftOut, NamedKey, etype_name};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::kerberos_keys_server::KerberosKeys;
use crate::state::{NewServiceKey, PutServiceKeys, Roster, RosterChange, ServiceKeyId, Timestamp};
use judge::Asked;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

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

    async fn newest(&self) -> Result<Arc<Roster>, Status> {
        self.survey.cluster().read_barrier().await.map_err(|error| status::of_read(&error))?;
        Ok(self.survey.cluster().state().borrow().roster.clone())
    }

    /// All nodes as they answer now.
    async fn ask(&self) -> (Picture, Asked) {
        let before = now();
        let picture = self.survey.newest().await;
        (picture, Asked { before, after: now() })
    }
}

#[tonic::async_trait]
impl KerberosKeys for Service {
    async fn import(
        &self,
        request: Request<proto::ImportKeysRequest>,
    ) -> Result<Response<proto::ImportKeysResponse>, Status> {
        let by = administrator(&request)?;
        let proto::ImportKeysRequest { keytab, keep_others_s, request_id, removed_too } =
            request.into_inner();
        let (mut keys, mut left_out) = read(&Zeroizing::new(keytab))?;
        if keep_others_s.is_some() {
            leave_older_out(&mut keys, &mut left_out);
        }
        let before = self.newest().await?;
        check_realms(&before, &self.survey.ask().await, &keys)?;
        let others_retire_at = keep_others_s.map(|seconds| retirement(seconds, now())).transpose()?;
        if others_retire_at.is_some() {
            check_newer(&before, &keys)?;
        }
        let keys: Vec<NewServiceKey> = keys.iter().map(|key| self.enrolment.seal_service_key(key)).collect();
        let imported = keys.iter().map(|key| {
            let known = before.service_keys.get(&key.id);
            imported(&key.id, known.is_some_and(|known| known.mark == key.mark))
        });
        let imported = imported.collect();
        let ids: BTreeSet<ServiceKeyId> = keys.iter().map(|key| key.id.clone()).collect();
        let change = RosterChange::PutServiceKeys(PutServiceKeys { keys, others_retire_at, removed_too });
        let written = write_roster(self.survey.cluster(), &by, change, &request_id).await?;
        let effect = match written.changed {
            true => Some(effect::of(&self.survey, written.log_index).await),
            false => None,
        };
        let roster = self.survey.cluster().state().borrow().roster.clone();
        let at = now();
        let retiring =
            roster.service_keys.iter().filter(|(_, key)| key.retires_at.is_some() && !key.is_retired(at));
        let mut hints = judge::hints(&self.service_name, &ids, &roster, others_retire_at);
        hints.extend(judge::half_retired(&roster, &self.enrolment.open_service_keys(&roster, at).keys));
        Ok(Response::new(proto::ImportKeysResponse {
            imported,
            left_out: left_out.iter().map(not_imported).collect(),
            hints,
            retiring: retiring.map(|(id, key)| judge::of_cluster(id, key)).collect(),
            effect,
        }))
    }

    async fn show(
        &self,
        request: Request<proto::ShowKeysRequest>,
    ) -> Result<Response<proto::ShowKeysResponse>, Status> {
        administrator(&request)?;
        let (picture, asked) = self.ask().await;
        Ok(Response::new(judge::shown(&self.service_name, &picture, &asked)))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveKeysRequest>,
    ) -> Result<Response<proto::RemoveKeysResponse>, Status> {
        let by = administrator(&request)?;
        let proto::RemoveKeysRequest { service, version, request_id } = request.into_inner();
        let before = self.newest().await?;
        let is_meant = |id: &ServiceKeyId| {
            id.service.eq_ignore_ascii_case(&service) && version.is_none_or(|version| id.version == version)
        };
        let meant: Vec<_> = before.service_keys.keys().filter(|id| is_meant(id)).collect();
        let removed = meant.iter().map(|id| imported(id, true)).collect();
        let opened = self.enrolment.open_service_keys(&before, now()).keys;
        let same = judge::same(&opened, &is_meant).map(|id| imported(id, true)).collect();
        let change = RosterChange::RemoveServiceKeys { service: service.clone(), version };
        let written = write_roster(self.survey.cluster(), &by, change, &request_id).await?;
        let effect = effect::of(&self.survey, written.log_index).await;
        // What a node has out of its own file is not the cluster's to forget, and goes on letting people in.
        let picture = self.survey.ask().await;
        let files = picture.names(|seat| judge::of_file(seat).any(is_meant));
        let silent = picture.names(|seat| !seat.up() && !seat.is_witness());
        let effect = Some(effect);
        Ok(Response::new(proto::RemoveKeysResponse { service, removed, files, effect, same, silent }))
    }
}

/// The keys of a keytab that are to be kept, and the entries that are not.
fn read(keytab: &[u8]) -> Result<(Vec<PlainServiceKey>, Vec<LeftOut>), Status> {
    if keytab.len() > KEYTAB_BYTES_MAX {
        let bytes = keytab.len();
        return Err(Status::invalid_argument(format!(
            "{bytes} bytes are too long for a keytab; at most {KEYTAB_BYTES_MAX} are taken"
        )));
    }
    let read = Keytab::parse(keytab).map_err(|error| {
        Status::invalid_argument(format!("the keytab cannot be used: {}", with_causes(&error)))
    })?;
    let keys: Vec<PlainServiceKey> = read.named().into_iter().map(plain).collect();
    if let Some(key) = keys.iter().find(|key| !is_service(&key.id.service)) {
        return Err(Status::invalid_argument(format!(
            "{:?} in the keytab is no name HTTP/HOST@REALM; export the service's keys under such a name",
            key.id.service
        )));
    }
    Ok((keys, read.left_out().to_vec()))
}

/// A rotation brings the keys of the new password. What is in the file of the one before is what is to go.
fn leave_older_out(keys: &mut Vec<PlainServiceKey>, left_out: &mut Vec<LeftOut>) {
    let ids: Vec<ServiceKeyId> = keys.iter().map(|key| key.id.clone()).collect();
    keys.retain(|key| {
        let ServiceKeyId { service, version, etype } = key.id.clone();
        let newest = judge::newest(ids.iter(), &service) == Some(version);
        if !newest {
            left_out.push(LeftOut { service, version, etype, why: OLDER });
        }
        newest
    });
}

/// Written in one way, since names are compared without case: the class and the realm in capitals.
fn plain(key: NamedKey) -> PlainServiceKey {
    let NamedKey { service, version, etype, bytes } = key;
    let service = match service.split_once('@').and_then(|(name, realm)| Some((name.split_once('/')?, realm)))
    {
        Some(((class, host), realm)) => format!(
            "{}/{}@{}",
            class.to_ascii_uppercase(),
            host.to_ascii_lowercase(),
            realm.to_ascii_uppercase()
        ),
        None => service,
    };
    PlainServiceKey { id: ServiceKeyId { service, version, etype }, bytes }
}

/// As it is kept in one text: one `/` at least, one `@`, and not longer than names are.
fn is_service(service: &str) -> bool {
    let parts = service.split_once('@').and_then(|(name, realm)| Some((name.split_once('/')?, realm)));
    let sound = |part: &str| !part.is_empty() && !part.contains(['@', ' ']);
    service.len() <= SERVICE_BYTES_MAX
        && parts.is_some_and(|((class, host), realm)| sound(class) && sound(host) && sound(realm))
}

/// A ticket says which groups its account is in, and the key of one realm would let it say so of another
/// realm's accounts. So all keys of the cluster are of one realm, which is one of those of each node's file.
fn check_realms(roster: &Roster, picture: &Picture, keys: &[PlainServiceKey]) -> Result<(), Status> {
    let of = |ids: &mut dyn Iterator<Item = &ServiceKeyId>| {
        ids.map(|id| id.realm().to_uppercase()).collect::<BTreeSet<String>>()
    };
    let new = of(&mut keys.iter().map(|key| &key.id));
    let cluster = of(&mut new_and_known(roster, keys));
    let refused = |realms: BTreeSet<String>, whose: &str| {
        let realms: Vec<String> = realms.into_iter().collect();
        Err(Status::failed_precondition(format!(
            "with this keytab {whose} would have keys of {}: who has the key of one realm could be anybody of the \
             other. Export the keys of one realm alone, or remove those of the other first",
            realms.join(" and ")
        )))
    };
    if cluster.len() > 1 {
        return refused(cluster, "the cluster");
    }
    for seat in &picture.seats {
        let file = of(&mut judge::of_file(seat));
        if !file.is_empty() && !new.is_subset(&file) {
            return refused(file.union(&new).cloned().collect(), seat.name());
        }
    }
    Ok(())
}

fn new_and_known<'a>(
    roster: &'a Roster,
    keys: &'a [PlainServiceKey],
) -> impl Iterator<Item = &'a ServiceKeyId> {
    keys.iter().map(|key| &key.id).chain(roster.service_keys.keys())
}

/// A rotation brings what the domain will use from now on.
fn check_newer(roster: &Roster, keys: &[PlainServiceKey]) -> Result<(), Status> {
    for key in keys {
        let newest = judge::newest(roster.service_keys.keys(), &key.id.service);
        let new = judge::newest(keys.iter().map(|key| &key.id), &key.id.service);
        if let Some(newest) = newest.filter(|newest| Some(*newest) > new) {
            return Err(Status::failed_precondition(format!(
                "the keytab has version {} of {}, and the cluster has version {newest} already: it is older. Export \
                 the keys of the new password, or take them beside the others with rmsc kerberos import",
                new.unwrap_or_default(),
                key.id.service
            )));
        }
    }
    Ok(())
}

fn retirement(seconds: u64, now: Timestamp) -> Result<Timestamp, Status> {
    let keep = Duration::from_secs(seconds);
    if keep > KEEP_MAX {
        return Err(Status::invalid_argument(format!(
            "{seconds} s is too long to keep old keys; at most 30 d"
        )));
    }
    let milliseconds = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    Ok(Timestamp(now.0.saturating_add(milliseconds)))
}

fn imported(id: &ServiceKeyId, already: bool) -> proto::ImportedKey {
    let (service, version, etype) = (id.service.clone(), id.version, etype_name(id.etype));
    proto::ImportedKey { service, version, etype, already }
}

fn not_imported(left_out: &LeftOut) -> proto::LeftOutKey {
    let LeftOut { service, version, etype, why } = left_out;
    let etype = etype_name(*etype);
    proto::LeftOutKey { service: service.clone(), version: *version, etype, why: (*why).into() }
}

/// Thousands of keys; the cluster takes 256.
const KEYTAB_BYTES_MAX: usize = 1 << 20;
/// A DNS name has 253 characters, a realm no more.
const SERVICE_BYTES_MAX: usize = 600;
const OLDER: &str = "a rotation takes the newest version alone; this one is let go, if the cluster has it";
const KEEP_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_one_class_one_host_and_one_realm() {
        for good in ["HTTP/rms.contoso.test@CONTOSO.TEST", "HTTP/rms:8443@R", "HTTP/a/b@R"] {
            assert!(is_service(good), "{good}");
        }
        for wrong in ["HTTP/rms", "HTTP@R", "/rms@R", "HTTP/@R", "HTTP/rms@", "HTTP/a@b@R", "HTTP/a b@R"] {
            assert!(!is_service(wrong), "{wrong}");
        }
        assert!(!is_service(&format!("HTTP/{}@R", "a".repeat(600))));
    }

    #[test]
    fn old_keys_are_kept_for_a_month_at_most() {
        assert_eq!(retirement(10, Timestamp(5)).unwrap(), Timestamp(10_005));
        assert!(retirement(u64::MAX, Timestamp(5)).is_err());
    }
}

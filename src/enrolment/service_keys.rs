//! The keys of our services: sealed with the cluster's data key for the log, and opened on each node.

use super::Enrolment;
use crate::seal::{Key, SealError};
use crate::secret::Secret;
use crate::state::{KeyMark, NewServiceKey, Roster, Sealed, ServiceKeyId, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key of a service.
#[derive(Clone, Debug)]
pub struct PlainServiceKey {
    /// Its name.
    pub id: ServiceKeyId,
    /// The key itself.
    pub bytes: Secret<Vec<u8>>,
}

/// What the roster's keys are.
#[derive(Debug, Default)]
pub struct OpenedKeys {
    /// Those that are taken now.
    pub keys: Vec<PlainServiceKey>,
    /// Those that cannot be opened here.
    pub closed: Vec<(ServiceKeyId, SealError)>,
}

impl Enrolment {
    /// A key as it is put into the log.
    #[must_use]
    pub fn seal_service_key(&self, key: &PlainServiceKey) -> NewServiceKey {
        let identity = self.shared.identity.now();
        seal(&identity.data_key, &identity.cluster_id, key)
    }

    /// The keys of a roster whose time is not over.
    #[must_use]
    pub fn open_service_keys(&self, roster: &Roster, now: Timestamp) -> OpenedKeys {
        let identity = self.shared.identity.now();
        let mut opened = OpenedKeys::default();
        for (id, key) in roster.service_keys.iter().filter(|(_, key)| !key.is_retired(now)) {
            match identity.data_key.open(&context(&identity.cluster_id, id), &key.sealed.0) {
                Ok(bytes) => opened.keys.push(PlainServiceKey { id: id.clone(), bytes }),
                Err(error) => opened.closed.push((id.clone(), error)),
            }
        }
        opened
    }
}

fn seal(data_key: &Key, cluster_id: &str, key: &PlainServiceKey) -> NewServiceKey {
    let context = context(cluster_id, &key.id);
    let sealed = Sealed(data_key.seal(&context, key.bytes.expose()));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(data_key.bytes().expose()).expect("a key of any length does");
    for part in [b"mark ", context.as_bytes(), &[0], key.bytes.expose()] {
        mac.update(part);
    }
    let mut mark = KeyMark::default();
    mark.0.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
    NewServiceKey { id: key.id.clone(), sealed, mark }
}

fn context(cluster_id: &str, id: &ServiceKeyId) -> String {
    format!("{cluster_id} service-key {} {} {}", id.service, id.version, id.etype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;

    fn key() -> PlainServiceKey {
        let id = ServiceKeyId { service: "HTTP/rms@R".into(), version: 3, etype: 18 };
        PlainServiceKey { id, bytes: Secret::new(vec![6; 32]) }
    }

    #[test]
    fn a_service_key_that_was_released_is_opened() {
        let data_key = Key::of_bytes(&[7; 32]).unwrap();
        let sealed = seal(&data_key, "c1", &key());
        let frozen = frozen::keep("seal-1/service-key", &sealed.sealed.0);
        let opened = data_key.open("c1 service-key HTTP/rms@R 3 18", &frozen).unwrap();
        assert_eq!(opened.expose(), &[6; 32]);
        assert_eq!(frozen::check("seal-1/service-key-mark", &sealed.mark.0), sealed.mark.0);
    }

    #[test]
    fn a_mark_is_the_same_for_the_same_key_under_the_same_name_alone() {
        let data_key = Key::of_bytes(&[7; 32]).unwrap();
        let mark = |data_key: &Key, key: &PlainServiceKey| seal(data_key, "c1", key).mark;
        let (own, other) =
            (mark(&data_key, &key()), PlainServiceKey { bytes: Secret::new(vec![5; 32]), ..key() });
        let elsewhere = PlainServiceKey { id: ServiceKeyId { version: 4, ..key().id }, ..key() };
        assert_eq!(own, mark(&data_key, &key()));
        assert_ne!(own, mark(&data_key, &other));
        assert_ne!(own, mark(&data_key, &elsewhere));
        assert_ne!(own, mark(&Key::of_bytes(&[8; 32]).unwrap(), &key()));
    }
}

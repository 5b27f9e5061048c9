//! Keys as others keep them: with their names, where they come from, and when they were of use.

use super::crypto::{Etype, Key};
use super::keytab::{CLASS, Keytab, ServiceKey};
use crate::secret::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A key out of a keytab, for who keeps it elsewhere.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// Whose, `HTTP/host@REALM`.
    pub service: String,
    /// Its version (kvno).
    pub version: u32,
    /// Its encryption type.
    pub etype: u16,
    /// The key itself.
    pub bytes: Secret<Vec<u8>>,
}

/// An entry of a keytab that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Whose.
    pub service: String,
    /// Its version.
    pub version: u32,
    /// Its encryption type.
    pub etype: u16,
    /// Why.
    pub why: &'static str,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This node's own file.
    File,
    /// The cluster.
    Cluster,
}

/// A key that tickets are opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInUse {
    /// Whose.
    pub service: String,
    /// Its version.
    pub version: u32,
    /// Its encryption type.
    pub etype: u16,
    /// Where it comes from.
    pub source: Source,
    /// When it last opened a ticket, in seconds since 1970; nothing since the node began.
    pub used_at: Option<i64>,
}

/// When a key last opened a ticket. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<AtomicI64>);

impl Used {
    pub(super) fn note(&self, now: i64) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }

    fn at(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }
}

impl Keytab {
    /// The keys that the cluster keeps. What is no key for a service of ours is left out.
    #[must_use]
    pub fn of_cluster(keys: impl IntoIterator<Item = NamedKey>) -> Self {
        let keys = keys.into_iter().filter_map(|key| {
            let (name, realm) = key.service.rsplit_once('@')?;
            let name: Vec<String> = name.split('/').map(str::to_owned).collect();
            let ours = name.first().is_some_and(|class| class.eq_ignore_ascii_case(CLASS));
            let etype = Etype::of_number(key.etype.into()).filter(|_| ours)?;
            Some(ServiceKey {
                name,
                realm: realm.into(),
                version: key.version,
                key: Key::new(etype, key.bytes.expose())?,
                source: Source::Cluster,
                used: Used::default(),
            })
        });
        Keytab { keys: keys.collect(), left_out: Vec::new() }
    }

    /// The keys of both.
    #[must_use]
    pub fn and(&self, other: &Keytab) -> Self {
        let keys = [self, other].into_iter().flat_map(|keytab| keytab.keys.iter().cloned());
        Keytab { keys: keys.collect(), left_out: Vec::new() }
    }

    /// Whether no ticket can be opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What of the file is not used.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The keys, for who keeps them elsewhere.
    #[must_use]
    pub fn named(&self) -> Vec<NamedKey> {
        let named = self.keys.iter().map(|key| NamedKey {
            service: key.to_string(),
            version: key.version,
            etype: key.key.etype().number().into(),
            bytes: Secret::new(key.key.bytes().to_vec()),
        });
        named.collect()
    }

    /// The keys without the keys.
    #[must_use]
    pub(super) fn in_use(&self) -> Vec<KeyInUse> {
        let keys = self.keys.iter().map(|key| KeyInUse {
            service: key.to_string(),
            version: key.version,
            etype: key.key.etype().number().into(),
            source: key.source,
            used_at: key.used.at(),
        });
        keys.collect()
    }

    /// Takes over when the keys were of use from the one that this one takes the place of.
    pub(super) fn succeed(&mut self, before: &Keytab) {
        for key in &mut self.keys {
            let same = before.keys.iter().find(|known| {
                (known.source, known.version) == (key.source, key.version)
                    && known.key.etype() == key.key.etype()
                    && (&known.name, &known.realm) == (&key.name, &key.realm)
            });
            same.into_iter().for_each(|known| key.used = known.used.clone());
        }
    }
}

/// The name of an encryption type, as other tools have it.
#[must_use]
pub fn etype_name(number: u16) -> String {
    let weak = match number {
        1 => "des-cbc-crc",
        3 => "des-cbc-md5",
        16 => "des3-cbc-sha1",
        23 => "arcfour-hmac (RC4)",
        24 => "arcfour-hmac-exp (RC4)",
        _ => "",
    };
    match Etype::of_number(number.into()) {
        Some(etype) => etype.to_string(),
        None if weak.is_empty() => format!("encryption type {number}"),
        None => weak.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keytab::tests::{entry, file};
    use super::*;

    fn keytab() -> Keytab {
        let entries = [
            entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 300, 18, &[1; 32]),
            entry("HTTP/rms.contoso.test", "CONTOSO.TEST", 300, 23, &[2; 16]),
            entry("host/rms.contoso.test", "CONTOSO.TEST", 1, 17, &[3; 16]),
        ];
        Keytab::parse(&file(&entries)).unwrap()
    }

    #[test]
    fn keys_come_back_from_where_they_were_kept() {
        let kept = Keytab::of_cluster(keytab().named());
        let [key] = &kept.in_use()[..] else { panic!("{kept:?}") };
        assert_eq!(
            (&*key.service, key.version, key.etype, key.source, key.used_at),
            ("HTTP/rms.contoso.test@CONTOSO.TEST", 300, 18, Source::Cluster, None)
        );
        let name = ["HTTP".to_owned(), "rms.contoso.test".to_owned()];
        assert_eq!(kept.of(&name, "CONTOSO.TEST")[0].key.bytes(), [1; 32]);
        assert_eq!(keytab().and(&kept).of(&name, "CONTOSO.TEST").len(), 2);
        assert!(!format!("{:?}", keytab().named()).contains("1, 1"));
    }

    #[test]
    fn what_is_left_out_is_named() {
        let keytab = keytab();
        let left_out: Vec<_> = keytab
            .left_out()
            .iter()
            .map(|it| (&*it.service, it.version, etype_name(it.etype), it.why))
            .collect();
        assert_eq!(
            left_out,
            [
                (
                    "HTTP/rms.contoso.test@CONTOSO.TEST",
                    300,
                    "arcfour-hmac (RC4)".to_owned(),
                    "only AES keys are taken"
                ),
                (
                    "host/rms.contoso.test@CONTOSO.TEST",
                    1,
                    "aes128-cts-hmac-sha1-96".to_owned(),
                    "only keys of services HTTP/HOST are taken"
                ),
            ]
        );
    }

    #[test]
    fn what_is_no_key_of_ours_is_not_taken_from_the_cluster() {
        let key = |service: &str, etype, bytes: usize| NamedKey {
            service: service.into(),
            version: 1,
            etype,
            bytes: Secret::new(vec![1; bytes]),
        };
        let keys = [
            key("HTTP/a@R", 18, 31),
            key("HTTP/a@R", 23, 16),
            key("HTTP/a", 18, 32),
            key("cifs/a@R", 18, 32),
        ];
        assert!(Keytab::of_cluster(keys).is_empty());
    }

    #[test]
    fn a_successor_knows_when_its_keys_were_of_use() {
        let before = keytab();
        before.keys[0].used.note(7);
        let mut now = keytab().and(&Keytab::of_cluster(keytab().named()));
        now.succeed(&before);
        assert_eq!(now.in_use().iter().map(|key| key.used_at).collect::<Vec<_>>(), [Some(7), None]);
    }
}

//! Backups of a real cluster of one node: what opens them, and that nothing else does.

use super::*;
use crate::cluster::{self, Cluster, Copy, Dial, Dialed, Facts, Roots};
use crate::principal::Sid;
use crate::seal::Key;
use crate::secret::Secret;
use crate::state::{
    Change, Entry, FOUNDER, KeyHash, Kind, NewEntry, NodeKind, Role, RosterChange, Sealed, Timestamp,
};
use crate::storage::{frozen, testing::Folder};
use crate::tasks::Tasks;
use crate::tls::Authority;
use futures::future::BoxFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::HostUnreachable.into())))
    }
}

const NAME: &str = "LAB\\canary-7c1f$";

async fn copy(folder: &Path, authority: &str, secret: Option<RosterChange>) -> Copy {
    Cluster::claim(folder, "lab", FOUNDER, 1).unwrap();
    let config = cluster::Config {
        data_dir: folder.into(),
        cluster_id: "lab".into(),
        node_id: FOUNDER,
        name: "node-1".into(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        key: KeyHash::default(),
        version: "test".into(),
        clock: || Timestamp(1),
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(150),
        election_max: Duration::from_millis(300),
        snapshot_after: 1_000,
    };
    let facts = Arc::new(Facts::default);
    let cluster = Cluster::open(config, Arc::new(Nowhere), facts, &Tasks::new()).await.unwrap();
    let roots = Roots { authority: authority.into(), administrator: None };
    cluster.found(roots, "init", Timestamp(1)).await.unwrap();
    let entry = NewEntry {
        sid: Sid::new(5, &[21, 1, 2, 3, 4]).unwrap(),
        name: NAME.into(),
        kind: Kind::Computer,
        role: Role::Exchange,
        note: String::new(),
    };
    cluster.write("admin", Change::Allow(entry), None, Timestamp(1)).await.unwrap();
    if let Some(secret) = secret {
        cluster.write("init", Change::Roster(secret), None, Timestamp(1)).await.unwrap();
    }
    cluster.copy().await.unwrap()
}

struct Made {
    folder: Folder,
    bytes: Vec<u8>,
    data_key: Key,
}

impl Made {
    async fn with(lock: &Lock) -> Self {
        let folder = Folder::new();
        let copy = copy(&folder.path().join("data"), "PEM canary-1d2e", None).await;
        let (data_key, mut bytes) = (Key::random(), Vec::new());
        write(&copy, &taken(), &data_key, lock, &mut bytes).unwrap();
        Made { folder, bytes, data_key }
    }

    fn read(&self, bytes: &[u8], unlock: &Unlock) -> Result<Archive, ReadError> {
        let path: PathBuf = self.folder.path().join("backup.age");
        std::fs::write(&path, bytes).unwrap();
        Archive::read(&path, unlock, self.folder.path())
    }
}

fn taken() -> Taken {
    Taken { service_name: "rms.lab".into(), at_ms: 7, by: "admin".into(), node: "node-1".into() }
}

fn none() -> Secret<String> {
    Secret::new(String::new())
}

fn for_new_key() -> (Lock, Unlock) {
    let key = NewKey::new();
    (Lock::new(&[key.recipient], none()).unwrap(), Unlock::identities(&key.file).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_opens_with_its_key_and_shows_nothing_without() {
    let (lock, unlock) = for_new_key();
    let made = Made::with(&lock).await;
    let archive = made.read(&made.bytes, &unlock).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((archive.summary.entries, archive.summary.taken_by.as_str()), (1, "admin"));
    assert_eq!(archive.data_key.bytes().expose(), made.data_key.bytes().expose());
    let canaries = [NAME.as_bytes(), b"canary-1d2e", b"node-1", b"rms.lab", b"rmscback", b"rmscsnap"];
    for canary in canaries.into_iter().chain([made.data_key.bytes().expose().get(..8).unwrap()]) {
        assert!(!made.bytes.windows(canary.len()).any(|part| part == canary), "{canary:?}");
    }
    // What was unpacked is gone.
    assert!(!made.folder.path().join("snapshot").exists());
    let (_, other) = for_new_key();
    assert!(matches!(made.read(&made.bytes, &other), Err(ReadError::WrongKey)));
    let passphrase = Unlock::Passphrase(Secret::new("correct horse battery".into()));
    assert!(matches!(made.read(&made.bytes, &passphrase), Err(ReadError::NeedsIdentity)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_opens_what_it_locked() {
    let passphrase = |words: &str| Secret::new(words.to_owned());
    let lock = Lock::new(&[], passphrase("correct horse battery")).unwrap();
    let made = Made::with(&lock).await;
    let right = Unlock::Passphrase(passphrase("correct horse battery"));
    assert!(made.read(&made.bytes, &right).is_ok());
    let wrong = Unlock::Passphrase(passphrase("correct horse batterz"));
    assert!(matches!(made.read(&made.bytes, &wrong), Err(ReadError::WrongPassphrase)));
    let (_, key) = for_new_key();
    assert!(matches!(made.read(&made.bytes, &key), Err(ReadError::NeedsPassphrase)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_bit_or_a_missing_end_is_noticed_wherever_it_is() {
    let (lock, unlock) = for_new_key();
    let made = Made::with(&lock).await;
    for at in (0..made.bytes.len()).step_by(5) {
        let mut changed = made.bytes.clone();
        changed[at] ^= 1;
        assert!(made.read(&changed, &unlock).is_err(), "byte {at}");
        assert!(made.read(&made.bytes[..at], &unlock).is_err(), "cut at {at}");
    }
    let mut longer = made.bytes.clone();
    longer.push(0);
    assert!(made.read(&longer, &unlock).is_err());
    let end = made.bytes.len() - 1;
    let error = made.read(&made.bytes[..end], &unlock).err().unwrap().to_string();
    assert!(error.contains("damaged or was cut off"), "{error}");
    let error = made.read(b"PK\x03\x04", &unlock).err().unwrap().to_string();
    assert!(error.contains("this is no backup"), "{error}");
}

const PASSPHRASE: &str = "correct horse battery";

/// A cluster whose secrets open, backed up for a key and with a passphrase.
async fn backups(key: &Secret<String>) -> [Vec<u8>; 2] {
    let folder = Folder::new();
    let data_key = Key::of_bytes(&[9; 32]).unwrap();
    let authority = Authority::new("rmsc cluster lab", OffsetDateTime::now_utc()).unwrap();
    let sealed = data_key.seal("lab secret authority-key", authority.key().expose());
    let secret = RosterChange::PutSecret { name: "authority-key".into(), sealed: Some(Sealed(sealed)) };
    let copy = copy(&folder.path().join("data"), authority.certificate_pem(), Some(secret)).await;
    let recipient = key.expose().lines().find_map(|line| line.strip_prefix("# opens backups for ")).unwrap();
    [
        Lock::new(&[recipient.to_owned()], none()).unwrap(),
        Lock::new(&[], Secret::new(PASSPHRASE.into())).unwrap(),
    ]
    .map(|lock| {
        let mut bytes = Vec::new();
        write(&copy, &taken(), &data_key, &lock, &mut bytes).unwrap();
        bytes
    })
}

/// What is encrypted comes out different each time, so it is only read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_released_is_read() {
    let file = frozen::keep("backup-1/backup.key", NewKey::new().file.expose().as_bytes());
    let file = Secret::new(String::from_utf8(file).unwrap());
    let [for_key, by_passphrase] = backups(&file).await;
    let archives = [
        (frozen::keep("backup-1/key.age", &for_key), Unlock::identities(&file).unwrap()),
        (
            frozen::keep("backup-1/passphrase.age", &by_passphrase),
            Unlock::Passphrase(Secret::new(PASSPHRASE.into())),
        ),
    ];
    for (bytes, unlock) in archives {
        let folder = Folder::new();
        let path = folder.path().join("backup.age");
        std::fs::write(&path, bytes).unwrap();
        let archive = Archive::read(&path, &unlock, folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let log_index = archive.summary.log_index;
        let expected = Summary {
            cluster_id: "lab".into(),
            service_name: "rms.lab".into(),
            log_index,
            revision: archive.copied.state().table.revision,
            entries: 1,
            nodes: 1,
            taken_at_ms: 7,
            taken_by: "admin".into(),
            taken_at: "node-1".into(),
            version: "0.1.0".into(),
        };
        assert_eq!(archive.summary, expected);
        assert_eq!(archive.data_key.bytes().expose(), &[9; 32]);
        let state = archive.copied.state();
        let entries: Vec<Entry> = state.table.entries.values().map(|entry| (**entry).clone()).collect();
        let expected = Entry {
            sid: Sid::new(5, &[21, 1, 2, 3, 4]).unwrap(),
            name: NAME.into(),
            kind: Kind::Computer,
            role: Role::Exchange,
            note: "".into(),
            added_by: "admin".into(),
            added_at: Timestamp(1),
        };
        assert_eq!(entries, [expected]);
        assert_eq!(state.roster.nodes.keys().copied().collect::<Vec<_>>(), [FOUNDER]);
        // Opens the authority's key, which must be that of the certificate.
        archive.check().unwrap_or_else(|error| panic!("{error}"));
    }
}

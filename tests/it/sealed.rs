//! What lies on disk, and what was said, shows no secret.

use crate::support::certificates;
use crate::support::cluster::{NewDir, TestCluster};
use crate::support::host::Host;
use crate::support::keytab;
use crate::support::program::{Ran, rmsc, run};
use crate::support::stored;
use crate::support::wait::{self, PATIENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rmsc::enrolment::TokenText;
use rmsc::state::TokenId;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// Something that must not be found, in every form in which it could be written.
struct Canary {
    what: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(what: &'static str, secret: &[u8]) -> Self {
        assert!(secret.len() >= 16, "{what}");
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        // Base64 of something longer has it at one of three offsets; the first and last letters then differ.
        for skip in 0..3 {
            let (_, rest) = secret.split_at(skip);
            let (whole, _) = rest.split_at(rest.len() - rest.len() % 3);
            forms.push(STANDARD_NO_PAD.encode(whole).into_bytes());
        }
        Canary { what, forms }
    }

    /// The private number in a key (PKCS #8, P-256): what is around it is no secret.
    fn of_key(what: &'static str, der: &[u8]) -> Self {
        let at = der.windows(2).position(|part| part == [0x04, 0x20]).expect("an EC private key");
        Canary::new(what, der.get(at + 2..at + 34).expect("32 bytes"))
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|part| part == form.as_slice()))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}

/// What of a token's text is secret, and its id, which is not.
fn of_token(text: &str) -> (TokenId, [Canary; 2]) {
    let token: TokenText = text.parse().expect("a token");
    let tail = text.rsplit('-').next().expect("a tail");
    let secret: Vec<u8> =
        (8..24).map(|at| u8::from_str_radix(&tail[2 * at..2 * at + 2], 16).expect("hexadecimal")).collect();
    let canaries =
        [Canary::new("a token's secret", &secret), Canary::new("a token's key", token.key().bytes())];
    (token.id, canaries)
}

#[track_caller]
fn check_shows_none(canaries: &[Canary], what: &dyn Display, bytes: &[u8]) {
    let found: Vec<_> = canaries.iter().filter(|it| it.is_in(bytes)).map(|it| it.what).collect();
    assert!(found.is_empty(), "{what} shows {found:?}");
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

#[test]
fn status_warns_of_a_seal_key_that_lies_in_a_plain_file_unless_it_was_chosen() {
    let lab = TestCluster::start(1);
    let mut host = Host::new(&lab, "alone");
    host.edit("seal = \"file\"", "seal = \"auto\"");
    host.rmsc(&["init"]).check_code(0);
    host.start();
    let context = host.path().join("context.toml");
    let warnings = || {
        let status = run(rmsc().args(["status", "-o", "json", "--context"]).arg(&context));
        (status.code == Some(3)).then(|| status.field("warnings").to_string())
    };
    wait::until_true("the status warns", PATIENCE, || {
        warnings().is_some_and(|it| it.contains("the seal key of alone lies in a plain file"))
    });
    let chosen = lab.rmsc(&["status", "-o", "json"]).field("warnings").to_string();
    assert!(!chosen.contains("seal key"), "{chosen}");
}

#[test]
fn neither_disk_nor_log_shows_a_secret() {
    let lab = TestCluster::start(1);
    let (mut first, mut second) = (Host::new(&lab, "first"), Host::new(&lab, "second"));
    first.rmsc(&["init"]).check_code(0);
    let founder = certificates::identity(&first.node);
    let authority = founder.authority_key.clone().expect("a founder has it until the cluster does");
    let mut canaries = vec![
        Canary::of_key("the authority's key", authority.expose()),
        Canary::of_key("the first node's key", founder.node_key.expose()),
        Canary::new("the data key", founder.data_key.bytes().expose()),
    ];
    for host in [&first, &second] {
        fs::write(&host.node.config, {
            let text = fs::read_to_string(&host.node.config).expect("it was written");
            text.replace("level = \"info\"", "level = \"trace\"")
        })
        .expect("the temporary folder can be written");
    }
    first.start();
    let context = first.path().join("context.toml");
    let as_admin = |arguments: &[&str]| run(rmsc().args(arguments).arg("--context").arg(&context));
    wait::until_true("the cluster makes tokens", PATIENCE, || as_admin(&["token", "create"]).code == Some(0));
    canaries.push(with_service_key(first.path(), &as_admin));
    let mut ids = Vec::new();
    let mut used = String::new();
    for _ in 0..2 {
        used =
            as_admin(&["token", "create", "-o", "json"]).field("token").as_str().expect("a text").to_owned();
        let (id, of_token) = of_token(&used);
        canaries.extend(of_token);
        ids.push(id);
    }
    second.join(&first.node, &used).check_code(0);
    canaries.push(Canary::of_key(
        "the second node's key",
        certificates::identity(&second.node).node_key.expose(),
    ));
    second.start();
    wait::until_true("both nodes are in rotation", PATIENCE, || {
        let ready = as_admin(&["status", "-o", "json"]).field("nodes");
        ready.as_array().is_some_and(|nodes| nodes.len() == 2 && nodes.iter().all(|it| it["ready"] == true))
    });
    first.kill();
    second.kill();
    let (mut ids_seen, mut names_seen) = (0, 0);
    for host in [&first, &second] {
        let mut searched = files(&host.node.data_dir);
        searched.extend([host.node.log.clone(), host.node.config.clone()]);
        for file in searched {
            let bytes = fs::read(&file).expect("a file of the test's own");
            check_shows_none(&canaries, &file.display(), &bytes);
            names_seen += usize::from(has(&bytes, SERVICE.as_bytes()));
            ids_seen += ids.iter().filter(|id| has(&bytes, &id.0)).count();
        }
    }
    // What is no secret is found, so the search looks where the tokens are.
    assert!(ids_seen >= 4 && names_seen >= 2, "{ids_seen} {names_seen}");
}

#[test]
fn neither_snapshot_nor_backup_shows_a_secret() {
    let lab = TestCluster::start(1);
    let mut host = Host::new(&lab, "first");
    host.rmsc(&["init"]).check_code(0);
    let founder = certificates::identity(&host.node);
    let authority = founder.authority_key.clone().expect("a founder has it until the cluster does");
    let data_key = Canary::new("the data key", founder.data_key.bytes().expose());
    let mut canaries = vec![
        Canary::of_key("the authority's key", authority.expose()),
        Canary::of_key("the node's key", founder.node_key.expose()),
    ];
    host.start();
    let context = host.path().join("context.toml");
    let as_admin = |arguments: &[&str]| run(rmsc().args(arguments).arg("--context").arg(&context));
    wait::until_true("the cluster makes tokens", PATIENCE, || as_admin(&["token", "create"]).code == Some(0));
    let token = as_admin(&["token", "create", "-o", "json"]).field("token");
    let (id, of_token) = of_token(token.as_str().expect("a text"));
    canaries.extend(of_token);
    canaries.push(with_service_key(host.path(), &as_admin));
    let add = ["authz", "add", "--role", "sharepoint", "--sid", "S-1-5-21-77-77-77-1", "--computer"];
    as_admin(&[&add[..], &[r"LAB\host1$", "--note", NOTE]].concat()).check_code(0);

    let folder = NewDir::made();
    let key = folder.path().join("backup.key");
    let made = run(rmsc().args(["backup", "key", "-o", "json", "--to"]).arg(&key));
    let recipient = made.check_code(0).field("recipient");
    let file = folder.path().join("backup.age");
    let to = ["--recipient", recipient.as_str().expect("a text"), "--to", file.to_str().expect("a text")];
    as_admin(&[&["backup", "create"], &to[..]].concat()).check_code(0);
    host.kill();
    // A recovery puts all that is replicated into a snapshot, and keeps a copy of what was there.
    host.rmsc(&["cluster", "recover", "--force", "--yes"]).check_code(0);

    let snapshots: Vec<PathBuf> = files(&host.node.data_dir.join("snapshots"));
    let [snapshot] = snapshots.as_slice() else { panic!("{snapshots:?}") };
    let snapshot = fs::read(snapshot).expect("a file of the test's own");
    let backup = fs::read(&file).expect("a file of the test's own");
    let decrypted = stored::decrypted(&file, &key);
    // The key of the backup is the key to everything: the data key is in it, so that the secrets can be opened
    // again. It is in nothing else.
    assert!(data_key.is_in(&decrypted), "the search does not find what is there");
    check_shows_none(&canaries, &"the decrypted backup", &decrypted);
    canaries.push(data_key);
    for file in files(&host.node.data_dir) {
        check_shows_none(&canaries, &file.display(), &fs::read(&file).expect("a file of the test's own"));
    }
    check_shows_none(&canaries, &"the backup", &backup);
    assert!(!has(&backup, NOTE.as_bytes()), "the backup is not encrypted");
    for (what, snapshot) in
        [("the snapshot", snapshot.as_slice()), ("the one in the backup", stored::snapshot_of(&decrypted))]
    {
        let rows = stored::unpacked(snapshot);
        check_shows_none(&canaries, &what, &rows);
        // What is no secret is found, and the sealed ones are there: the search looks where they are.
        for wanted in [NOTE.as_bytes(), b"authority-key", &id.0, SERVICE.as_bytes()] {
            assert!(has(&rows, wanted), "{what} lacks {}", String::from_utf8_lossy(wanted));
        }
    }
}

/// Gives the cluster a Kerberos key.
#[track_caller]
fn with_service_key(folder: &Path, as_admin: &dyn Fn(&[&str]) -> Ran) -> Canary {
    let (key, file) = (rand::random::<[u8; 32]>(), folder.join("canary.keytab"));
    let (spn, realm) = SERVICE.split_once('@').expect("it has a realm");
    fs::write(&file, keytab::file(&[keytab::entry(spn, realm, 7, 18, &key)])).expect("a folder of the test");
    let path = file.to_str().expect("a path of the test is a text");
    // It is not of the service name, which is remarked.
    as_admin(&["kerberos", "import", path]).check_code(3);
    let shown = as_admin(&["kerberos", "show"]);
    assert!(shown.check_code(0).stdout.contains(SERVICE), "{shown:?}");
    fs::remove_file(file).expect("it is there");
    Canary::new("a Kerberos key", &key)
}

const SERVICE: &str = "HTTP/canary.lab.test@LAB.TEST";
/// Like a secret, and none.
const NOTE: &str = "canary-of-a-note-5e1d70b3";

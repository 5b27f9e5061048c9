//! Files of accounts, good and bad.

use super::*;
use crate::directory::Directory;
use crate::identity::ntlm_client::{Credentials, Nonces, NtlmClient, Server};
use crate::identity::{ChannelBindingPolicy, Handshake, Leg, Scheme, Settings, Step, nt_hash, testing};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("rmsc-accounts-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("accounts.toml")
    }

    fn write(&self, text: &str, mode: u32) -> PathBuf {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), Permissions::from_mode(mode)).unwrap();
        self.file()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(text: &str) -> Result<Directory, OpenError> {
    Directory::open_local(&Folder::new().write(text, 0o600))
}

const HASH: &str = "a4f49c406510bdcab6824ee7c30fd852"; // of "Password"

fn good() -> String {
    format!(
        r#"domain = "LAB"
dns_domain = "lab.test"
domain_sid = "S-1-5-21-1-2-3"

[[group]]
name = "Exchange Servers"
rid = 1101
member_of = ["Servers"]

[[group]]
name = "Servers"
sid = "S-1-5-21-1-2-3-1102"
member_of = ["Everything"]

[[group]]
name = "Everything"
rid = 1103
member_of = ["Exchange Servers"]

[[group]]
name = "Apart"
rid = 1104

[[account]]
name = "EXCH01$"
rid = 1201
kind = "computer"
nt_hash = "{HASH}"
groups = ["exchange servers"]

[[account]]
name = "alice"
rid = 1202
kind = "account"
nt_hash = "{HASH}"
"#
    )
}

/// The proof that a client of this name and password makes.
fn proof(domain: &str, user: &str, password: &str) -> NtlmProof {
    let settings = Settings::new("LAB", "NODE1", "lab.test", ChannelBindingPolicy::Allow).unwrap();
    let mut handshake = Handshake::new(Arc::new(settings), None);
    let client = NtlmClient::new(Credentials {
        domain: domain.into(),
        user: user.into(),
        nt_hash: nt_hash(password),
        workstation: "PC1".into(),
    });
    let leg = Leg { challenge: [1; 8], random: [2; 52], now: SystemTime::UNIX_EPOCH };
    let Ok(Step::Continue { token }) = handshake.step(Scheme::Ntlm, client.negotiate(), leg) else {
        panic!("no challenge");
    };
    let nonces = Nonces { client_challenge: [2; 8], session_key: Secret::new([3; 16]) };
    let message = client.authenticate(&token, &nonces, Server::default()).unwrap();
    let Ok(Step::Verify(attempt)) = handshake.step(Scheme::Ntlm, &message, leg) else {
        panic!("no proof");
    };
    attempt.proof().clone()
}

#[tokio::test]
async fn proves_an_account_under_every_name_it_has() {
    let directory = open(&good()).unwrap();
    for (domain, user) in [
        ("LAB", "EXCH01$"),
        ("lab", "exch01$"),
        ("lab.test", "EXCH01$"),
        ("", "EXCH01$"),
        ("", "exch01$@LAB.test"),
        ("", "exch01$@lab"),
    ] {
        let account = directory.verify_ntlm(&proof(domain, user, "Password")).await.unwrap().account;
        // The name and the SID are the file's, whatever the client wrote.
        assert_eq!(account.name.to_string(), "LAB\\EXCH01$");
        assert_eq!(account.sid.to_string(), "S-1-5-21-1-2-3-1201");
    }
}

#[tokio::test]
async fn refuses_wrong_passwords_and_unknown_accounts() {
    let directory = open(&good()).unwrap();
    let wrong = directory.verify_ntlm(&proof("LAB", "EXCH01$", "password")).await.unwrap_err();
    assert!(matches!(wrong, VerifyError::WrongPassword { .. }));
    for (domain, user) in [
        ("LAB", "EXCH02$"),
        ("OTHER", "EXCH01$"),
        ("LAB", "EXCH01$@lab.test"),
        ("", "EXCH01$@other"),
        ("", "EXCH01"),
        ("LAB", "Exchange Servers"),
        ("LAB", "S-1-5-21-1-2-3-1201"),
        ("NODE1", "alice"),
    ] {
        let unknown = directory.verify_ntlm(&proof(domain, user, "Password")).await.unwrap_err();
        assert!(matches!(unknown, VerifyError::UnknownAccount { .. }), "{domain} {user}");
    }
}

/// The check against nobody's hash is only for the time it takes.
#[test]
fn nobody_cannot_log_on_with_the_hash_of_nobody() {
    let directory = LocalDirectory::open(&Folder::new().write(&good(), 0o600)).unwrap();
    let mut proof = proof("LAB", "stranger", "");
    testing::prove(&directory.nobody, &mut proof);
    assert!(verify(&directory.nobody, &proof).is_some());
    assert!(matches!(directory.verify(&proof), Err(VerifyError::UnknownAccount { .. })));
}

#[tokio::test]
async fn follows_nested_groups_and_circles_once() {
    let directory = open(&good()).unwrap();
    let groups = async |name: &str| -> Vec<String> {
        let found = directory.find(name).await.unwrap().unwrap();
        found.account.groups.iter().map(Sid::to_string).collect()
    };
    let rids =
        |rids: &[u32]| -> Vec<String> { rids.iter().map(|rid| format!("S-1-5-21-1-2-3-{rid}")).collect() };
    assert_eq!(groups("EXCH01$").await, rids(&[1101, 1102, 1103]));
    assert_eq!(groups("Servers").await, rids(&[1101, 1103]));
    assert!(groups("alice").await.is_empty());
    let account = directory.verify_ntlm(&proof("", "EXCH01$", "Password")).await.unwrap().account;
    assert_eq!(account.groups.iter().map(Sid::to_string).collect::<Vec<_>>(), rids(&[1101, 1102, 1103]));
}

#[tokio::test]
async fn finds_by_name_and_by_sid() {
    let directory = open(&good()).unwrap();
    for (text, kind) in [
        ("LAB\\exch01$", Kind::Computer),
        ("exch01$", Kind::Computer),
        ("exch01$@lab.test", Kind::Computer),
        ("S-1-5-21-1-2-3-1201", Kind::Computer),
        ("lab\\alice", Kind::Account),
        ("Exchange Servers", Kind::Group),
        ("S-1-5-21-1-2-3-1102", Kind::Group),
    ] {
        assert_eq!(directory.find(text).await.unwrap().map(|found| found.what.kind()), Some(kind), "{text}");
    }
    for text in ["LAB\\nobody", "OTHER\\alice", "alice@other", "S-1-5-21-1-2-3-9"] {
        assert_eq!(directory.find(text).await.unwrap(), None, "{text}");
    }
    for text in ["", "LAB\\", "a\nb", "LAB\\a\\b", "L/AB\\alice"] {
        assert!(directory.find(text).await.is_err(), "{text:?}");
    }
}

/// Replaces a text of the good file, and wants these words in the error.
fn check(from: &str, to: &str, wanted: &[&str]) {
    let text = good();
    assert!(text.contains(from), "{from}");
    let error = open(&text.replacen(from, to, 1)).unwrap_err().to_string();
    for words in wanted.iter().chain(&["accounts.toml"]) {
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
    for secret in [HASH, &HASH[..30], "0123456789abcdef"] {
        assert!(!error.contains(secret), "a hash is in: {error}");
    }
}

#[test]
fn names_the_file_the_key_and_the_value() {
    check("dns_domain", "dns_domian", &["line 2", "dns_domian"]);
    check(
        "kind = \"computer\"",
        "kind = \"robot\"",
        &["EXCH01$", "kind", "robot", "write account or computer"],
    );
    check("kind = \"computer\"", "kind = \"account\"", &["EXCH01$", "ends in $"]);
    check("kind = \"computer\"\n", "kind = \"computer\"\nrole = 1\n", &["role"]);
    check("S-1-5-21-1-2-3\"", "S-1-5-21-x\"", &["domain_sid", "S-1-5-21-x"]);
    check("\"S-1-5-21-1-2-3-1102\"", "\"S-1-5\"", &["Servers", "sid", "S-1-5", "not a SID"]);
    check("rid = 1202", "rid = 1201", &["alice", "S-1-5-21-1-2-3-1201", "two accounts"]);
    check("rid = 1202", "rid = 1104", &["alice", "S-1-5-21-1-2-3-1104", "two accounts"]);
    check("rid = 1202", "rid = 501", &["alice", "S-1-5-21-1-2-3-501", "guest"]);
    check("rid = 1202", "rid = -1", &["line"]);
    check("rid = 1202", "sid = \"S-1-5-7\"", &["alice", "S-1-5-7", "anonymous"]);
    check("rid = 1202", "sid = \"S-1-5-21-1-2-4-1202\"", &["alice", "domain_sid and a rid"]);
    check("rid = 1202", "rid = 1202\nsid = \"S-1-5-21-1-2-3-1202\"", &["alice", "not both"]);
    check("rid = 1202\n", "", &["alice", "write sid or rid"]);
    check("\"alice\"", "\"SERVERS\"", &["SERVERS", "this name"]);
    check("\"alice\"", "\"a/b\"", &["account.name", "a/b"]);
    check("\"alice\"", "\"a@b\"", &["account.name", "a@b"]);
    check("\"alice\"", "\"S-1-5-7\"", &["account.name", "S-1-5-7"]);
    check("\"exchange servers\"", "\"Nowhere\"", &["EXCH01$", "groups", "Nowhere"]);
    check("\"exchange servers\"", "\"alice\"", &["EXCH01$", "groups", "alice"]);
    check("[\"Servers\"]", "[\"Nowhere\"]", &["Exchange Servers", "member_of", "Nowhere"]);
    check("domain = \"LAB\"", "domain = \"L/AB\"", &["domain", "L/AB"]);
    check("domain = \"LAB\"", "domain = \"\"", &["domain"]);
}

#[test]
fn never_repeats_a_hash() {
    let quoted = format!("\"{HASH}\"");
    check(&quoted, "\"0123456789abcdef\"", &["EXCH01$", "nt_hash", "16 characters", "32 hexadecimal"]);
    check(&quoted, &format!("\"{HASH}0\""), &["nt_hash", "33 characters"]);
    check(&quoted, &format!("\"{}g\"", &HASH[..31]), &["nt_hash", "32 characters"]);
    check(&quoted, "\"00000000000000000000000000000000\"", &["nt_hash", "no password"]);
    check(&quoted, "\"31d6cfe0d16ae931b73c59d7e0c089c0\"", &["nt_hash", "no password"]);
    // Syntax errors, where a display of the whole error would show the line.
    check(&quoted, HASH, &["line"]);
    check(&quoted, &format!("\"{HASH}"), &["line"]);
    check(&quoted, &format!("[\"{HASH}\"]"), &["line", "in quotes"]);
    check(&quoted, "123456789012345678", &["line", "in quotes"]);
    let error = open(&good().replace(&quoted, "123456789012345678")).unwrap_err().to_string();
    assert!(!error.contains("123456789012345678"), "{error}");
}

#[test]
fn refuses_a_file_that_others_can_read() {
    for mode in [0o644, 0o640, 0o604, 0o660, 0o700, 0o400] {
        let folder = Folder::new();
        let error = Directory::open_local(&folder.write(&good(), mode)).unwrap_err().to_string();
        let command = format!("chmod 0600 {}", folder.file().display());
        assert!(error.contains(&command) && error.contains(&format!("{mode:04o}")), "{error}");
    }
}

#[test]
fn refuses_what_is_no_file() {
    let folder = Folder::new();
    assert!(matches!(Directory::open_local(&folder.file()), Err(OpenError::Read { .. })));
    assert!(matches!(Directory::open_local(&folder.0), Err(OpenError::NotAccounts { .. })));
}

fn new_directory() -> NewDirectory {
    NewDirectory {
        domain: "LAB".into(),
        dns_domain: Some("lab.test".into()),
        domain_sid: "S-1-5-21-7-8-9".parse().unwrap(),
        groups: vec![NewGroup { name: "Exchange Servers".into(), member_of: Vec::new() }],
        accounts: vec![NewAccount {
            name: "EXCH01$".into(),
            kind: Kind::Computer,
            password: Secret::new("Passw0rd.1".into()),
            groups: vec!["Exchange Servers".into()],
        }],
    }
}

#[tokio::test]
async fn reads_what_it_writes_and_nobody_else_can() {
    let folder = Folder::new();
    write(&folder.file(), &new_directory()).unwrap();
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!fs::read_to_string(folder.file()).unwrap().contains("Passw0rd"));
    let directory = Directory::open_local(&folder.file()).unwrap();
    let account = directory.verify_ntlm(&proof("LAB", "exch01$", "Passw0rd.1")).await.unwrap().account;
    assert_eq!(account.sid.to_string(), "S-1-5-21-7-8-9-1102");
    assert_eq!(account.groups.iter().map(Sid::to_string).collect::<Vec<_>>(), ["S-1-5-21-7-8-9-1101"]);
}

#[test]
fn leaves_an_existing_file_alone() {
    let folder = Folder::new();
    fs::write(folder.file(), "mine").unwrap();
    assert!(matches!(write(&folder.file(), &new_directory()), Err(WriteError::Write { .. })));
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), "mine");
}

#[test]
fn prints_no_hash() {
    let directory = open(&good()).unwrap();
    assert!(!format!("{directory:?}").contains(HASH));
}

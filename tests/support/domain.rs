//! An Active Directory domain for the tests: a Samba domain controller, made from nothing by a script.

use super::cluster::NewDir;
use super::program::{Ran, manifest_dir, python, run};
use super::shared::Shared;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A domain that serves tickets as long as this value lives.
pub struct Domain {
    process: Child,
    // The script makes and removes it; it stays if a test failed before the script came to that.
    dir: NewDir,
    tickets: NewDir,
    address: String,
}

/// Tickets of one account: a cache that programs find by their environment.
pub struct Tickets<'a> {
    domain: &'a Domain,
    cache: PathBuf,
}

static SHARED: Shared<Domain> = Shared::new();

impl Domain {
    /// The one that tests share; it stops when the last of them ends.
    #[track_caller]
    pub fn shared() -> Arc<Self> {
        SHARED.get_or_make(Self::start)
    }

    /// One of a test's own, which it may change and stop.
    #[track_caller]
    pub fn alone() -> Self {
        Self::start()
    }

    #[track_caller]
    fn start() -> Self {
        let dir = NewDir::new();
        // Loopback has sixteen million addresses: runs beside each other do not meet.
        let [a, b, c] = rand::random::<[u8; 3]>();
        let address = format!("127.{}.{b}.{}", 64 + a % 128, 1 + c % 250);
        let mut process = Command::new(manifest_dir().join("src/lab/domain/controller"))
            .arg(dir.path())
            .arg(&address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script can be run");
        let mut said = String::new();
        let stdout = process.stdout.as_mut().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a pipe can be read");
        if said.trim() != "ready" {
            let mut reason = String::new();
            let _ = process.stderr.as_mut().expect("it is a pipe").read_to_string(&mut reason);
            panic!("no domain for the tests: {reason}(tests/run installs what it needs)");
        }
        Domain { process, dir, tickets: NewDir::made(), address }
    }

    /// A section of a node file: the domain, asked at these controllers.
    pub fn section(&self, controllers: &[&str], group_cache: &str) -> String {
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        format!(
            "[directory]\ndomain = \"CONTOSO\"\ncontrollers = {controllers:?}\nauthority = {:?}\n\
             user = \"svc-other@contoso.test\"\npassword_file = {:?}\ngroup_cache = {group_cache:?}\n\
             distribution_groups_every = \"1s\"\n\n",
            file("ldap-ca.pem"),
            file("ldap.password"),
        )
    }

    /// The controller by TLS, and by StartTLS.
    pub fn controller(&self) -> [String; 2] {
        ["ldaps", "ldap"].map(|scheme| format!("{scheme}://{}", self.address))
    }

    /// Where the files of the domain are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Changes the domain.
    #[track_caller]
    pub fn tool(&self, arguments: &[&str]) {
        let database = self.dir.path().join("made/private/sam.ldb");
        let mut command = Command::new("samba-tool");
        command.args(arguments).arg("-H").arg(database).arg("-s").arg(self.dir.path().join("smb.conf"));
        run(&mut command).check_code(0);
    }

    /// Stops the controller, or starts it again.
    #[track_caller]
    pub fn order(&mut self, order: &str) {
        let input = self.process.stdin.as_mut().expect("it is a pipe");
        writeln!(input, "{order}").expect("the script reads orders");
        let mut said = String::new();
        let output = self.process.stdout.as_mut().expect("it is a pipe");
        // It says nothing else, so nothing is lost with the reader.
        BufReader::new(output).read_line(&mut said).expect("a pipe can be read");
        assert_eq!(said.trim(), order, "the controller did not {order}");
    }

    /// The helper that asks this domain's winbind.
    pub fn ntlm_auth(&self) -> PathBuf {
        self.dir.path().join("ntlm_auth")
    }

    /// The connector's keys.
    pub fn keytab(&self) -> PathBuf {
        self.dir.path().join("rmsc.keytab")
    }

    /// The keys that an account has with a password, under one of its names: made without asking the domain, as
    /// ktutil and ktpass do it.
    #[track_caller]
    pub fn keytab_of(&self, account: &str, spn: &str, password: &str, version: u32) -> PathBuf {
        let file =
            self.tickets.path().join(format!("{account}-{version}-{:08x}.keytab", rand::random::<u32>()));
        let path = file.to_str().expect("a path of the test is a text");
        let salt = format!("CONTOSO.TEST{account}");
        let arguments = [path, spn, "CONTOSO.TEST", &version.to_string(), password, &salt];
        python::<bool>("keytab_of.py", &arguments);
        file
    }

    /// Sets a password: the account's keys get the next version.
    #[track_caller]
    pub fn set_password(&self, account: &str, password: &str) {
        let new = format!("--newpassword={password}");
        let settings = self.dir.path().join("smb.conf");
        let arguments = ["user", "setpassword", account, &new, "-s"];
        run(Command::new("samba-tool").args(arguments).arg(settings)).check_code(0);
    }

    /// The SID of an account or a group.
    #[track_caller]
    pub fn sid(&self, name: &str) -> String {
        let text = fs::read_to_string(self.dir.path().join("sids.json")).expect("the script wrote it");
        let mut sids: BTreeMap<String, String> = serde_json::from_str(&text).expect("it is JSON");
        sids.remove(name).unwrap_or_else(|| panic!("no {name} in the domain"))
    }

    /// Tickets that were got before.
    pub fn tickets(&self, cache: &Path) -> Tickets<'_> {
        Tickets { domain: self, cache: cache.to_owned() }
    }

    /// Gets an account's first ticket.
    #[track_caller]
    pub fn login(&self, account: &str) -> Tickets<'_> {
        let cache = self.tickets.path().join(format!("{:016x}", rand::random::<u64>()));
        let tickets = Tickets { domain: self, cache };
        let mut kinit = tickets
            .command("kinit")
            .arg(account)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("kinit is installed: the script has asked for it");
        let input = kinit.stdin.as_mut().expect("it is a pipe");
        writeln!(input, "{PASSWORD}").expect("kinit reads a password");
        assert!(kinit.wait().expect("a child can be waited for").success(), "no ticket for {account}");
        tickets
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // The script ends the controller when its input is closed.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Tickets<'_> {
    /// Their file: [`Domain::tickets`] finds them again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// A program that finds the tickets.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("KRB5_CONFIG", self.domain.dir.path().join("krb5.conf"))
            .env("KRB5CCNAME", &self.cache)
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .env("no_proxy", "*");
        command
    }

    /// The version of the key that the ticket for a service is made with; asks for one if there is none.
    #[track_caller]
    pub fn version(&self, spn: &str) -> u32 {
        let ran = run(self.command("kvno").arg(spn));
        let version =
            ran.check_code(0).stdout.trim().rsplit_once("kvno = ").and_then(|(_, it)| it.parse().ok());
        version.unwrap_or_else(|| panic!("no version: {ran:?}"))
    }

    /// What klist says about them.
    pub fn listed(&self) -> Ran {
        run(self.command("klist").arg("-e"))
    }
}

/// Of every account of the domain.
pub const PASSWORD: &str = "Passw0rd.1";

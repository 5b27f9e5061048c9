//! kinit and kvno, which get a ticket for the service.

use super::{AccountConfig, AccountError, PASSWORD_FILE, Proof};
use crate::identity::kerberos_client::ServiceTicket;
use crate::secret::{Secret, check_private, read_password};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The programs, for one account.
pub(super) struct Programs<'a> {
    pub(super) config: &'a AccountConfig,
}

impl Programs<'_> {
    /// A ticket is on disk only as long as it takes to read it.
    pub(super) async fn get_ticket(&self) -> Result<ServiceTicket, AccountError> {
        let folder = Folder::make()?;
        let cache = folder.0.join("cache").display().to_string();
        let service = &self.config.service;
        let principal = self.principal();
        match &self.config.proof {
            Proof::Password(file) => {
                let password = read_password(PASSWORD_FILE, file)?;
                let input = Secret::new(format!("{}\n", password.expose()));
                self.run(&folder, "kinit", &["-c", &cache, &principal], &input).await?;
            }
            Proof::Keytab(file) => {
                // kinit takes one that everybody reads.
                check_private(KEYTAB, file)?;
                let file = file.display().to_string();
                let arguments = ["-c", &cache, "-k", "-t", &file, &principal];
                self.run(&folder, "kinit", &arguments, &Secret::new(String::new())).await?;
            }
        }
        self.run(&folder, "kvno", &["-q", "-c", &cache, service], &Secret::new(String::new())).await?;
        let bytes = fs::read(&cache).map_err(|source| AccountError::Folder { path: cache.into(), source })?;
        Ok(ServiceTicket::of_cache(&Secret::new(bytes).expose()[..], service)?)
    }

    /// The account as Kerberos calls it.
    fn principal(&self) -> String {
        let name = self.config.name.rsplit('\\').next().unwrap_or_default();
        match &self.config.realm {
            Some(realm) => format!("{}@{realm}", name.split('@').next().unwrap_or_default()),
            None => name.to_owned(),
        }
    }

    async fn run(
        &self,
        folder: &Folder,
        program: &'static str,
        arguments: &[&str],
        input: &Secret<String>,
    ) -> Result<(), AccountError> {
        let failed = |source| AccountError::Program { program, source };
        let no_ticket = |said: String| AccountError::NoTicket { service: self.config.service.clone(), said };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(settings) = self.settings() {
            command.env("KRB5_CONFIG", folder.write("krb5.conf", &settings)?);
        }
        let mut child = command.env("LC_ALL", "C").kill_on_drop(true).spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that needs no password closes its input.
            let _ = stdin.write_all(input.expose().as_bytes()).await;
        }
        let ran = tokio::time::timeout(PROGRAM_TIMEOUT, child.wait_with_output())
            .await
            .map_err(|_| no_ticket(format!("{program} took longer than {PROGRAM_TIMEOUT:?}")))?
            .map_err(failed)?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        let said: String =
            said.trim().chars().filter(|char| !char.is_control()).take(SAID_CHARS_MAX).collect();
        Err(if is_refusal(&said) { AccountError::Refused { said } } else { no_ticket(said) })
    }

    /// Kerberos' own settings, where the node file says where the KDCs are.
    fn settings(&self) -> Option<String> {
        let realm = self.config.realm.as_ref().filter(|_| !self.config.kdcs.is_empty())?;
        let kdcs: String = self.config.kdcs.iter().map(|kdc| format!("    kdc = {kdc}\n")).collect();
        Some(format!(
            "[libdefaults]\n  default_realm = {realm}\n  dns_lookup_kdc = false\n  rdns = false\n  \
             dns_canonicalize_hostname = false\n  udp_preference_limit = 1\n[realms]\n  {realm} = {{\n{kdcs}  }}\n"
        ))
    }
}

/// A folder for one ticket, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, AccountError> {
        let path = std::env::temp_dir().join(format!("rmsc-ticket-{:032x}", rand::random::<u128>()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| AccountError::Folder { path: path.clone(), source })?;
        Ok(Folder(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, AccountError> {
        let path = self.0.join(name);
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|source| AccountError::Folder { path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "a ticket's folder stays");
    }
}

/// Whether a program's words mean that the KDC has refused what the account proves itself with, and has counted that.
fn is_refusal(said: &str) -> bool {
    REFUSALS.iter().any(|words| said.contains(words))
}

/// What MIT's programs say then, in English.
const REFUSALS: [&str; 4] = [
    "Password incorrect",
    "Preauthentication failed",
    "credentials have been revoked",
    "Password has expired",
];
const KEYTAB: &str = "the upstream account's keytab";
/// A KDC answers within a second.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(8);
const SAID_CHARS_MAX: usize = 300;

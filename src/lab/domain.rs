//! The lab's Active Directory domain: a Samba domain controller, made from nothing by a script that the tests use
//! as well, and the tickets of the sample accounts.

use super::files::{make_private_folder, write_private};
use crate::identity::kerberos_client::ServiceTicket;
use crate::secret::Secret;
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Where the domain is, before it runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: PathBuf,
    address: Ipv4Addr,
}

/// A domain that runs as long as this value lives.
pub(super) struct Domain {
    place: Place,
    controller: Mutex<Child>,
    tickets: Mutex<BTreeMap<String, Got>>,
}

/// A ticket, and when it was got.
struct Got {
    ticket: Arc<ServiceTicket>,
    at: Instant,
}

impl Place {
    /// In a folder of the lab.
    pub(super) fn new(folder: PathBuf) -> Self {
        // Loopback has sixteen million addresses: labs beside each other do not meet.
        let [a, b, c] = rand::random::<[u8; 3]>();
        Place { folder, address: Ipv4Addr::new(127, 64 + a % 128, b, 1 + c % 250) }
    }

    /// The settings of Kerberos' programs: kinit, curl.
    pub(super) fn krb5_conf(&self) -> PathBuf {
        self.state().join("krb5.conf")
    }

    /// The first ticket of an account: `kinit` of the account writes it there.
    pub(super) fn cache(&self, account: &str) -> PathBuf {
        let name = account.rsplit('\\').next().unwrap_or(account);
        self.folder.join(format!("{}.ccache", name.trim_end_matches('$')))
    }

    /// The node file's section: the controller, and who asks it.
    pub(super) fn section(&self) -> String {
        let file = |name: &str| format!("{:?}", self.state().join(name).display().to_string());
        format!(
            "[directory]\ndomain = \"{DOMAIN}\"\ncontrollers = [\"ldaps://{}\"]\nauthority = {}\n\
             user = \"svc-other@contoso.test\"\npassword_file = {}\ngroup_cache = \"1s\"\n\n",
            self.address,
            file("ldap-ca.pem"),
            file("ldap.password"),
        )
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }
}

impl Domain {
    /// Makes the domain and waits until tickets can be had.
    ///
    /// # Errors
    /// What the script says: a package that is not there, with the command that installs it; who may run it.
    pub(super) async fn start(place: Place) -> anyhow::Result<Self> {
        make_private_folder(&place.folder)?;
        let script = place.folder.join("controller");
        write_private(&script, CONTROLLER)?;
        write_private(&place.folder.join("accounts.py"), ACCOUNTS)?;
        let mut controller = Command::new("bash")
            .arg(&script)
            .arg(place.state())
            .arg(place.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the lab, which ends the domain after the nodes; the script ends with its input.
            .process_group(0)
            .spawn()
            .context("cannot start bash, which makes the domain")?;
        let output = controller.stdout.take().context("the script has an output")?;
        let mut said = String::new();
        timeout(START_TIMEOUT, BufReader::new(output).read_line(&mut said))
            .await
            .with_context(|| format!("the domain was not ready within {START_TIMEOUT:?}"))??;
        if said.trim() != "ready" {
            let mut why = String::new();
            if let Some(mut errors) = controller.stderr.take() {
                errors.read_to_string(&mut why).await?;
            }
            bail!("no domain for the lab: {}", why.trim().trim_start_matches("error: "));
        }
        let (controller, tickets) = (Mutex::new(controller), Mutex::default());
        Ok(Domain { place, controller, tickets })
    }

    /// The keys of the connector's services.
    pub(super) fn keytab(&self) -> anyhow::Result<Vec<u8>> {
        let file = self.place.state().join("rmsc.keytab");
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// A ticket of an account for the service: got again long before it ends.
    pub(super) async fn ticket(
        &self,
        account: &str,
        password: &Secret<String>,
    ) -> anyhow::Result<Arc<ServiceTicket>> {
        // One at a time: who waits finds what the one before has got.
        let mut tickets = self.tickets.lock().await;
        if let Some(got) = tickets.get(account).filter(|got| got.at.elapsed() < TICKET_KEPT) {
            return Ok(got.ticket.clone());
        }
        let cache = self.place.cache(account);
        let name = account.rsplit('\\').next().unwrap_or(account);
        let file = cache.display().to_string();
        self.call("kinit", &["-c", &file, name], &format!("{}\n", password.expose())).await?;
        let service = format!("HTTP/{SERVICE_NAME}");
        self.call("kvno", &["-q", "-c", &file, &service], "").await?;
        let bytes = fs::read(&cache).with_context(|| format!("cannot read {}", cache.display()))?;
        let ticket = Arc::new(ServiceTicket::of_cache(&bytes, &service)?);
        tickets.insert(account.to_owned(), Got { ticket: ticket.clone(), at: Instant::now() });
        Ok(ticket)
    }

    /// Ends the controller and removes what it kept.
    pub(super) async fn stop(&self) {
        let mut controller = self.controller.lock().await;
        drop(controller.stdin.take());
        if timeout(STOP_TIMEOUT, controller.wait()).await.is_err() {
            let _ = controller.kill().await;
        }
    }

    /// Runs a program of Kerberos.
    async fn call(&self, program: &str, arguments: &[&str], input: &str) -> anyhow::Result<()> {
        let mut child = Command::new(program)
            .args(arguments)
            .env("KRB5_CONFIG", self.place.krb5_conf())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program}; install krb5-user"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let ran = timeout(CALL_TIMEOUT, child.wait_with_output())
            .await
            .with_context(|| format!("{program} took longer than {CALL_TIMEOUT:?}"))??;
        if !ran.status.success() {
            bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim());
        }
        Ok(())
    }
}

/// The name of the service in the domain: the script makes its keys.
pub(super) const SERVICE_NAME: &str = "rms.contoso.test";
/// The domain's short name.
pub(super) const DOMAIN: &str = "CONTOSO";
/// Of every account of the domain, which lives as long as the lab.
pub(super) const PASSWORD: &str = "Passw0rd.1";
const CONTROLLER: &str = include_str!("domain/controller");
const ACCOUNTS: &str = include_str!("domain/accounts.py");
/// A quiet machine needs five seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Tickets of the domain live ten hours.
const TICKET_KEPT: Duration = Duration::from_secs(3600);

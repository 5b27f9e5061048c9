//! Where everything of a lab is: ports, certificates, accounts, node files, and `lab.json`.

mod welcome;

use super::Options;
use super::accounts::{self, SampleAccount};
use super::domain::{self, Place};
use super::files::{make_private_folder, write_issued, write_private};
use super::ports::Ports;
use crate::control::Context;
use crate::directory::local::{self, NewAccount, NewDirectory};
use crate::enrolment::{self, Host};
use crate::principal::Sid;
use crate::seal;
use crate::tls::Authority;
use anyhow::{Context as _, bail};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// A lab's folder and what is in it.
pub(super) struct Layout {
    dir: PathBuf,
    temporary: bool,
    simulator: SocketAddr,
    _ports: Ports,
    nodes: Vec<NodeLayout>,
    accounts: Vec<SampleAccount>,
    /// With it the accounts are those of an Active Directory domain.
    domain: Option<Place>,
    certificate_life: Duration,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct NodeLayout {
    pub(super) name: String,
    pub(super) https: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) ops: SocketAddr,
    pub(super) peer: SocketAddr,
    folder: PathBuf,
}

impl NodeLayout {
    pub(super) fn config_file(&self) -> PathBuf {
        self.folder.join("rmsc.toml")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    /// As this node founds a cluster or joins one.
    pub(super) fn host(&self) -> Host {
        Host {
            data_dir: self.data_dir(),
            seal: seal::Config { kind: seal::Kind::File, key_file: self.seal_key_file() },
            name: self.name.clone(),
            peer_address: self.peer.to_string(),
            admin_address: self.admin.to_string(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn seal_key_file(&self) -> PathBuf {
        self.folder.join("seal.key")
    }
}

impl Layout {
    /// Makes the folder and every file in it.
    pub(super) fn create(options: &Options, simulator: SocketAddr) -> anyhow::Result<Self> {
        let temporary = options.dir.is_none();
        let dir = folder(options.dir.as_deref())?;
        let mut ports = Ports::take()?;
        let nodes = nodes(&dir, options.nodes, &mut ports)?;
        let certificate_life = options.certificate_life;
        let domain = options.domain.then(|| Place::new(dir.join("domain")));
        let accounts = if options.domain { accounts::of_domain() } else { accounts::local() };
        let layout =
            Layout { dir, temporary, simulator, _ports: ports, nodes, accounts, domain, certificate_life };
        layout.write()?;
        Ok(layout)
    }

    pub(super) fn nodes(&self) -> &[NodeLayout] {
        &self.nodes
    }

    pub(super) fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    pub(super) fn names(&self) -> String {
        self.node_names().join(" ")
    }

    pub(super) fn accounts(&self) -> &[SampleAccount] {
        &self.accounts
    }

    pub(super) fn domain(&self) -> Option<&Place> {
        self.domain.as_ref()
    }

    /// The name that the fronts are called by and certified for.
    pub(super) fn service_name(&self) -> &'static str {
        if self.domain.is_some() { domain::SERVICE_NAME } else { SERVICE_NAME }
    }

    pub(super) fn simulator_url(&self) -> String {
        format!("http://{}", self.simulator)
    }

    pub(super) fn context_file(&self) -> PathBuf {
        self.dir.join("context.toml")
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    /// The certificate authority of the fronts.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// What programs read: where everything is, and which processes live.
    pub(super) fn write_lab(&self, pids: &BTreeMap<String, Option<u32>>) -> anyhow::Result<()> {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let pid = pids.get(&node.name).copied().flatten();
                json!({
                    "name": node.name, "pid": pid, "state": if pid.is_some() { "up" } else { "down" },
                    "http": format!("http://{}", node.http), "https": format!("https://{}", node.https),
                    "admin": node.admin.to_string(), "ops": format!("http://{}", node.ops),
                    "peer": node.peer.to_string(), "data_dir": node.data_dir(),
                    "config": node.config_file(), "log": node.log_file(),
                })
            })
            .collect();
        let accounts: Vec<_> = self
            .accounts
            .iter()
            .map(|account| {
                json!({
                    "name": account.name, "password": account.password.expose(),
                    "role": account.role.map(accounts::role_word), "authorized": account.role.is_some(),
                    "tickets": self.domain.as_ref().map(|domain| domain.cache(&account.name)),
                })
            })
            .collect();
        let lab = json!({
            "nodes": nodes, "simulator": self.simulator_url(), "accounts": accounts,
            "ca": self.ca_file(), "context": self.context_file(), "service_name": self.service_name(),
            "krb5_conf": self.domain.as_ref().map(Place::krb5_conf),
        });
        // Written beside and renamed: a reader never sees half of it.
        let (file, new) = (self.dir.join(LAB_FILE), self.dir.join("lab.json.new"));
        write_private(&new, &format!("{lab:#}\n"))?;
        fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The ends of the nodes' logs.
    pub(super) fn last_log_lines(&self) -> String {
        let tail = |node: &NodeLayout| {
            let text = fs::read_to_string(node.log_file()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines
                .iter()
                .skip(lines.len().saturating_sub(5))
                .map(|line| format!("  {}: {line}\n", node.name))
                .collect()
        };
        self.nodes.iter().map(tail).collect::<Vec<String>>().concat()
    }

    fn remove_if_temporary(&self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(%error, "cannot remove the lab's folder");
        }
    }

    fn write(&self) -> anyhow::Result<()> {
        let now = OffsetDateTime::now_utc();
        let fronts = Authority::new("rmsc lab front CA", now)?;
        write_private(&self.ca_file(), fronts.certificate_pem())?;
        if self.domain.is_none() {
            self.write_accounts()?;
        }
        write_private(&self.sample_file(), welcome::SAMPLE_REQUEST)?;
        for node in &self.nodes {
            make_private_folder(&node.folder)?;
            let names = [self.service_name().to_owned(), "localhost".into(), "127.0.0.1".into()];
            let mut front = fronts.issue_server(&names, now)?;
            front.certificate_pem.push_str(fronts.certificate_pem());
            write_issued(&node.folder.join("front.pem"), &node.folder.join("front.key"), &front)?;
            write_private(&node.config_file(), &self.config(node))?;
        }
        Ok(())
    }

    /// The first node's cluster, as `rmsc init` founds it, and the context of its administrator.
    pub(super) fn found(&self) -> anyhow::Result<()> {
        let first = self.nodes.first().context("a lab has a node")?;
        let founding =
            enrolment::init(&first.host(), "lab", OffsetDateTime::now_utc(), self.certificate_life)?;
        let endpoints = self.nodes.iter().map(|node| node.admin.to_string()).collect();
        Context::write(&self.dir, (&founding.administrator).into(), endpoints)?;
        Ok(founding.commit()?)
    }

    fn write_accounts(&self) -> anyhow::Result<()> {
        let domain_sid = Sid::new(5, &[21, rand::random(), rand::random(), rand::random()])
            .context("a domain's SID has four parts")?;
        let accounts = self
            .accounts
            .iter()
            .map(|account| NewAccount {
                name: account.name.trim_start_matches("LAB\\").to_owned(),
                kind: account.kind,
                password: account.password.clone(),
                groups: Vec::new(),
            })
            .collect();
        let directory =
            NewDirectory { domain: "LAB".into(), dns_domain: None, domain_sid, groups: Vec::new(), accounts };
        local::write(&self.accounts_file(), &directory)?;
        Ok(())
    }

    /// A request to try with curl.
    fn sample_file(&self) -> PathBuf {
        self.dir.join("request.xml")
    }

    fn accounts_file(&self) -> PathBuf {
        self.dir.join("accounts.toml")
    }

    /// Accounts of a file, which prove themselves with NTLM alone; and curl binds nothing.
    fn local_accounts(&self) -> String {
        format!(
            "accounts_file = {:?}\n# Not for a real cluster: `rmsc status` warns of it.\nntlm.exchange = \"on\"\n",
            self.accounts_file().display().to_string()
        )
    }

    fn config(&self, node: &NodeLayout) -> String {
        let text = |path: &Path| format!("{:?}", path.display().to_string());
        let (accounts, directory) = match &self.domain {
            // The keys come from the cluster.
            Some(domain) => (String::new(), domain.section()),
            None => (self.local_accounts(), String::new()),
        };
        format!(
            "# A node of the lab. Check with: rmsc config check --config THIS\n\
             [node]\nname = \"{}\"\nsite = \"lab\"\ndata_dir = {}\ncertificate_life = \"{}s\"\n\n\
             [secrets]\nseal = \"file\"\nkey_file = {}\n\n\
             [listen]\nhttps = \"{}\"\nhttp = \"{}\"\ncertificate = {}\nkey = {}\npeer = \"{}\"\nadmin = \"{}\"\n\
             ops = \"{}\"\n\n\
             [cluster]\nservice_name = \"{}\"\n\n\
             # Everybody in the lab calls from one address, and its accounts file locks nobody.\n\
             [identity.limits]\nlockout_threshold = 999\nsource_failures_max = 1000000\n\n\
             [identity]\n{accounts}target_names = [\"localhost\", \"127.0.0.1\"]\n\n{directory}\
             [upstream]\nkind = \"simulated\"\nurl = \"{}\"\n\n\
             [drain]\ndeadline = \"5s\"\n\n\
             [log]\nlevel = \"info\"\ntarget = \"stdout-json\"\n",
            node.name,
            text(&node.data_dir()),
            self.certificate_life.as_secs(),
            text(&node.seal_key_file()),
            node.https,
            node.http,
            text(&node.folder.join("front.pem")),
            text(&node.folder.join("front.key")),
            node.peer,
            node.admin,
            node.ops,
            self.service_name(),
            self.simulator_url(),
        )
    }
}

impl Drop for Layout {
    /// However the lab ends: the folder holds keys and passwords.
    fn drop(&mut self) {
        self.remove_if_temporary();
    }
}

/// Where a running lab takes requests to start a node again.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("lab.sock")
}

fn folder(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(dir) = dir else {
        let name = format!("rmsc-lab-{}", Alphanumeric.sample_string(&mut rand::rng(), 8));
        let dir = std::env::temp_dir().join(name);
        make_private_folder(&dir)?;
        return Ok(dir);
    };
    let used = fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some());
    if used {
        let lab = if dir.join(LAB_FILE).exists() {
            "a lab is or was there, which cannot be continued"
        } else {
            "it is not empty"
        };
        bail!("{}: {lab}; name a new folder, or an empty one", dir.display());
    }
    make_private_folder(dir)?;
    // Whoever owns it could put other files in it, which are run here.
    let owner = fs::metadata(dir).with_context(|| format!("cannot use {}", dir.display()))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        bail!("{} belongs to another user ({owner}); name a folder of your own", dir.display());
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot make {} private", dir.display()))?;
    dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()))
}

fn nodes(dir: &Path, count: usize, ports: &mut Ports) -> anyhow::Result<Vec<NodeLayout>> {
    let mut port = || ports.next();
    (1..=count)
        .map(|number| {
            let name = format!("node-{number}");
            let folder = dir.join(&name);
            Ok(NodeLayout {
                https: port()?,
                http: port()?,
                admin: port()?,
                ops: port()?,
                peer: port()?,
                name,
                folder,
            })
        })
        .collect()
}

/// The name that the lab's fronts are certified for.
const SERVICE_NAME: &str = "rmsconnector.lab.test";

/// Says where each thing of a lab is.
const LAB_FILE: &str = "lab.json";

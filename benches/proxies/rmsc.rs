//! rmsc before the service: a node by itself, and three nodes of which the first is called.

use super::Contestant;
use super::calls::Login;
use super::certificates::Front;
use super::processors::Processes;
use super::support::cluster::TestCluster;
use super::support::lab::Node;
use std::net::SocketAddr;

/// The nodes.
pub struct Labs {
    alone: TestCluster,
    three: TestCluster,
}

impl Labs {
    /// Starts them before this service, instead of the lab's own.
    pub fn start(service: SocketAddr) -> anyhow::Result<Self> {
        let labs = Labs { alone: TestCluster::start(1), three: TestCluster::start(3) };
        one_certificate(&labs.three)?;
        for lab in [&labs.alone, &labs.three] {
            for node in lab.nodes() {
                lab.reconfigure(&node.name, &lab.lab().simulator, &format!("http://{service}"));
                lab.reconfigure(&node.name, "[upstream]\n", &format!("[limits]\n{LIMITS}\n[upstream]\n"));
            }
            lab.await_rotation();
        }
        Ok(labs)
    }

    /// The certificate of the node by itself.
    pub fn certificate(&self) -> Front {
        let node = self.alone.any_node();
        let folder = node.config.parent().expect("a file is in a folder");
        let authorities = [&self.alone, &self.three].map(|lab| lab.lab().ca).into();
        Front { certificate: folder.join("front.pem"), key: folder.join("front.key"), authorities }
    }

    pub fn contestants(&self) -> anyhow::Result<Vec<Contestant>> {
        Ok(vec![contestant("rmsc", &self.alone), contestant("rmsc, hop", &self.three)])
    }
}

/// As nodes of one name have it; otherwise nobody could resume at another one.
fn one_certificate(lab: &TestCluster) -> anyhow::Result<()> {
    let folder = |node: &Node| node.config.parent().expect("a file is in a folder").to_owned();
    let first = folder(&lab.node("node-1"));
    for node in lab.nodes().iter().filter(|node| node.name != "node-1") {
        for file in ["front.pem", "front.key"] {
            std::fs::copy(first.join(file), folder(node).join(file))?;
        }
    }
    Ok(())
}

fn contestant(name: &'static str, lab: &TestCluster) -> Contestant {
    let (node, account) = (lab.node("node-1"), lab.account("svc-sharepoint"));
    let (domain, user) = account.parts();
    let login = Login { domain: domain.into(), user: user.into(), password: account.password.clone() };
    Contestant {
        name,
        hop: lab.nodes().len() > 1,
        clear: node.front(),
        tls: lab.nodes().iter().map(|node| super::support::lab::address(&node.https)).collect(),
        login: Some(login),
        processes: Processes::with_children(&lab.pids()),
    }
}

/// All callers have one account and mostly one address, and the others know no such limits.
const LIMITS: &str = "connections_max = 12000
connections_per_source_max = 12000
requests_max = 900
requests_per_source_max = 900
requests_per_account_max = 900
";

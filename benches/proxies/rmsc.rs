//! rmsc before the service: a node by itself, and three nodes of which the first is called.

use super::Contestant;
use super::calls::Login;
use super::certificates::Front;
use super::processors::Processes;
use super::support::cluster::TestCluster;
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
        for lab in [&labs.alone, &labs.three] {
            for node in lab.nodes() {
                lab.reconfigure(&node.name, &lab.lab().simulator, &format!("http://{service}"));
            }
            lab.await_rotation();
        }
        Ok(labs)
    }

    /// The certificate of the node by itself.
    pub fn certificate(&self) -> Front {
        let (lab, node) = (self.alone.lab(), self.alone.any_node());
        let folder = node.config.parent().expect("a file is in a folder");
        Front { certificate: folder.join("front.pem"), key: folder.join("front.key"), authority: lab.ca }
    }

    pub fn contestants(&self) -> anyhow::Result<Vec<Contestant>> {
        Ok(vec![contestant("rmsc", &self.alone), contestant("rmsc, hop", &self.three)])
    }
}

fn contestant(name: &'static str, lab: &TestCluster) -> Contestant {
    let (node, account) = (lab.node("node-1"), lab.account("svc-sharepoint"));
    let (domain, user) = account.parts();
    let login = Login { domain: domain.into(), user: user.into(), password: account.password.clone() };
    Contestant {
        name,
        hop: lab.nodes().len() > 1,
        clear: node.front(),
        tls: super::support::lab::address(&node.https),
        login: Some(login),
        processes: Processes::with_children(&lab.pids()),
    }
}

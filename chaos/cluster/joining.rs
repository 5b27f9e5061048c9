//! How a host becomes a node, step by step.

use super::{Cluster, rmsc_at};
use crate::network::Place;
use std::process::Command;

impl Cluster {
    /// A host with a node file, which is no node yet.
    pub fn prepare(&mut self, number: usize) {
        let host = self.host_of(number);
        self.hosts.push(host);
    }

    /// A new token, if there is a leader who takes it.
    pub fn token(&self) -> Option<String> {
        let made = self.rmsc(&["token", "create", "-o", "json"]);
        let made = (made.code == Some(0)).then(|| made.field("token"))?;
        made.as_str().map(ToOwned::to_owned)
    }

    /// `rmsc join` on a host, through a node.
    pub fn join(&self, number: usize, through: usize, token: &str) -> Command {
        let host = self.host(number);
        let through = self.host(through).node.peer.to_string();
        let mut join = rmsc_at(&self.network, Place::Node(number), &host.program);
        join.args(["join", &through, "--token", token, "--config"]).arg(&host.node.config);
        join
    }
}

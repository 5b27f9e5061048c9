//! What the commands that make and unmake a node have in common.

use super::output::remark;
use crate::config::Basics;
use crate::enrolment::Host;
use std::path::Path;

/// What the node file says about this host.
pub(super) fn of(config: Basics<'_>) -> Host {
    Host {
        data_dir: config.node.data_dir.clone(),
        seal: config.secrets.clone(),
        name: config.node.name.clone(),
        peer_address: config.listen.peer.to_string(),
        admin_address: config.listen.admin.to_string(),
    }
}

/// Nothing that is written from now on is for anybody else.
pub(super) fn keep_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

pub(super) fn warn_of_plain_key(path: Option<&Path>) {
    if let Some(path) = path {
        remark(&format!(
            "‼ The seal key lies in the plain file {}: who copies it and the data folder has every secret. \
             rmsc.service says how systemd keeps it instead.",
            path.display()
        ));
    }
}

/// An administrator's name.
pub(super) fn word(text: &str) -> Result<String, String> {
    let good = (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if good { Ok(text.into()) } else { Err("write 1 to 63 letters and digits".into()) }
}

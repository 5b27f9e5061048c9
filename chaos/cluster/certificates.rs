//! The certificate that callers see, where the cluster has it.

use super::{Cluster, SERVICE_NAME};
use crate::support::files;
use crate::support::program::Ran;
use std::collections::BTreeSet;
use std::fs;
use time::OffsetDateTime;

impl Cluster {
    /// Gives all nodes a new certificate for callers.
    pub fn import_certificate(&mut self) -> Ran {
        self.imported += 1;
        let front = self.fronts.issue_server(&[SERVICE_NAME.into()], OffsetDateTime::now_utc());
        let front = front.expect("the name is a good one");
        let folder = self.folder.join(IMPORTED);
        fs::create_dir_all(&folder).expect("the folder of the run can be written");
        let file = |name: &str, text: &str| {
            let name = format!("{}.{name}", self.imported);
            files::private(&folder, &name, text).display().to_string()
        };
        let certificate = file("pem", &front.certificate_pem);
        let key = file("key", front.key_pem.expose());
        let chain = self.folder.join("ca.pem").display().to_string();
        self.rmsc(&["cert", "import", &certificate, "--key", &key, "--chain", &chain])
    }

    /// The hashes of the certificates that the nodes show, each once.
    #[track_caller]
    pub fn shown_certificates(&self) -> BTreeSet<String> {
        let said = self.rmsc(&["cert", "show", "-o", "json"]).check_code(0).field("nodes");
        let hash = |node: &serde_json::Value| node.get("fingerprint").map(ToString::to_string);
        said.as_array().into_iter().flatten().map(|node| hash(node).unwrap_or_default()).collect()
    }
}

/// The folder of what was imported.
pub const IMPORTED: &str = "imported";

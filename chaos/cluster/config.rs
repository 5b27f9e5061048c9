//! The configuration file of a node.

use super::{Certificates, KEYTAB, SERVICE_NAME, Settings};
use crate::support::lab::Node;
use crate::tickets::TARGET;
use std::path::{Path, PathBuf};

/// With the folders of the node and of the run.
pub fn text(node: &Node, (folder, shared): (&Path, &Path), service: &str, settings: &Settings) -> String {
    let text = |path: PathBuf| format!("{:?}", path.display().to_string());
    let certificate_life = settings.certificate_life.as_secs();
    let certificate = match settings.certificates {
        Certificates::OfCluster => String::new(),
        Certificates::OfFiles => format!(
            "certificate = {}\nkey = {}\n",
            text(folder.join("front.pem")),
            text(folder.join("front.key"))
        ),
    };
    let kerberos = if settings.tickets {
        format!("[identity.kerberos]\nkeytab = {}\n", text(shared.join(KEYTAB)))
    } else {
        String::new()
    };
    format!(
        "[node]\nname = \"{}\"\ndata_dir = {}\ncertificate_life = \"{certificate_life}s\"\n\
         [secrets]\nseal = \"file\"\nkey_file = {}\n\
         [listen]\nhttps = \"{}\"\n{certificate}peer = \"{}\"\nadmin = \"{}\"\nops = \"{}\"\n\
         [cluster]\nservice_name = \"{SERVICE_NAME}\"\n\
         [identity]\naccounts_file = {}\ntarget_names = [\"{TARGET}\"]\n{kerberos}[identity.limits]\nlockout_threshold = 999\nsource_failures_max = 1000000\n\
         [upstream]\nkind = \"simulated\"\nurl = \"{service}\"\n\
         [drain]\ndeadline = \"5s\"\n[log]\nlevel = \"info\"\ntarget = \"stdout-json\"\n",
        node.name,
        text(node.data_dir.clone()),
        text(folder.join("seal.key")),
        node.https.trim_start_matches("https://"),
        node.peer,
        node.admin,
        node.monitor(),
        text(shared.join("accounts.toml")),
    )
}

//! What a lab says when it is ready: what to try next, as commands that work.

use super::{Layout, SampleAccount};
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Layout {
    /// What to try next, as commands that work.
    pub(in crate::lab) fn welcome(&self, pids: &BTreeMap<String, Option<u32>>) -> String {
        let (Some(node), Some(account)) = (self.nodes.first(), self.accounts.first()) else {
            return String::new();
        };
        let program =
            std::env::current_exe().map_or_else(|_| "rmsc".into(), |path| path.display().to_string());
        let context = self.context_file().display().to_string();
        let dir = self.dir.display();
        let mut text = String::from("\nTry next, in another terminal:\n");
        let mut try_next = |what: &str, command: String| {
            // Writing to a String cannot fail.
            let _ = write!(text, "  # {what}\n  {command}\n");
        };
        try_next("where the cluster is, and who you are", format!("export RMSC_CONTEXT={context}"));
        try_next("the cluster on one screen", format!("{program} status"));
        try_next("who may use it", format!("{program} authz list"));
        let call = |account: &SampleAccount| {
            format!(
                "curl --ntlm -u '{}:{}' -H 'Content-Type: text/xml; charset=utf-8' -H 'SOAPAction: {}' \\\n    \
                 --data-binary @{} http://{}{}",
                account.name,
                account.password.expose(),
                SAMPLE_ACTION,
                self.sample_file().display(),
                node.http,
                SAMPLE_PATH,
            )
        };
        try_next("call it as an Exchange server would", call(account));
        if let Some(stranger) = self.accounts.iter().find(|account| account.role.is_none()) {
            try_next("and as an account that is not authorized: a fault, and event 2001", call(stranger));
        }
        let last = self.nodes.last().unwrap_or(node);
        if let Some(pid) = pids.get(&last.name).copied().flatten() {
            try_next(&format!("kill {} without notice", last.name), format!("kill -9 {pid}"));
            try_next("and start it again", format!("{program} dev restart {} --dir {dir}", last.name));
        }
        let _ = write!(text, "\nEverything is in {dir} (lab.json says where). Ctrl-C ends the lab.");
        text
    }
}

/// A request that any authorized server may send.
const SAMPLE_PATH: &str = "/_wmcs/licensing/templatedistribution.asmx";
const SAMPLE_ACTION: &str =
    "\"http://microsoft.com/DRM/TemplateDistributionService/AcquireTemplateInformation\"";
pub(super) const SAMPLE_REQUEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
  <soap:Body>
    <AcquireTemplateInformation xmlns="http://microsoft.com/DRM/TemplateDistributionService" />
  </soap:Body>
</soap:Envelope>
"#;

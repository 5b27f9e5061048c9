//! What a lab says when it is ready: what to try next, as commands that work.

use super::super::accounts::SampleAccount;
use super::{Layout, NodeLayout};
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
        if let Some(domain) = self.domain() {
            let (settings, tickets) = (domain.krb5_conf().display().to_string(), self.dir.join("tickets"));
            let command = format!("export KRB5_CONFIG={settings} KRB5CCNAME={}", tickets.display());
            try_next("where the domain is, and your tickets of it", command);
        }
        let call = |account: &SampleAccount| {
            let (proof, base) = self.proof(node, account);
            format!(
                "{proof} -H 'Content-Type: text/xml; charset=utf-8' -H 'SOAPAction: {}' \\\n    \
                 --data-binary @{} {base}{}",
                SAMPLE_ACTION,
                self.sample_file().display(),
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

impl Layout {
    /// The beginning of a call with curl as this account, and the URL of the front: by password, or with a ticket,
    /// which has to be for the name that the service has in the domain.
    fn proof(&self, node: &NodeLayout, account: &SampleAccount) -> (String, String) {
        let password = account.password.expose();
        if self.domain().is_none() {
            return (
                format!("curl --ntlm -u '{}:{password}'", account.name),
                format!("http://{}", node.http),
            );
        }
        let (name, port) = (self.service_name(), node.http.port());
        let user = account.name.rsplit('\\').next().unwrap_or(&account.name);
        let call = format!(
            "kinit '{user}' <<<'{password}' && curl --negotiate -u : --resolve {name}:{port}:{}",
            node.http.ip()
        );
        (call, format!("http://{name}:{port}"))
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

//! `rmsc kerberos spn-commands`: what a domain administrator types so that servers get tickets for the cluster.

use super::super::output::{self, Format};
use super::super::{Exit, Global};
use super::shown;
use crate::proto::control::v1 as proto;
use serde_json::json;

/// Print the lines that give the service name to an account of the domain, and its keys to a keytab.
///
/// They are for the cluster's service_name, with AES256. Nothing is run. One account holds the
/// name, and nothing else: who has its keys can be anybody here.
///
/// Examples:
///   rmsc kerberos spn-commands --account 'CONTOSO\svc-rmsc'
///   rmsc kerberos spn-commands --service-name rms.contoso.test --rotate
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SpnCommands {
    /// The account that holds the name, DOMAIN\name.
    #[arg(long, value_name = "NAME", default_value = "svc-rmsc")]
    account: String,
    /// The name that servers call, if no node is to be asked.
    #[arg(long, value_name = "HOST")]
    service_name: Option<String>,
    /// The realm, if it is not the one of the keys that there are, nor the service name's domain.
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// The lines for a new password, in the order in which no request fails.
    #[arg(long)]
    rotate: bool,
}

/// What the lines are about.
struct Names {
    host: String,
    realm: String,
    account: String,
    /// The version that the domain gives to the next password; nothing if it is not known.
    next: Option<u32>,
}

impl SpnCommands {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let (host, keys) = match self.service_name {
            Some(name) => (name, Vec::new()),
            None => {
                let shown = shown(global).await?;
                (shown.service_name, shown.keys)
            }
        };
        let of_host = keys.iter().filter(|key| is_of(key, &host));
        let newest = of_host.max_by_key(|key| key.version);
        let known = newest.and_then(|key| key.service.rsplit_once('@')).map(|(_, realm)| realm.to_owned());
        let domain = host.split_once('.').map_or("", |(_, domain)| domain).to_uppercase();
        let names = Names {
            realm: self.realm.or(known).unwrap_or(domain),
            next: newest.map(|key| key.version.saturating_add(1)),
            account: self.account,
            host,
        };
        let sections = if self.rotate { rotation(&names) } else { first(&names) };
        match global.output {
            Format::Json => {
                let sections = sections.iter().map(|(title, lines)| json!({ "for": title, "lines": lines }));
                output::json(&json!({
                    "service": format!("HTTP/{}@{}", names.host, names.realm), "account": names.account,
                    "commands": sections.collect::<Vec<_>>(),
                }))?;
            }
            Format::Table => {
                for (title, lines) in &sections {
                    output::line(&format!("# {title}"));
                    lines.iter().for_each(|line| output::line(line));
                    output::line("");
                }
            }
        }
        Ok(Exit::Fine)
    }
}

type Section = (&'static str, Vec<String>);

fn first(names: &Names) -> Vec<Section> {
    let Names { host, realm, account, .. } = names;
    let name = short(account);
    vec![
        (
            "Windows: on a domain controller, as an administrator of the domain (it asks for the new password)",
            vec![
                format!("Set-ADUser {name} -KerberosEncryptionType AES128,AES256"),
                format!("setspn -S HTTP/{host} {account}"),
                format!(
                    "ktpass -princ HTTP/{host}@{realm} -mapuser {account} -pass * -crypto AES256-SHA1 \
                     -ptype KRB5_NT_PRINCIPAL -out rmsc.keytab"
                ),
            ],
        ),
        (
            "Samba: on the domain controller",
            vec![
                format!("net ads enctypes set {name} 24 -U Administrator"),
                format!("samba-tool spn add HTTP/{host} {name}"),
                format!("samba-tool domain exportkeytab rmsc.keytab --principal=HTTP/{host}@{realm}"),
            ],
        ),
        (
            "Linux, with msktutil: makes the account as well (after kinit as an administrator of the domain)",
            vec![format!(
                "msktutil create --use-service-account --account-name {name} --service HTTP/{host} \
                 --enctypes 0x18 --keytab rmsc.keytab"
            )],
        ),
        ("Then, here", vec!["rmsc kerberos import rmsc.keytab".into(), "rmsc kerberos test".into()]),
    ]
}

fn rotation(names: &Names) -> Vec<Section> {
    let Names { host, realm, account, next } = names;
    let name = short(account);
    let next = next.map_or_else(|| "NEXT_KVNO".into(), |next| next.to_string());
    vec![
        (
            "1. Make the keys of the new password. The account still has the old one. On Windows",
            vec![format!(
                "ktpass -princ HTTP/{host}@{realm} -pass * -crypto AES256-SHA1 -ptype KRB5_NT_PRINCIPAL \
                 -kvno {next} -out new.keytab"
            )],
        ),
        (
            "   or on Linux, with MIT's ktutil (-f asks the domain for the salt)",
            vec![
                "ktutil".into(),
                format!("addent -password -p HTTP/{host}@{realm} -k {next} -e aes256-cts-hmac-sha1-96 -f"),
                "wkt new.keytab".into(),
                "quit".into(),
            ],
        ),
        (
            "2. Give them to the nodes; the old ones are taken on until their tickets are over",
            vec!["rmsc kerberos rotate new.keytab".into()],
        ),
        (
            "3. Set that password, within an hour. On Windows",
            vec![format!("Set-ADAccountPassword {name} -Reset")],
        ),
        ("   or with Samba", vec![format!("samba-tool user setpassword {name}")]),
        (
            "4. See that new tickets are opened with the new version",
            vec![format!("kvno HTTP/{host}@{realm}"), "rmsc kerberos show".into()],
        ),
    ]
}

fn short(account: &str) -> &str {
    account.rsplit_once('\\').map_or(account, |(_, name)| name)
}

fn is_of(key: &proto::KerberosKey, host: &str) -> bool {
    let name = key.service.split_once('@').map_or("", |(name, _)| name);
    name.split_once('/').is_some_and(|(_, own)| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sections: &[Section]) -> Vec<&str> {
        sections.iter().flat_map(|(_, lines)| lines.iter().map(String::as_str)).collect()
    }

    #[test]
    fn prints_the_exact_lines() {
        let names = Names {
            host: "rms.contoso.test".into(),
            realm: "CONTOSO.TEST".into(),
            account: r"CONTOSO\svc-rmsc".into(),
            next: Some(4),
        };
        let first = first(&names);
        for line in [
            r"setspn -S HTTP/rms.contoso.test CONTOSO\svc-rmsc",
            r"ktpass -princ HTTP/rms.contoso.test@CONTOSO.TEST -mapuser CONTOSO\svc-rmsc -pass * -crypto AES256-SHA1 -ptype KRB5_NT_PRINCIPAL -out rmsc.keytab",
            "samba-tool spn add HTTP/rms.contoso.test svc-rmsc",
        ] {
            assert!(lines(&first).contains(&line), "{first:#?}");
        }
        let rotation = rotation(&names);
        let line =
            "addent -password -p HTTP/rms.contoso.test@CONTOSO.TEST -k 4 -e aes256-cts-hmac-sha1-96 -f";
        assert!(lines(&rotation).contains(&line), "{rotation:#?}");
    }
}

//! `rmsc cert renew`.

use crate::cli::output::{self, Format};
use crate::cli::words::date;
use crate::cli::{Exit, Global, effect};
use crate::proto::control::v1 as proto;
use clap::{Args, ValueEnum};
use serde_json::json;

/// Make a new key and print the request (CSR) for its certificate; the key never leaves the cluster.
///
/// The authority that signs it is yours: rmsc has none for this. Hand the request in there, and
/// complete it with `rmsc cert import`. Until then nothing changes. The same again prints the same
/// request, as long as it waits.
///
/// Examples:
///   rmsc cert renew > rms.csr
///   certreq -submit -attrib "CertificateTemplate:WebServer" rms.csr   (on Windows)
///   rmsc cert import rms.cer --chain authority.cer
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Renew {
    /// The kind of the key. The usual templates of Windows' authority refuse ecdsa.
    #[arg(long, value_enum, default_value = "rsa")]
    key_type: KeyType,
    /// Make another key, also if one waits for its certificate.
    #[arg(long)]
    anew: bool,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// RSA, 2048 bits.
    Rsa,
    /// ECDSA, P-256: a handshake costs the nodes a tenth.
    Ecdsa,
}

impl Renew {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let key_type = match self.key_type {
            KeyType::Rsa => "rsa",
            KeyType::Ecdsa => "ecdsa",
        };
        let request = proto::RenewCertificateRequest {
            key_type: key_type.into(),
            anew: self.anew,
            request_id: Vec::new(),
        };
        let made = global.client().await?.certificates().renew(request).await?.into_inner();
        match global.output {
            Format::Json => {
                let own = json!({
                    "request": made.request, "already": made.already, "by": made.by, "at": date(made.at_ms),
                    "changed": made.effect.is_some(), "names": made.names,
                    "names_of_certificate": made.names_of_certificate, "other_name": made.other_name,
                });
                let effect = made.effect.as_ref().map_or_else(|| json!({}), effect::json);
                output::json(&output::merged(own, effect))?;
            }
            Format::Table => {
                // Nothing but the request, so that it can go into a file.
                output::line(made.request.trim_end());
                if made.already {
                    let at = date(made.at_ms);
                    output::remark(&format!("{} asked for it before, {at}; another one: --anew", made.by));
                }
                about_names(&made);
                output::remark("Have it signed by your authority, then: rmsc cert import FILE");
            }
        }
        Ok(Exit::Fine)
    }
}

/// Which names a new request asks for, and where they come from.
fn about_names(made: &proto::RenewCertificateResponse) {
    let Some(service_name) = made.names.first() else { return };
    output::remark(&format!("It asks for {}.", made.names.join(", ")));
    let names = made.names_of_certificate.join(", ");
    if made.other_name {
        output::remark(&format!(
            "‼ The certificate that there is was forced in: none of its names is for {service_name}. The request has \
             them, too: {names}\n  If they are not meant, have your authority leave them out"
        ));
    } else if !names.is_empty() {
        output::remark(&format!("Out of the certificate that there is: {names}"));
    }
}

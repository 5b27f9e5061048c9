//! `rmsc cloud login`: a secret, a certificate, or a person with a code.

use super::{login_json, login_words, token_json, token_words};
use crate::cli::output::{self, Format};
use crate::cli::{Exit, Global, effect};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::login_cloud_request::Credential;
use crate::secret::{Secret, read_password};
use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::path::{Path, PathBuf};
use time::macros::format_description;
use time::{Date, Time};

/// Sign the connector in at the cloud, once for all nodes; they keep its token fresh from then on.
///
/// With the secret or the certificate of an application that was registered for this connector, or as a person with
/// a code that is typed elsewhere. It is tried first, and kept sealed if it is good. Experimental: what the original
/// connector signs in with is not public.
///
/// Ends with 4 if the sign-in service refuses, and with 5 if it cannot be reached.
///
/// Examples:
///   rmsc cloud login --client-secret-file secret --expires 2027-06-30
///   rmsc cloud login --certificate app.pem --key app.key
///   rmsc cloud login --device-code
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group = ArgGroup::new("how").required(true).args(["client_secret_file", "certificate", "device_code"]))]
pub struct Login {
    /// A file with the application's secret, of mode 0600.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The application's certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's RSA key (PEM), of mode 0600.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// A person signs in elsewhere, with a code that is shown here.
    #[arg(long)]
    device_code: bool,
    /// Until when the secret can be used, as the sign-in service showed it: events remind of it in time.
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "certificate")]
    expires: Option<String>,
}

impl Login {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = proto::LoginCloudRequest {
            expires_at_ms: self.expires.as_deref().map_or(Ok(0), expires)?,
            credential: Some(self.credential()?),
        };
        let mut answers =
            global.patient_client(LOGIN_TIMEOUT).await?.cloud().login(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(proto::LoginCode { address, code, life_s }) = &answer.code {
                output::remark(&format!("Go to {address} and type {code}, within {} min.", life_s / 60));
                continue;
            }
            let (login, token) = (answer.login.unwrap_or_default(), answer.token.unwrap_or_default());
            let effect = answer.effect.unwrap_or_default();
            match global.output {
                Format::Json => {
                    let own = json!({ "login": login_json(&login), "token": token_json(&token) });
                    output::json(&output::merged(own, effect::json(&effect)))?;
                }
                Format::Table => {
                    output::line(&format!("signed in: {}", login_words(&login)));
                    output::line(&format!("token {}", token_words(&token)));
                    effect::print(&effect);
                    output::line("To undo this: rmsc cloud logout");
                }
            }
            return Ok(effect::exit(&effect));
        }
        bail!("the node ended before somebody had signed in; try again")
    }

    fn credential(&self) -> anyhow::Result<Credential> {
        if let Some(file) = &self.client_secret_file {
            let secret = read_password("the application's secret file", file)?;
            return Ok(Credential::ClientSecret(secret.expose().clone()));
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let certificate = std::fs::read_to_string(certificate)
                .with_context(|| format!("cannot read {}", certificate.display()))?;
            let key = read_key(key)?.expose().clone();
            return Ok(Credential::Certificate(proto::LoginCertificate { certificate, key }));
        }
        Ok(Credential::DeviceCode(true))
    }
}

/// A private key, which nobody else may read.
fn read_key(file: &Path) -> anyhow::Result<Secret<String>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).map_or(0, |it| it.permissions().mode() & 0o777);
    if mode & 0o027 != 0 {
        bail!("the key {0} has mode {mode:04o}: run `chmod 0600 {0}`", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Secret::new(text))
}

/// The end of that day, UTC.
fn expires(text: &str) -> anyhow::Result<i64> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"))
        .with_context(|| format!("{text:?} is no day; write it as 2027-06-30"))?;
    let end = day.with_time(Time::MIDNIGHT).assume_utc() + time::Duration::DAY;
    Ok(end.unix_timestamp().saturating_mul(1_000))
}

/// As long as a code can be typed.
const LOGIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20 * 60);

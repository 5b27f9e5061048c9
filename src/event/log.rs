//! An event as a line of the log, with its number, its fields and its remedy.

use super::catalogue::{
    ACCESS_ALLOWED, ACCESS_REFUSED, ADMINISTRATOR_ADDED, ADMINISTRATOR_REMOVED, AMBIGUOUS,
    CERTIFICATE_RENEWED, CLEAR_TEXT, CLOUD_CREDENTIAL_EXPIRES, CLOUD_RENEWAL_ASKED, CLOUD_SETTINGS_DIFFER,
    CLOUD_SIGNED_IN, CLOUD_SIGNED_OUT, CLOUD_TOKEN_NOT_RENEWED, CLOUD_TOKEN_RENEWED, DAMAGE_SET_ASIDE,
    DIRECTORY_AWAY, DIRECTORY_BACK, DIRECTORY_UNREADABLE, FEW_OPEN_FILES, KEPT_ANSWER, NODE_DRAINED,
    NODE_JOINED, NODE_LEFT, NODE_REFUSED, NODE_REMOVED, NOT_HTTP, NTLM_REFUSED, PRINCIPAL_INVALID,
    RENEWAL_FAILED, SEAL_KEY_IN_FILE, SERVICE_IN_REACH, SERVICE_KEY_CLOSED, SERVICE_KEYS_CHANGED,
    SERVICE_OUT_OF_REACH, SERVICE_STARTED, SERVICE_STOPPED, SHED, SWITCHED_TO_HTTPS, TABLE_EMPTY,
    TABLE_UPDATED, THRESHOLD_TOO_LOW, UNEXPECTED, UPSTREAM_IN_THE_CLEAR, WINBIND_AWAY, WINBIND_BACK,
};
use super::{Description, Disks, Event, Shed, Who};
use std::fmt;
use tracing::{error, info, warn};

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", self.description().number)
    }
}

impl Event<'_> {
    /// The event's row of the catalogue.
    #[must_use]
    pub fn description(&self) -> Description {
        match self {
            Event::ServiceStarted { .. } => SERVICE_STARTED,
            Event::ServiceStopped { .. } => SERVICE_STOPPED,
            Event::AccessAllowed(_) => ACCESS_ALLOWED,
            Event::SwitchedToHttps { .. } => SWITCHED_TO_HTTPS,
            Event::TableUpdated { .. } => TABLE_UPDATED,
            Event::PrincipalInvalid { .. } => PRINCIPAL_INVALID,
            Event::AccessRefused { .. } => ACCESS_REFUSED,
            Event::ClearText { .. } => CLEAR_TEXT,
            Event::TableEmpty { .. } => TABLE_EMPTY,
            Event::NtlmRefused { .. } => NTLM_REFUSED,
            Event::Unexpected { .. } => UNEXPECTED,
            Event::Ambiguous { .. } => AMBIGUOUS,
            Event::Disk { what, .. } => what.description(),
            Event::DamageSetAside { .. } => DAMAGE_SET_ASIDE,
            Event::NodeDrained { .. } => NODE_DRAINED,
            Event::NodeRemoved { .. } => NODE_REMOVED,
            Event::AdministratorAdded { .. } => ADMINISTRATOR_ADDED,
            Event::AdministratorRemoved { .. } => ADMINISTRATOR_REMOVED,
            Event::NodeJoined { .. } => NODE_JOINED,
            Event::CertificateRenewed { .. } => CERTIFICATE_RENEWED,
            Event::NodeLeft { .. } => NODE_LEFT,
            Event::ConnectionRefused { why, .. } => why.description(),
            Event::JoinRefused { why, .. } => why.description(),
            Event::RenewalFailed { .. } => RENEWAL_FAILED,
            Event::SealKeyInFile { .. } => SEAL_KEY_IN_FILE,
            Event::NodeRefused { .. } => NODE_REFUSED,
            Event::ServiceKeysChanged { .. } => SERVICE_KEYS_CHANGED,
            Event::ServiceKeyClosed { .. } => SERVICE_KEY_CLOSED,
            Event::LoginsLimited { why, .. } => why.description(),
            Event::ThresholdTooLow { .. } => THRESHOLD_TOO_LOW,
            Event::BadAnswer { why, .. } => why.description(),
            Event::Certificate { why, .. } => why.description(),
            Event::KeptAnswer { .. } => KEPT_ANSWER,
            Event::UpstreamTrouble { why, .. } => why.description(),
            Event::CloudTokenRenewed { .. } => CLOUD_TOKEN_RENEWED,
            Event::CloudSignedIn { .. } => CLOUD_SIGNED_IN,
            Event::CloudRenewalAsked { .. } => CLOUD_RENEWAL_ASKED,
            Event::CloudSignedOut { .. } => CLOUD_SIGNED_OUT,
            Event::CloudSettingsDiffer { .. } => CLOUD_SETTINGS_DIFFER,
            Event::ServiceInReach => SERVICE_IN_REACH,
            Event::ServiceOutOfReach { .. } => SERVICE_OUT_OF_REACH,
            Event::CloudTokenNotRenewed { .. } => CLOUD_TOKEN_NOT_RENEWED,
            Event::CloudCredentialExpires { .. } => CLOUD_CREDENTIAL_EXPIRES,
            Event::UpstreamInTheClear { .. } => UPSTREAM_IN_THE_CLEAR,
            Event::DirectoryBack { .. } => DIRECTORY_BACK,
            Event::DirectoryAway { .. } => DIRECTORY_AWAY,
            Event::WinbindBack { .. } => WINBIND_BACK,
            Event::WinbindAway { .. } => WINBIND_AWAY,
            Event::DirectoryUnreadable { .. } => DIRECTORY_UNREADABLE,
            Event::NotHttp { .. } => NOT_HTTP,
            Event::Shed(_) => SHED,
            Event::FewOpenFiles { .. } => FEW_OPEN_FILES,
        }
    }

    /// Writes the event to the log, with its fields.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
    pub fn log(&self) {
        let Description { number: event, words, remedy, .. } = self.description();
        match self {
            Event::ServiceStarted { node, version } => info!(event, node, version, "{words}"),
            Event::ServiceStopped { node } => info!(event, node, "{words}"),
            Event::AccessAllowed(Who { sid, account, computer }) => {
                info!(event, %sid, %account, computer, "{words}");
            }
            Event::SwitchedToHttps { who: Who { sid, account, computer }, left_out } => {
                info!(event, %sid, %account, computer, left_out, "{words}");
            }
            Event::TableUpdated { revision, accounts } => {
                info!(event, revision, accounts = accounts.join("; "), "{words}");
            }
            Event::PrincipalInvalid { computer, reason, left_out } => {
                warn!(event, computer, reason, left_out, remedy, "{words}");
            }
            Event::NtlmRefused { who: Who { sid, account, computer }, reason, left_out }
            | Event::AccessRefused { who: Who { sid, account, computer }, reason, left_out } => {
                warn!(event, %sid, %account, computer, reason, left_out, remedy, "{words}");
            }
            Event::ClearText { who: Who { sid, account, computer }, left_out } => {
                warn!(event, %sid, %account, computer, left_out, remedy, "{words}");
            }
            Event::Ambiguous { who: Who { sid, account, computer }, entry, also } => {
                warn!(event, %sid, %account, computer, entry, also, remedy, "{words}");
            }
            Event::NodeDrained { node, by } => warn!(event, node, by, remedy, "{words}"),
            Event::NodeRemoved { node, id, by } => warn!(event, node, id, by, remedy, "{words}"),
            Event::AdministratorAdded { administrator, key, by }
            | Event::AdministratorRemoved { administrator, key, by } => {
                warn!(event, administrator, %key, by, remedy, "{words}");
            }
            Event::NodeJoined { node_id, name, token } => info!(event, node_id, name, %token, "{words}"),
            Event::CertificateRenewed { until } => info!(event, %until, "{words}"),
            Event::NodeLeft { node_id, by } => info!(event, node_id, by, "{words}"),
            Event::ConnectionRefused { port, remote, who, .. } => {
                warn!(event, port, %remote, who, remedy, "{words}");
            }
            Event::JoinRefused { remote, token, reason, .. } => {
                warn!(event, %remote, %token, reason, remedy, "{words}");
            }
            Event::RenewalFailed { until, reason } => warn!(event, %until, reason, remedy, "{words}"),
            Event::SealKeyInFile { path } => warn!(event, %path, remedy, "{words}"),
            Event::ServiceKeysChanged { added, removed, by } => {
                warn!(event, added, removed, by, remedy, "{words}");
            }
            Event::CloudTokenRenewed { until } => info!(event, until, "{words}"),
            Event::CloudSignedIn { method, by } => info!(event, method, by, "{words}"),
            Event::CloudRenewalAsked { by } => info!(event, by, "{words}"),
            Event::CloudSignedOut { by } => warn!(event, by, remedy, "{words}"),
            Event::CloudSettingsDiffer { difference } => warn!(event, difference, remedy, "{words}"),
            Event::CloudTokenNotRenewed { until, reason } => {
                warn!(event, until, reason, remedy, "{words}");
            }
            Event::CloudCredentialExpires { days, until } => warn!(event, days, until, remedy, "{words}"),
            Event::UpstreamInTheClear { url } => warn!(event, url, remedy, "{words}"),
            Event::ServiceKeyClosed { key, reason } => warn!(event, %key, %reason, remedy, "{words}"),
            Event::ServiceInReach => info!(event, "{words}"),
            Event::NodeRefused { reason }
            | Event::ServiceOutOfReach { reason }
            | Event::UpstreamTrouble { reason, .. }
            | Event::BadAnswer { reason, .. }
            | Event::Certificate { reason, .. }
            | Event::Disk { what: Disks::Full | Disks::StandsStill, reason } => {
                warn!(event, reason, remedy, "{words}");
            }
            Event::DirectoryUnreadable { domain, account, reason } => {
                warn!(event, domain, %account, reason, remedy, "{words}");
            }
            Event::LoginsLimited { account, computer, reason, left_out, .. } => {
                warn!(event, account, computer, reason, left_out, remedy, "{words}");
            }
            Event::ThresholdTooLow { nodes, threshold } => warn!(event, nodes, threshold, remedy, "{words}"),
            Event::DirectoryBack { domain } | Event::WinbindBack { domain } => {
                info!(event, domain, "{words}");
            }
            Event::DirectoryAway { domain, reason } | Event::WinbindAway { domain, reason } => {
                warn!(event, domain, reason, remedy, "{words}");
            }
            Event::KeptAnswer { operation, age_seconds, reason, left_out } => {
                warn!(event, operation, age_seconds, reason, left_out, remedy, "{words}");
            }
            Event::NotHttp { computer, reason, left_out } => {
                warn!(event, computer, reason, left_out, remedy, "{words}");
            }
            Event::Shed(Shed { key, value, who, left_out }) => {
                warn!(event, key, value, who, left_out, remedy, "{words}");
            }
            Event::FewOpenFiles { has, needed } => warn!(event, has, needed, remedy, "{words}"),
            Event::TableEmpty { revision } => warn!(event, revision, remedy, "{words}"),
            Event::Disk { what: Disks::HasRoom | Disks::GoesOn, .. } => info!(event, "{words}"),
            Event::DamageSetAside { what, kept, reason } => {
                warn!(event, what, kept = %kept.display(), reason, remedy, "{words}");
            }
            Event::Unexpected { doing, reason } => error!(event, doing, reason, remedy, "{words}"),
        }
    }
}

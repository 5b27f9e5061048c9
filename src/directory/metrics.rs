//! What is counted about the directory.

use crate::metrics::{Enter, seconds};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    up: Gauge,
    age_seconds: Gauge,
    groups: Family<Labels, Counter>,
    winbind_up: Gauge,
    winbind_helpers: Gauge,
    logons: Family<LogonLabels, Counter>,
    logon_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    source: Source,
}

/// Where the groups of a caller were taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Source {
    /// Asked for just now.
    Directory,
    /// Asked for a short while ago.
    Cache,
    /// What the directory said before it went away.
    LastGood,
    /// The ticket.
    Ticket,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogonLabels {
    outcome: Logon,
}

/// What came of a proof that winbind was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Logon {
    /// It holds.
    Verified,
    /// A controller says no.
    Refused,
    /// No controller has said anything.
    Undetermined,
    /// Every helper was busy.
    Busy,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        Metrics {
            up: registry
                .enter("rmsc_directory_up", "Whether a domain controller answered when one was asked last"),
            age_seconds: registry
                .enter("rmsc_directory_age_seconds", "How long ago a domain controller answered last"),
            groups: registry.enter(
                "rmsc_directory_groups",
                "Callers with Kerberos, by where their groups were taken from",
            ),
            winbind_up: registry.enter(
                "rmsc_winbind_up",
                "Whether winbind answered when it was asked last about an NTLM logon",
            ),
            winbind_helpers: registry
                .enter("rmsc_winbind_helpers", "Processes of ntlm_auth that this node keeps"),
            logons: registry.enter(
                "rmsc_winbind_logons",
                "NTLM logons that winbind was asked about, by what came of them",
            ),
            logon_seconds: registry.enter_as(
                "rmsc_winbind_logon_seconds",
                "How long winbind took, with the wait for a helper",
                seconds(),
            ),
        }
    }

    pub(super) fn winbind_up(&self, up: bool) {
        self.winbind_up.set(i64::from(up));
    }

    pub(super) fn helper_started(&self) {
        self.winbind_helpers.inc();
    }

    pub(super) fn helper_ended(&self) {
        self.winbind_helpers.dec();
    }

    pub(super) fn logon(&self, outcome: Logon, elapsed: Duration) {
        self.logons.get_or_create(&LogonLabels { outcome }).inc();
        self.logon_seconds.observe(elapsed.as_secs_f64());
    }

    pub(super) fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    pub(super) fn age(&self, age: Option<Duration>) {
        if let Some(age) = age {
            self.age_seconds.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn groups_from(&self, source: Source) {
        self.groups.get_or_create(&Labels { source }).inc();
    }
}

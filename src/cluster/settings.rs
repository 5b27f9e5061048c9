//! What Raft is told about times and amounts.

use super::{Config, OpenError};
use openraft::SnapshotPolicy;
use std::time::Duration;

pub(super) fn of_raft(config: &Config) -> Result<openraft::Config, OpenError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: config.cluster_id.clone(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: millis(config.election_min),
        election_timeout_max: millis(config.election_max),
        enable_pre_vote: Some(true),
        // The store is written behind: a restarted leader could answer from a state that misses what
        // it had acknowledged.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_after),
        max_in_snapshot_log_to_keep: config.snapshot_after / 2,
        replication_lag_threshold: config.snapshot_after.saturating_mul(2),
        max_payload_entries: ENTRIES_A_MESSAGE_MAX,
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        backoff: BACKOFF.into(),
        ..Default::default()
    };
    raft.validate().map_err(|error| OpenError::Settings { reason: error.to_string() })
}

/// With commands of at most 24 KiB a message stays below its 8 MiB.
const ENTRIES_A_MESSAGE_MAX: u64 = 256;
/// For the whole transfer of a large table over a slow link.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to leave a node alone that does not answer: it should catch up soon after it is back.
const BACKOFF: &str = "50ms 100ms 200ms ..500ms";

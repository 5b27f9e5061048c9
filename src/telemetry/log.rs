//! Starts the log.

use std::fmt;
use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Lines for people.
    Stdout,
    /// One JSON object a line.
    StdoutJson,
    /// The journal of systemd, with fields.
    Journald,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The level is not one.
    #[error("{level:?} is not a log level; write error, warn, info, debug or trace, or rmsc=debug,info")]
    Level {
        /// What was written.
        level: String,
    },
    /// There is no journal here.
    #[error("journald does not answer; set log.target to stdout or stdout-json")]
    NoJournal {
        /// The cause.
        source: std::io::Error,
    },
    /// Something else logs already.
    #[error("the log was started twice")]
    Twice,
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stdout" => Ok(Target::Stdout),
            "stdout-json" => Ok(Target::StdoutJson),
            "journald" => Ok(Target::Journald),
            _ => Err("journald, stdout or stdout-json"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Stdout => "stdout",
            Target::StdoutJson => "stdout-json",
            Target::Journald => "journald",
        })
    }
}

/// One word is our own level; of the libraries an administrator wants to read only what is amiss.
fn filter(level: &str) -> Option<EnvFilter> {
    match level {
        "error" | "warn" | "info" | "debug" | "trace" => {
            // What ends openraft the node itself tells; its other errors are calls that come after its end.
            // Audit records come whatever the level is; who does not want them writes a filter.
            EnvFilter::try_new(format!("warn,openraft=off,audit=info,rmsc={level}")).ok()
        }
        _ if level.contains(['=', ',']) => EnvFilter::try_new(level).ok(),
        _ => None,
    }
}

/// Whether this says what is logged: a level, or a filter.
#[must_use]
pub fn is_level(text: &str) -> bool {
    filter(text).is_some()
}

/// Starts the log of this process.
///
/// # Errors
/// [`StartError`].
pub fn start(level: &str, target: Target) -> Result<(), StartError> {
    let filter = filter(level).ok_or_else(|| StartError::Level { level: level.into() })?;
    let started = match target {
        Target::Stdout => {
            tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false).try_init()
        }
        Target::StdoutJson => tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
        Target::Journald => {
            let journal = tracing_journald::layer().map_err(|source| StartError::NoJournal { source })?;
            return tracing_subscriber::registry()
                .with(filter)
                .with(journal)
                .try_init()
                .map_err(|_| StartError::Twice);
        }
    };
    started.map_err(|_| StartError::Twice)
}

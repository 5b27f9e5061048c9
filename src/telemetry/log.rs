//! Starts the log.

use std::str::FromStr;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

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

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
            EnvFilter::try_new(format!("warn,openraft=off,rmsc={level}")).ok()
        }
        _ if level.contains(['=', ',']) => EnvFilter::try_new(level).ok(),
        _ => None,
    }
}

/// What the filter says, and in any case the audit records: a filter is for what is said about the program.
fn filtered<S, L>(layer: L, filter: EnvFilter) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    L: Layer<S>,
{
    let audit = filter_fn(|it| it.target() == AUDIT && *it.level() <= Level::INFO);
    layer.with_filter(filter.or(audit.with_max_level_hint(LevelFilter::INFO)))
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
    let registry = tracing_subscriber::registry();
    let started = match target {
        Target::Stdout => {
            registry.with(filtered(fmt::layer().with_target(false).with_ansi(false), filter)).try_init()
        }
        Target::StdoutJson => {
            let lines = fmt::layer()
                .with_target(false)
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false);
            registry.with(filtered(lines, filter)).try_init()
        }
        Target::Journald => {
            let journal = tracing_journald::layer().map_err(|source| StartError::NoJournal { source })?;
            registry.with(filtered(journal, filter)).try_init()
        }
    };
    started.map_err(|_| StartError::Twice)
}

/// The target of audit records.
const AUDIT: &str = "audit";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What comes through.
    fn logged(level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filtered(layer, filter(level).unwrap()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "audit", "a record");
            tracing::debug!(target: "audit", "no record");
            tracing::info!(target: "rmsc::node", "said");
            tracing::info!(target: "hyper", "of a library");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_filter_drops_an_audit_record() {
        for (level, says) in [
            ("info", true),
            ("error", false),
            ("rmsc=debug", true),
            ("rmsc=info,warn", true),
            ("error,hyper=off", false),
            ("off,audit=off", false),
        ] {
            let logged = logged(level);
            assert!(logged.contains("a record") && !logged.contains("no record"), "{level}: {logged}");
            assert_eq!(logged.contains("said"), says, "{level}: {logged}");
            assert!(!logged.contains("of a library"), "{level}: {logged}");
        }
    }
}

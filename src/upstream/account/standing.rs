//! What was said of the account's password or keys last. Domains lock accounts after some failures, so what was refused
//! is not shown again at the rate of requests. Pure: the time is an argument.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A file as it was: whoever writes it makes it another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct FileState {
    inode: u64,
    written_at: (i64, i64),
    bytes: u64,
}

impl FileState {
    /// Nothing if the file cannot be seen.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let data = fs::metadata(file).ok()?;
        let written_at = (data.mtime(), data.mtime_nsec());
        Some(FileState { inode: data.ino(), written_at, bytes: data.len() })
    }
}

/// Whether what a file holds may be shown to the service, or to the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// It was taken before.
    Freely,
    /// Nobody knows yet: one at a time finds out.
    Alone,
    /// It was refused, and not long ago.
    Not {
        /// With these words.
        said: String,
    },
}

/// What was said last, of which file.
#[derive(Default)]
pub(super) enum Standing {
    #[default]
    Unknown,
    Taken(Option<FileState>),
    Refused {
        file: Option<FileState>,
        said: String,
        times: u32,
        until: Instant,
    },
}

impl Standing {
    pub(super) fn asking(&self, file: Option<FileState>, now: Instant) -> Asking {
        match self {
            Standing::Taken(taken) if *taken == file => Asking::Freely,
            Standing::Refused { file: refused, said, until, .. } if *refused == file && now < *until => {
                Asking::Not { said: said.clone() }
            }
            Standing::Unknown | Standing::Taken(_) | Standing::Refused { .. } => Asking::Alone,
        }
    }

    pub(super) fn taken(&mut self, file: Option<FileState>) {
        *self = Standing::Taken(file);
    }

    /// Many requests may have been on their way with it: they are one refusal.
    pub(super) fn refused(&mut self, file: Option<FileState>, said: String, now: Instant) {
        let before = match self {
            Standing::Refused { file: refused, times, until, .. } if *refused == file => {
                if now < *until {
                    return;
                }
                *times
            }
            Standing::Unknown | Standing::Taken(_) | Standing::Refused { .. } => 0,
        };
        let pause = PAUSE_MIN.saturating_mul(1 << before.min(8)).min(PAUSE_MAX);
        *self = Standing::Refused { file, said, times: before + 1, until: now + pause };
    }
}

/// A domain that locks an account after five failures forgets them after ten minutes or more.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> Option<FileState> {
        Some(FileState { inode, written_at: (0, 0), bytes: 1 })
    }

    #[test]
    fn what_was_refused_is_shown_again_after_growing_pauses() {
        let (mut standing, begun) = (Standing::default(), Instant::now());
        let mut now = begun;
        let mut minutes = Vec::new();
        for _ in 0..6 {
            assert_eq!(standing.asking(file(1), now), Asking::Alone);
            standing.refused(file(1), "401".into(), now);
            // Those that were on their way as well make no longer pause.
            standing.refused(file(1), "401".into(), now);
            let before = now;
            while matches!(standing.asking(file(1), now), Asking::Not { .. }) {
                now += Duration::from_secs(60);
            }
            minutes.push((now - before).as_secs() / 60);
        }
        assert_eq!(minutes, [1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn another_file_is_shown_at_once_and_what_was_taken_freely() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.refused(file(1), "401".into(), now);
        assert!(matches!(standing.asking(file(1), now), Asking::Not { .. }));
        assert_eq!(standing.asking(file(2), now), Asking::Alone);
        standing.taken(file(2));
        assert_eq!(standing.asking(file(2), now), Asking::Freely);
        assert_eq!(standing.asking(file(1), now), Asking::Alone);
        standing.refused(file(2), "401".into(), now);
        assert!(matches!(standing.asking(file(2), now), Asking::Not { .. }));
    }
}

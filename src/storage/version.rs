//! Whose a data folder is and in which format it was written, so that no other node and no older
//! build touches it.

use super::log::Log;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a data folder may not be used.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// A file could not be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A newer build wrote it.
    #[error("the data in {path} was written in format {found}; this build reads up to {newest}")]
    TooNew {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format of this build.
        newest: u32,
    },
    /// It is another node's.
    #[error("the data in {path} belongs to {found:?}, and this is {owner:?}")]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants to use it.
        owner: String,
    },
    /// There is a log, but nothing says whose: a part of a data folder was restored or deleted.
    #[error(
        "{log} holds a log, but {path} is gone, which says whose it is; restore the whole data folder, or remove this node from the group and join anew"
    )]
    Unclaimed {
        /// The log.
        log: PathBuf,
        /// The file that is gone.
        path: PathBuf,
    },
    /// What the node had is gone.
    #[error("there are no data of {owner:?} in {path}: the disk was lost or emptied")]
    Lost {
        /// The folder.
        path: PathBuf,
        /// Whose data they were.
        owner: String,
    },
    /// The file that says so cannot be understood.
    #[error("{path} is damaged: {text:?}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        text: String,
    },
}

/// A data folder that its owner may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Random, made with the folder: a folder that was lost does not come back with the same.
    pub incarnation: u128,
    /// Whether a log was made in it, which must be there from then on.
    pub log_made: bool,
    /// Whose it is.
    pub owner: String,
    folder: PathBuf,
}

impl Claim {
    /// Notes that the log was made.
    ///
    /// # Errors
    /// [`VersionError::Io`].
    pub fn note_log(&mut self) -> Result<(), VersionError> {
        if self.log_made {
            return Ok(());
        }
        self.log_made = true;
        let path = self.folder.join(FILE);
        self.save(&path).map_err(|source| VersionError::Io { path, source })
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        super::create_folder(&self.folder)?;
        let unfinished = path.with_extension("tmp");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "format {NEWEST}\nowner {}\nincarnation {:032x}", self.owner, self.incarnation)?;
        if self.log_made {
            writeln!(file, "{LOG_MADE}")?;
        }
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        super::sync_folder(&self.folder)
    }
}

/// Checks that this build and this owner may use the folder.
///
/// # Errors
/// [`VersionError`] says what is in the way.
pub fn claim(folder: &Path, log: &Path, owner: &str) -> Result<Claim, VersionError> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => check(folder, &path, &text, owner),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let there = Log::exists(log).map_err(|source| VersionError::Io { path: log.into(), source })?;
            Err(if there {
                VersionError::Unclaimed { log: log.into(), path }
            } else {
                VersionError::Lost { path: folder.into(), owner: owner.into() }
            })
        }
        Err(source) => Err(VersionError::Io { path, source }),
    }
}

/// Whose a folder is, without being its owner; nothing if it is nobody's.
///
/// # Errors
/// [`VersionError`]: it cannot be understood, or a newer build wrote it.
pub fn owner(folder: &Path) -> Result<Option<Claim>, VersionError> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(VersionError::Io { path, source }),
    };
    let owner = text.lines().find_map(|line| line.strip_prefix("owner ")).unwrap_or_default();
    check(folder, &path, &text, owner).map(Some)
}

/// Creates the folder for `owner`, with a number that no other folder has. Doing it again is harmless.
///
/// # Errors
/// [`VersionError`] says what is in the way; nothing was changed then.
pub fn make(folder: &Path, log: &Path, owner: &str, incarnation: u128) -> Result<Claim, VersionError> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let claim = check(folder, &path, &text, owner)?;
            if claim.incarnation != incarnation {
                return Err(VersionError::OtherOwner {
                    path: folder.into(),
                    found: format!("{} with the disk {:032x}", claim.owner, claim.incarnation),
                    owner: format!("{owner} with the disk {incarnation:032x}"),
                });
            }
            Ok(claim)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The file is durable before the log is made, so a log without it came from elsewhere.
            let there = Log::exists(log).map_err(|source| VersionError::Io { path: log.into(), source })?;
            if there {
                return Err(VersionError::Unclaimed { log: log.into(), path });
            }
            let (folder, owner) = (folder.to_owned(), owner.to_owned());
            let claim = Claim { incarnation, log_made: false, folder, owner };
            claim.save(&path).map_err(|source| VersionError::Io { path, source })?;
            Ok(claim)
        }
        Err(source) => Err(VersionError::Io { path, source }),
    }
}

/// Takes a claim back that nobody has used, since its log was never made; any other stays.
///
/// # Errors
/// [`VersionError`]: it cannot be understood, or not be removed.
pub fn renounce(folder: &Path, log: &Path) -> Result<(), VersionError> {
    if is_used(folder, log)? {
        return Ok(());
    }
    let path = folder.join(FILE);
    match std::fs::remove_file(&path).and_then(|()| super::sync_folder(folder)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(VersionError::Io { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a log is there, or was.
///
/// # Errors
/// [`VersionError`]: what is there cannot be understood.
pub fn is_used(folder: &Path, log: &Path) -> Result<bool, VersionError> {
    let there = Log::exists(log).map_err(|source| VersionError::Io { path: log.into(), source })?;
    Ok(there || owner(folder)?.is_some_and(|claim| claim.log_made))
}

fn check(folder: &Path, path: &Path, text: &str, owner: &str) -> Result<Claim, VersionError> {
    let damaged = || VersionError::Damaged { path: path.into(), text: text.chars().take(200).collect() };
    let mut lines = text.lines();
    let found = lines.next().and_then(|line| line.strip_prefix("format ")).ok_or_else(damaged)?;
    let found: u32 = found.parse().map_err(|_| damaged())?;
    if found > NEWEST {
        return Err(VersionError::TooNew { path: folder.into(), found, newest: NEWEST });
    }
    let found = lines.next().and_then(|line| line.strip_prefix("owner ")).ok_or_else(damaged)?;
    if found != owner {
        return Err(VersionError::OtherOwner {
            path: folder.into(),
            found: found.into(),
            owner: owner.into(),
        });
    }
    let incarnation = lines.next().and_then(|line| line.strip_prefix("incarnation ")).ok_or_else(damaged)?;
    let incarnation = u128::from_str_radix(incarnation, 16).map_err(|_| damaged())?;
    let log_made = match lines.next() {
        None => false,
        Some(LOG_MADE) => true,
        Some(_) => return Err(damaged()),
    };
    Ok(Claim { incarnation, log_made, folder: folder.into(), owner: owner.into() })
}

const FILE: &str = "format";
const LOG_MADE: &str = "log made";
/// Raised when an older build could not read what this one writes.
const NEWEST: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::{frozen, testing::Folder};
    use super::*;

    #[test]
    fn a_folder_is_claimed_once_and_for_one_owner() {
        let folder = Folder::new();
        let data = folder.path().join("data");
        let log = data.join("log");
        let lost = claim(&data, &log, "lab node 1").unwrap_err();
        assert!(matches!(lost, VersionError::Lost { .. }), "{lost}");
        let mut first = make(&data, &log, "lab node 1", 7).unwrap();
        assert_eq!(make(&data, &log, "lab node 1", 7).unwrap(), first);
        assert_eq!(claim(&data, &log, "lab node 1").unwrap(), first);
        assert_eq!((first.log_made, first.incarnation), (false, 7));
        first.note_log().unwrap();
        assert_eq!(claim(&data, &log, "lab node 1").unwrap(), first);
        for refused in [claim(&data, &log, "lab node 2"), make(&data, &log, "lab node 1", 8)] {
            assert!(matches!(refused, Err(VersionError::OtherOwner { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_claim_that_was_never_used_can_be_taken_back() {
        let folder = Folder::new();
        let data = folder.path().join("data");
        let log = data.join("log");
        renounce(&data, &log).unwrap();
        make(&data, &log, "lab node 1", 7).unwrap();
        renounce(&data, &log).unwrap();
        make(&data, &log, "lab node 2", 7).unwrap().note_log().unwrap();
        renounce(&data, &log).unwrap();
        assert!(is_used(&data, &log).unwrap());
        let refused = make(&data, &log, "lab node 3", 7);
        assert!(matches!(refused, Err(VersionError::OtherOwner { .. })), "{refused:?}");
    }

    #[test]
    fn what_was_released_is_read_and_still_written() {
        let folder = Folder::new();
        let (path, log) = (folder.path().join(FILE), folder.path().join("log"));
        let incarnation = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
        let mut made = make(folder.path(), &log, "c1 node 2", incarnation).unwrap();
        for name in ["format-1/claimed", "format-1/log-made"] {
            let frozen = frozen::check(name, &std::fs::read(&path).unwrap());
            std::fs::write(&path, frozen).unwrap();
            let (folder, owner) = (folder.path().to_owned(), "c1 node 2".to_owned());
            let expected = Claim { incarnation, log_made: name == "format-1/log-made", owner, folder };
            assert_eq!(claim(&expected.folder, &log, "c1 node 2").unwrap(), expected);
            assert_eq!(super::owner(&expected.folder).unwrap(), Some(expected));
            made.note_log().unwrap();
        }
    }

    #[test]
    fn a_log_without_an_owner_is_refused() {
        let folder = Folder::new();
        let log = folder.path().join("log");
        std::fs::create_dir(&log).unwrap();
        std::fs::write(log.join("1.wal"), "").unwrap();
        let error = claim(folder.path(), &log, "x").unwrap_err();
        assert!(matches!(error, VersionError::Unclaimed { .. }), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let folder = Folder::new();
        std::fs::write(folder.path().join(FILE), "format 2\nowner x\nmore\n").unwrap();
        let error = claim(folder.path(), &folder.path().join("log"), "x").unwrap_err();
        assert!(matches!(error, VersionError::TooNew { found: 2, .. }), "{error}");
    }
}

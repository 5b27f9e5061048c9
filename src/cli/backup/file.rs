//! The files of backups: their names, and writing one that is whole or not there.

use crate::proto::control::v1 as proto;
use crate::secret::Secret;
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// A file that gets its name when it is whole. Nothing is ever overwritten.
pub(super) struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    bytes: u64,
}

/// A backup in a folder, as its name says.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) cluster_id: String,
    pub(super) taken_at: String,
    pub(super) revision: u64,
    pub(super) bytes: u64,
}

/// A folder that is removed at the end.
pub(super) struct Scratch(PathBuf);

/// Whether a backup can go there: into a folder, or into a file whose name says what it is.
pub(super) fn check_target(to: &Path) -> anyhow::Result<()> {
    if !to.is_dir() && to.extension().is_none_or(|end| end != "age") {
        let to = to.display();
        bail!("{to} is no folder: make it first (mkdir -p {to}), or name a file that ends in .age");
    }
    Ok(())
}

impl NewFile {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            bail!("{} is there already; nothing is overwritten", path.display());
        }
        let name = path.file_name().with_context(|| format!("{} is no file name", path.display()))?;
        let unfinished = path.with_file_name(format!(".{}.unfinished", name.to_string_lossy()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = file.with_context(|| format!("cannot write {}", unfinished.display()))?;
        Ok(NewFile { path: path.into(), unfinished, file, bytes: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| format!("cannot write {}", self.unfinished.display()))
    }

    /// Gives it its name, durable; how many bytes it has.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let finish = || -> std::io::Result<()> {
            self.file.sync_all()?;
            // A second name fails where there is a file already.
            fs::hard_link(&self.unfinished, &self.path)?;
            fs::remove_file(&self.unfinished)?;
            File::open(folder)?.sync_all()
        };
        finish().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.bytes)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        fs::remove_file(&self.unfinished).ok();
    }
}

impl Scratch {
    pub(super) fn make(beside: Option<&Path>) -> anyhow::Result<Self> {
        let folder = beside.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = folder.join(format!("rmsc-backup-{:016x}", rand::random::<u64>()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| {
            format!("cannot make a folder in {}; name another with --scratch", folder.display())
        })?;
        Ok(Scratch(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn text(path: &Path) -> anyhow::Result<Secret<String>> {
    let read = fs::read_to_string(path).map(Secret::new);
    read.with_context(|| format!("cannot read {}", path.display()))
}

pub(super) fn first_line(path: &Path) -> anyhow::Result<Secret<String>> {
    let text = text(path)?;
    Ok(Secret::new(text.expose().lines().next().unwrap_or_default().to_owned()))
}

/// The name sorts by time.
pub(super) fn name(summary: &proto::BackupSummary) -> String {
    let taken = OffsetDateTime::from_unix_timestamp(summary.taken_at_ms / 1_000);
    let taken = taken.ok().and_then(|taken| taken.format(TIME).ok()).unwrap_or_default();
    format!("{PREFIX}{}-{taken}-r{}{SUFFIX}", summary.cluster_id, summary.revision)
}

/// The backups in a folder by their names, oldest first.
pub(super) fn found(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let failed = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for file in fs::read_dir(folder).with_context(failed)? {
        let file = file.with_context(failed)?;
        let bytes = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(failed),
        };
        found.extend(parse(&file.file_name().to_string_lossy(), bytes));
    }
    found.sort_by(|a, b| (&a.taken_at, &a.file).cmp(&(&b.taken_at, &b.file)));
    Ok(found)
}

fn parse(name: &str, bytes: u64) -> Option<Found> {
    let mut parts = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-');
    let (cluster_id, taken_at) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let revision = parts.next()?.strip_prefix('r')?.parse().ok()?;
    parts.next().is_none().then(|| Found { file: name.into(), cluster_id, taken_at, revision, bytes })
}

pub(super) fn age(taken_at_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(taken_at_ms)).unwrap_or_default())
}

pub(super) fn in_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

const PREFIX: &str = "rmsc-";
const SUFFIX: &str = ".age";
const TIME: StaticFormatDescription = format_description!("[year][month][day]T[hour][minute][second]Z");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_is_and_is_read_back() {
        let summary = proto::BackupSummary {
            cluster_id: "k3jx".into(),
            taken_at_ms: 1_795_000_000_000,
            revision: 41,
            ..Default::default()
        };
        let name = name(&summary);
        let found = parse(&name, 7).unwrap();
        assert_eq!((found.cluster_id.as_str(), found.revision), ("k3jx", 41));
        assert_eq!(found.taken_at, "20261118T110640Z");
        for other in ["rmsc.age", "rmsc-a-b.age", "rmsc-a-b-41.age", "rmsc-a-b-r41.age.unfinished"] {
            assert!(parse(other, 7).is_none(), "{other}");
        }
    }

    #[test]
    fn an_age_is_said_in_its_unit() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!([words(5), words(300), words(10_000), words(200_000)], ["5 s", "5 min", "2 h", "2 days"]);
    }
}

//! Room on the disk. A node stops taking changes while there is still room for what it must be able to
//! write: votes, the ends of what was begun, the removal of what is old.

use rustix::fs::FallocateFlags;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The room on the disk of a folder. Clones name the same.
#[derive(Clone, Debug)]
pub struct Space {
    folder: Arc<Path>,
    full: Arc<watch::Sender<Option<Full>>>,
    /// What was spent of the budget since the disk is full.
    spent: Arc<AtomicU64>,
    /// That the disk has no room at all, whatever it says.
    #[cfg(test)]
    pretended: Arc<AtomicBool>,
}

/// There is too little room for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// So many bytes are free.
    pub free: u64,
    /// So many the disk has.
    pub total: u64,
    /// So many have to be free.
    pub wanted: u64,
}

/// Blocks of a file beyond its end that nobody else can take.
#[derive(Debug, Default)]
pub(super) struct Held {
    file: PathBuf,
    end: u64,
}

#[derive(Clone, Copy)]
struct Room {
    free: u64,
    total: u64,
    files: bool,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Full { free, total, wanted } = self;
        write!(f, "{} MiB free of {} MiB; ", free / MIB, total / MIB)?;
        write!(f, "changes are refused until {} MiB are free", wanted.div_ceil(MIB))
    }
}

impl Space {
    /// The room on the disk of a folder, which is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let space = Space {
            folder: folder.into(),
            full: Arc::new(watch::Sender::new(None)),
            spent: Arc::default(),
            #[cfg(test)]
            pretended: Arc::default(),
        };
        space.look()?;
        Ok(space)
    }

    /// Looks how much room there is; too little, or nothing.
    ///
    /// # Errors
    /// What the system says; what was known before counts on.
    pub fn look(&self) -> io::Result<Option<Full>> {
        let room = self.room_now()?;
        self.full.send_if_modified(|full| {
            let now = judge(room, full.is_some());
            let changed = full.is_some() != now.is_some();
            *full = now;
            changed
        });
        let full = self.full();
        if full.is_none() {
            self.hold_for_start();
        }
        Ok(full)
    }

    /// A start that fails for want of room would end the relay, so it has some of its own.
    fn hold_for_start(&self) {
        let path = self.folder.join(HELD_FOR_START);
        if path.exists() {
            return;
        }
        let held = OpenOptions::new().create(true).append(true).open(path);
        let held =
            held.and_then(|file| Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, HELD_BYTES)?));
        if let Err(error) = held {
            tracing::warn!(%error, "cannot hold room for the next start");
        }
    }

    /// Notes that something could not be written, or held in reserve, for want of room.
    pub fn note_full(&self) {
        let Ok(room) = self.room_now() else { return };
        self.full.send_replace(Some(full(room)));
    }

    /// What the last look found.
    #[must_use]
    pub fn full(&self) -> Option<Full> {
        self.full.borrow().clone()
    }

    /// Whether so many bytes can be written, and enough is left. Nobody knows about a disk that does not say.
    #[must_use]
    pub fn takes(&self, bytes: u64) -> bool {
        self.full().is_none() && self.room_now().is_ok_and(|room| room.free >= reserve(room.total) + bytes)
    }

    /// Whether so many bytes of what is on its way are still taken. A full disk takes a little of it, which
    /// the log has in reserve: without the last change a node cannot go on with what follows it.
    #[must_use]
    pub fn spend(&self, bytes: u64) -> bool {
        if self.full().is_none() {
            self.spent.store(0, Ordering::Relaxed);
            return true;
        }
        // What is refused is not spent.
        let add = |spent: u64| spent.checked_add(bytes).filter(|sum| *sum <= BUDGET_BYTES);
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Waits until so many bytes can be written, and enough is left.
    pub async fn room(&self, bytes: u64) {
        while !self.takes(bytes) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    #[cfg(not(test))]
    fn room_now(&self) -> io::Result<Room> {
        Room::of(&self.folder)
    }

    #[cfg(test)]
    fn room_now(&self) -> io::Result<Room> {
        let room = Room::of(&self.folder)?;
        let pretended = self.pretended.load(Ordering::Relaxed);
        Ok(if pretended { Room { free: 0, ..room } } else { room })
    }

    #[cfg(test)]
    pub(crate) fn pretend(&self, full: bool) {
        self.pretended.store(full, Ordering::Relaxed);
        self.look().unwrap();
    }
}

impl Room {
    fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(Room {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
            // Some file systems make them as needed, and count none.
            files: found.f_files == 0 || found.f_favail >= FILES_MIN,
        })
    }
}

/// What is free must first rise above what was too little, so that it is not full and not full in turn.
fn judge(room: Room, was_full: bool) -> Option<Full> {
    let reserve = reserve(room.total);
    let wanted = if was_full { reserve + reserve / 4 } else { reserve };
    (room.free < wanted || !room.files).then(|| full(room))
}

fn full(room: Room) -> Full {
    let reserve = reserve(room.total);
    Full { free: room.free, total: room.total, wanted: reserve + reserve / 4 }
}

fn reserve(total: u64) -> u64 {
    (total / RESERVE_PART).min(RESERVE_MAX)
}

/// On a full disk, gives away what was held in a folder for the start: log and store cannot be opened without
/// some room.
///
/// # Errors
/// What the system says.
pub(super) fn give_for_start(folder: &Path) -> io::Result<()> {
    if judge(Room::of(folder)?, false).is_none() {
        return Ok(());
    }
    match std::fs::remove_file(folder.join(HELD_FOR_START)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes the blocks for what comes next in a file that only grows. Whatever fills the disk then, that much
/// can still be written.
///
/// # Errors
/// What the system says: for one that the disk is full. A file system that cannot do it is left alone.
pub(super) fn hold(held: &mut Held, file: &Path) -> io::Result<()> {
    let bytes = std::fs::metadata(file)?.len();
    // Asking for what it has makes the file system write, so it is asked rarely.
    if held.file == file && held.end >= bytes + HELD_BYTES / 2 {
        return Ok(());
    }
    let opened = OpenOptions::new().append(true).open(file)?;
    match rustix::fs::fallocate(&opened, FallocateFlags::KEEP_SIZE, bytes, HELD_BYTES) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {
            *held = Held { file: file.into(), end: bytes + HELD_BYTES };
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

const MIB: u64 = 1 << 20;
/// How often somebody who waits for room looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Several of the largest things that are written without asking: a batch of the store, a new file of the
/// log, entries on their way.
const RESERVE_MAX: u64 = 64 * MIB;
/// On a small disk the reserve is smaller.
const RESERVE_PART: u64 = 8;
/// A new file of the log, a snapshot, and some more.
const FILES_MIN: u64 = 16;
/// Tens of thousands of votes; an election takes two.
const HELD_BYTES: u64 = 4 * MIB;

/// A file that is only there to take room.
const HELD_FOR_START: &str = "room-for-a-start";
/// Of what is held; the rest is for votes and a few large entries at once.
const BUDGET_BYTES: u64 = MIB;

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    #[test]
    fn a_disk_is_full_below_the_reserve_and_heals_above_it() {
        let room = |free| Room { free: free * MIB, total: 1024 * MIB, files: true };
        for (free, was_full, full) in
            [(64, false, false), (63, false, true), (79, true, true), (80, true, false), (0, false, true)]
        {
            assert_eq!(judge(room(free), was_full).is_some(), full, "{free} {was_full}");
        }
        let small = Room { free: 9 * MIB, total: 64 * MIB, files: true };
        assert_eq!(judge(small, false), None);
        assert!(judge(Room { files: false, ..small }, false).is_some());
    }

    #[test]
    fn a_full_disk_takes_a_little_of_what_is_on_its_way() {
        let folder = Folder::new();
        let space = Space::open(folder.path()).unwrap();
        assert!(space.spend(u64::MAX));
        space.pretend(true);
        assert!(!space.spend(BUDGET_BYTES + 1), "what is refused is not spent");
        assert!(space.spend(BUDGET_BYTES / 2) && space.spend(BUDGET_BYTES / 2) && !space.spend(1));
        space.pretend(false);
        assert!(space.spend(1));
    }

    #[test]
    fn a_start_on_a_full_disk_has_room_of_its_own() {
        let folder = Folder::new();
        let path = folder.path().join(HELD_FOR_START);
        let space = Space::open(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HELD_BYTES);
        space.pretend(true);
        assert!(path.exists());
    }

    #[test]
    fn what_is_said_names_the_figures() {
        let full = full(Room { free: 3 * MIB, total: 128 * MIB, files: true });
        let said = "3 MiB free of 128 MiB; changes are refused until 20 MiB are free";
        assert_eq!(full.to_string(), said);
    }

    #[test]
    fn what_is_held_does_not_lengthen_the_file() {
        let folder = Folder::new();
        let path = folder.path().join("file");
        std::fs::write(&path, "some").unwrap();
        let mut held = Held::default();
        hold(&mut held, &path).unwrap();
        assert_eq!((held.end, std::fs::read(&path).unwrap()), (HELD_BYTES + 4, b"some".to_vec()));
    }
}

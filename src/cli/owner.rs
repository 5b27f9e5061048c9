//! What root writes into the data folder of a service belongs to the service: it could not start otherwise.

use super::output::remark;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Until it is dropped, a command of root writes into a data folder; what it has made there then gets the owner
/// of the folder.
pub(super) struct Owned(PathBuf);

/// Of a data folder, whether it is there yet or not.
pub(super) fn of(data_dir: &Path) -> Owned {
    Owned(data_dir.into())
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        match hand_over(&self.0) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => remark(&format!(
                "‼ What was written in {} may belong to root, and the server could not read it then ({error}). \
                 Give it to the owner of the folder: chown -R",
                self.0.display()
            )),
        }
    }
}

fn hand_over(data_dir: &Path) -> Result<(), Errno> {
    let folder = rustix::fs::open(data_dir, FOLDER, Mode::empty())?;
    let found = rustix::fs::fstat(&folder)?;
    let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    if user.is_root() {
        return Ok(());
    }
    inside(folder.as_fd(), user, group, 0)
}

/// Nothing is followed, and what has a second name is left alone: the service can make both lead elsewhere.
fn inside(folder: BorrowedFd<'_>, user: Uid, group: Gid, depth: u32) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        one(folder, name, user, group, depth)?;
    }
    Ok(())
}

fn one(folder: BorrowedFd<'_>, name: &CStr, user: Uid, group: Gid, depth: u32) -> Result<(), Errno> {
    let it =
        rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let found = rustix::fs::fstat(&it)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind == FileType::Directory && depth < DEPTH_MAX {
        let below = rustix::fs::openat(&it, c".", FOLDER, Mode::empty())?;
        inside(below.as_fd(), user, group, depth + 1)?;
    }
    let alone = kind == FileType::Directory || (kind == FileType::RegularFile && found.st_nlink == 1);
    if alone && found.st_uid == 0 {
        rustix::fs::chownat(&it, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The data folder has two levels below it, and copies of it are one deeper.
const DEPTH_MAX: u32 = 8;

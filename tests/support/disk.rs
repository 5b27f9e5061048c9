//! Disks that tests may fill, break and cut the power of. It takes root and the right to mount.

use super::cluster::TestCluster;
use super::lab::Node;
use super::program::run;
use super::{processes, wait};
use rustix::process::Signal;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Whether this process may mount; if not, says so where nobody can miss it. A test that cannot be made
/// fails, unless `RMSC_TEST_NO_MOUNT=accept` says that this machine cannot do better.
#[track_caller]
pub fn may_mount(what: &str) -> bool {
    let probe = super::cluster::NewDir::made();
    let mounted = Tmpfs::mount(probe.path(), 1 << 20);
    let Err(error) = mounted else { return true };
    let accepted = std::env::var("RMSC_TEST_NO_MOUNT").is_ok_and(|value| value == "accept");
    let words = format!(
        "{what} WAS NOT TESTED: this process may not mount ({error}). Run it as root: sudo tests/run. \
         In a container: docker run --privileged. RMSC_TEST_NO_MOUNT=accept goes on without."
    );
    assert!(accepted, "{words}");
    // Past the test harness, which keeps to itself what a passing test prints.
    writeln!(io::stderr(), "\n{words}").expect("a test has a standard error");
    false
}

/// A disk in memory, gone with this value.
#[derive(Debug)]
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts it over a folder.
    pub fn mount(folder: &Path, bytes: u64) -> io::Result<Self> {
        let options = format!("size={bytes},mode=0700");
        let ran = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "rmsc-test"]).arg(folder));
        match ran.code {
            Some(0) => Ok(Tmpfs(folder.to_owned())),
            _ => Err(io::Error::other(ran.stderr)),
        }
    }

    /// Moves a node that does not run to a disk of its own.
    #[track_caller]
    pub fn under(data_dir: &Path, bytes: u64) -> Self {
        let aside = data_dir.with_extension("moved");
        fs::rename(data_dir, &aside).expect("the folder is the test's own");
        fs::create_dir(data_dir).expect("the folder is the test's own");
        let disk = Tmpfs::mount(data_dir, bytes).expect("the test may mount");
        run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(data_dir)).check_code(0);
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700)).expect("the folder is our own");
        disk
    }

    /// Fills it, but for so many bytes.
    #[track_caller]
    pub fn fill(&self, left: u64) {
        let free = free(&self.0);
        let file = fs::File::create(self.filling()).expect("the disk is the test's own");
        let bytes = free.saturating_sub(left);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
            .expect("the disk has that much");
    }

    /// Takes away what filled it.
    #[track_caller]
    pub fn make_room(&self) {
        fs::remove_file(self.filling()).expect("it was filled");
    }

    fn filling(&self) -> PathBuf {
        self.0.join("filling")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Still in use when a test failed: it goes with the last user.
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn free(folder: &Path) -> u64 {
    let found = rustix::fs::statvfs(folder).expect("the folder is there");
    found.f_bavail * found.f_frsize
}

/// Moves the data of nodes to disks of their own, which are small.
#[track_caller]
pub fn give_disks(cluster: &TestCluster, names: &[String], bytes: u64) -> Vec<Tmpfs> {
    let disks = names.iter().map(|name| {
        let node = cluster.node(name);
        cluster.signal(name, Signal::TERM);
        processes::check_gone(&[node.running_pid()], wait::PATIENCE);
        let disk = Tmpfs::under(&node.data_dir, bytes);
        cluster.restart(name);
        disk
    });
    disks.collect()
}

/// Makes system calls of a running process fail or wait, from now on until this is dropped.
#[derive(Debug)]
pub struct Injected(Child);

impl Injected {
    #[track_caller]
    pub fn into(node: &Node, fault: &str) -> Self {
        let said = node.data_dir.with_extension("strace");
        let mut strace = Command::new("strace")
            .args(["-f", "-e", &format!("inject={fault}"), "-e", "trace=fdatasync,fsync", "-o"])
            .arg(&said)
            .args(["-p", &node.running_pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tests/run installs strace");
        let task = PathBuf::from(format!("/proc/{}/status", node.running_pid()));
        wait::until_true("the process is traced", wait::PATIENCE, || {
            if let Ok(Some(status)) = strace.try_wait() {
                panic!("strace ended ({status}): may this user trace processes of its own?");
            }
            let status = fs::read_to_string(&task).unwrap_or_default();
            status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
        });
        Injected(strace)
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A disk whose power can be cut: a file system of its own, out of which everything that was not synced
/// vanishes. It goes away with this value.
#[derive(Debug)]
pub struct CutDisk {
    image: PathBuf,
    folder: PathBuf,
}

impl CutDisk {
    /// An empty one, mounted over a folder that is there.
    #[track_caller]
    pub fn mount(folder: &Path) -> Self {
        let disk = CutDisk { image: folder.with_extension("image"), folder: folder.to_owned() };
        let image = fs::File::create(&disk.image).expect("the temporary folder can be written");
        image.set_len(CUT_DISK_BYTES).expect("a file may have holes");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image)).check_code(0);
        disk.switch_on();
        disk
    }

    /// Cuts the power: what is in memory is lost, the journal with it. Who still writes here must be stopped
    /// before, since a sync that meets the cut would report success, and must be gone before it comes back.
    #[track_caller]
    pub fn cut(&self) {
        run(Command::new("python3").args(["-c", GOING_DOWN]).arg(&self.folder)).check_code(0);
    }

    /// Mounts it again, as after the power came back.
    #[track_caller]
    pub fn come_back(&self) {
        wait::until_true("nobody uses the disk any more", wait::PATIENCE, || {
            run(Command::new("umount").arg(&self.folder)).code == Some(0)
        });
        self.switch_on();
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[track_caller]
    fn switch_on(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.folder)).check_code(0);
    }
}

impl Drop for CutDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.folder));
        let _ = fs::remove_file(&self.image);
    }
}

const CUT_DISK_BYTES: u64 = 192 << 20;
/// The file system is to go down without writing its journal: the system call that its own tests use.
const GOING_DOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

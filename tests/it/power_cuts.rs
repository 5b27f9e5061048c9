//! Power cuts and kills: what was acknowledged is there afterwards, and everything opens.
//!
//! `RMSC_POWER_CUTS` (10) and `RMSC_KILL_CYCLES` (20) say how many; a full run has 50 and 1000.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::disk::{CutDisk, may_mount};
use crate::support::program::run;
use crate::support::turn::Turn;
use crate::support::{processes, wait};
use rand::RngExt;
use rmsc::storage::log::{Log, LogId, Made, Vote};
use rmsc::storage::tree::{Batch, Tree};
use rmsc::storage::version;
use rustix::process::Signal;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How many times, unless the environment says otherwise.
fn times(variable: &str, default: u32) -> u32 {
    match std::env::var(variable) {
        Ok(times) => times.parse().unwrap_or_else(|_| panic!("{variable} is no number: {times}")),
        Err(_) => default,
    }
}

/// Lets something run for a moment that is never the same.
fn a_while(from_ms: u64, to_ms: u64) {
    let span = Duration::from_millis(rand::rng().random_range(from_ms..to_ms));
    wait::stays("it runs", span, || true);
}

// ---- The storage alone: a process that writes as a node does, and says what was acknowledged. ----

const WRITER: &str = "RMSC_TEST_WRITER";
const OWNER: &str = "a writer";
/// Entries that an established store has before the cut: several files of the log.
const ESTABLISHED: u64 = 20_000;

/// What a writer was told to do, and what it says.
#[derive(Clone, Copy)]
struct Writing<'a> {
    data: &'a Path,
    said: &'a Path,
    batch: u64,
    until: u64,
    what: What,
}

/// The syncs of the log put parts of the store on disk, too, so the store also has to stand alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    LogAndStore,
    Store,
}

impl Writing<'_> {
    fn spawn(self) -> Child {
        let words = [self.data.display().to_string(), self.said.display().to_string()];
        let writing = format!("{} {} {} {} {:?}", words[0], words[1], self.batch, self.until, self.what);
        Command::new(std::env::current_exe().expect("a test is a program"))
            .args(["--exact", "power_cuts::writes_when_it_is_told_to", "--nocapture"])
            .env(WRITER, writing)
            .stdout(Stdio::null())
            .spawn()
            .expect("a test is a program")
    }

    /// The newest of what was acknowledged under a name.
    fn acknowledged(self, name: &str) -> u64 {
        let said = fs::read_to_string(self.said).unwrap_or_default();
        let lines = said.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        lines.max().unwrap_or(0)
    }
}

fn open(data: &Path) -> (Log, Tree) {
    let path = data.join("log");
    let mut claim = version::make(data, &path, OWNER, 1).expect("the folder is the writer's");
    let log = Log::open(&path, if claim.log_made { Made::Before } else { Made::Perhaps })
        .expect("a log opens after a cut");
    claim.note_log().expect("the folder is the writer's");
    (log, Tree::open(&data.join("tree")).expect("a store opens after a cut"))
}

fn payload(index: u64) -> Vec<u8> {
    let mut payload = format!("entry {index} ").into_bytes();
    let filler = u8::try_from(index % 251).expect("it is less than 256");
    payload.resize(if index.is_multiple_of(2) { 250 } else { 290 }, filler);
    payload
}

/// Runs in a process of its own; does nothing in the test run itself.
#[test]
fn writes_when_it_is_told_to() {
    let Ok(words) = std::env::var(WRITER) else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let (batch, until): (u64, u64) = (words[2].parse().unwrap(), words[3].parse().unwrap());
    let (log, tree) = open(Path::new(words[0]));
    let mut said = OpenOptions::new().create(true).append(true).open(words[1]).unwrap();
    let contents = log.contents().unwrap();
    let with_log = words[4] == format!("{:?}", What::LogAndStore);
    let mut next = if with_log { contents.last.map_or(0, |last| last.index + 1) } else { applied(&tree) + 1 };
    let mut term = contents.vote.map_or(1, |vote| vote.term);
    // What the log has and the store lacks is applied again at a start.
    write_rows(&tree, applied(&tree) + 1..next);
    while next < until {
        let entries = (next..next + batch).map(|index| (LogId { term: 1, index }, payload(index)));
        next += batch;
        if with_log {
            on_disk(|done| log.append(entries.collect(), done));
            writeln!(said, "log {}", next - 1).unwrap();
        }
        write_rows(&tree, next - batch..next);
        writeln!(said, "tree {}", next - 1).unwrap();
        if with_log && next % (batch * 16) < batch {
            term += 1;
            on_disk(|done| log.save_vote(Vote { term, committed: false, node_id: 1 }, done));
            writeln!(said, "vote {term}").unwrap();
        }
        if with_log && next % (batch * 64) < batch && next > 10_000 {
            on_disk(|done| log.purge(LogId { term: 1, index: next - 10_000 }, done));
        }
    }
    log.close();
}

fn write_rows(tree: &Tree, indexes: Range<u64>) {
    let mut rows = Batch::default();
    for index in indexes.clone() {
        rows.put(format!("row {}", index % 5_000).as_bytes(), &payload(index)).expect("a row is small");
    }
    if !indexes.is_empty() {
        rows.put(b"applied", &(indexes.end - 1).to_be_bytes()).expect("a row is small");
        tree.write(rows);
    }
}

/// How far the rows of the store go.
fn applied(tree: &Tree) -> u64 {
    let applied = tree.get(b"applied").expect("the store can be read");
    applied.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("an index has eight bytes")))
}

fn on_disk(ask: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<(), rmsc::storage::log::LogError>) {
    let (sender, done) = mpsc::channel();
    let answer = move || sender.send(()).expect("this function waits");
    ask(Box::new(answer)).expect("the log is open");
    done.recv().expect("the log answers, or the process ends");
}

/// Checks that a store opens and has everything that its writer acknowledged.
#[track_caller]
fn check_store(writing: Writing<'_>, what: &str) {
    let (log, tree) = open(writing.data);
    let contents = log.contents().expect("the log is open");
    let acknowledged = writing.acknowledged("log");
    let last = contents.last.map_or(0, |last| last.index);
    assert!(last >= acknowledged, "{what}: the log has {last}, acknowledged was {acknowledged}");
    let vote = contents.vote.map_or(0, |vote| vote.term);
    assert!(vote >= writing.acknowledged("vote"), "{what}: the vote is {:?}", contents.vote);
    let first = contents.purged.map_or(0, |purged| purged.index + 1);
    let entries = log.read(first..u64::MAX, usize::MAX).expect("entries can be read");
    let expected = (first..).map(|index| (LogId { term: 1, index }, payload(index)));
    assert!(entries.iter().cloned().eq(expected.take(entries.len())), "{what}: an entry is another");
    assert!(contents.last.is_none() || first + entries.len() as u64 == last + 1, "{what}: entries are gone");
    let applied = applied(&tree);
    assert!(applied >= writing.acknowledged("tree"), "{what}: the store has {applied}");
    for index in applied.saturating_sub(4_999).max(1)..=applied {
        let row = tree.get(format!("row {}", index % 5_000).as_bytes()).expect("the store can be read");
        assert!(row == Some(payload(index)), "{what}: the row of {index} is another");
    }
    log.close();
}

fn stop(child: &Child) {
    processes::signal(child.id(), Signal::STOP);
    wait::until_true("the writer stands still", wait::PATIENCE, || stands_still(child.id()));
}

/// Whether every thread of a process is stopped: one that is in a sync comes to its end first.
fn stands_still(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    threads.filter_map(Result::ok).all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// Puts everything on disk that is not yet.
fn sync(disk: &CutDisk) {
    let folder = File::open(disk.folder()).expect("the disk is the test's own");
    rustix::fs::syncfs(folder).expect("the disk is the test's own");
}

fn cut_storage(batch: u64, established: bool, parts: What) {
    let (folder, beside) = (NewDir::made(), NewDir::made());
    let disk = CutDisk::mount(folder.path());
    let (data, said) = (disk.folder().join("data"), beside.path().join("said"));
    let writing = Writing { data: &data, said: &said, batch, until: u64::MAX, what: parts };
    if established {
        let first = Writing { batch: 500, until: ESTABLISHED, ..writing };
        assert!(first.spawn().wait().expect("a child is waited for").success());
        sync(&disk);
    }
    let before = writing.acknowledged("tree");
    let mut writer = writing.spawn();
    // A first start may be cut while the folders are made.
    if established || rand::rng().random_ratio(2, 3) {
        wait::until_true("it writes", wait::PATIENCE, || writing.acknowledged("tree") > before);
    }
    a_while(5, 400);
    let ended = writer.try_wait().expect("a child can be asked");
    assert!(ended.is_none(), "the writer has ended by itself: {ended:?}");
    stop(&writer);
    disk.cut();
    writer.kill().expect("the writer is a child");
    writer.wait().expect("a child is waited for");
    disk.come_back();
    let what = format!("{parts:?}, batch {batch}, established {established}");
    check_store(writing, &what);
    // And once more, with what the first opening has cut off and written.
    check_store(writing, &what);
}

#[test]
fn a_power_cut_loses_nothing_that_the_storage_acknowledged() {
    if !may_mount("A power cut") {
        return;
    }
    let _turn = Turn::alone();
    // The rest are cuts of a whole cluster.
    let cuts = times("RMSC_POWER_CUTS", 10) * 4 / 5;
    for number in 0..cuts {
        let batch = if number % 2 == 0 { 1 } else { 64 };
        let parts = if number % 8 < 5 { What::LogAndStore } else { What::Store };
        cut_storage(batch, number % 4 >= 2, parts);
    }
    println!("{cuts} power cuts of the storage: nothing lost, everything opened");
}

#[test]
fn a_kill_loses_nothing_that_the_storage_acknowledged() {
    let _turn = Turn::alone();
    let kills = times("RMSC_KILL_CYCLES", 20) / 2;
    let (folder, beside) = (NewDir::made(), NewDir::made());
    let (data, said) = (folder.path().join("data"), beside.path().join("said"));
    for number in 0..kills {
        let batch = if number % 2 == 0 { 1 } else { 64 };
        let writing = Writing { data: &data, said: &said, batch, until: u64::MAX, what: What::LogAndStore };
        let mut writer = writing.spawn();
        a_while(30, 350);
        writer.kill().unwrap();
        writer.wait().unwrap();
        check_store(writing, &format!("kill {number}, batch {batch}"));
    }
    println!("{kills} kills of the storage: nothing lost, everything opened");
}

// ---- Real nodes: acknowledged is what an administrator was told. ----

/// The entries of a table as somebody wrote them who notes what was acknowledged.
#[derive(Default)]
struct Table {
    /// For each account the newest number that was tried and that was acknowledged.
    entries: BTreeMap<u32, (u64, u64)>,
    serial: u64,
}

#[derive(Deserialize)]
struct Listed {
    sid: String,
    note: String,
}

const ACCOUNTS: u32 = 40;
const KILLS_A_LAB: u32 = 100;

impl Table {
    /// Writes until it is told to end.
    fn write(&mut self, cluster: &TestCluster, end: &AtomicBool) {
        while !end.load(Ordering::SeqCst) {
            self.serial += 1;
            let rid = u32::try_from(self.serial % u64::from(ACCOUNTS)).expect("there are few accounts");
            let entry = self.entries.entry(rid).or_default();
            entry.0 = self.serial;
            let (name, sid) = (format!("LAB\\P{rid}$"), format!("S-1-5-21-7-7-7-{rid}"));
            let note = self.serial.to_string();
            let what = ["authz", "add", "--role", "exchange", "--yes", "--computer", &name];
            let ran = cluster.rmsc(&[&what[..], &["--sid", &sid, "--note", &note]].concat());
            // 3: it acts, but not on every node yet.
            if matches!(ran.code, Some(0 | 3)) {
                entry.1 = self.serial;
            }
        }
    }

    #[track_caller]
    fn check(&self, cluster: &TestCluster) {
        let listed = wait::until("the table is listed", Duration::from_secs(60), || {
            let ran = cluster.rmsc(&["authz", "list", "--output", "json"]);
            (ran.code == Some(0)).then(|| ran.field("entries"))
        });
        let listed: Vec<Listed> = serde_json::from_value(listed).expect("an entry has a SID and a note");
        for (rid, (tried, acknowledged)) in self.entries.iter().filter(|(_, (_, number))| *number > 0) {
            let sid = format!("S-1-5-21-7-7-7-{rid}");
            let found = listed.iter().find(|entry| entry.sid == sid);
            let number: Option<u64> = found.and_then(|entry| entry.note.parse().ok());
            assert!(
                number.is_some_and(|number| (*acknowledged..=*tried).contains(&number)),
                "{sid}: {number:?} is listed, {acknowledged} was acknowledged, {tried} tried last"
            );
        }
    }

    fn acknowledged(&self) -> u64 {
        self.entries.values().map(|(_, acknowledged)| *acknowledged).max().unwrap_or(0)
    }
}

/// Writes for a while, ends all nodes at once as `end` does, starts them again, and checks the table.
#[track_caller]
fn cycle(cluster: &TestCluster, table: &mut Table, end: impl FnOnce(&[u32])) {
    let pids = cluster.pids();
    let names = cluster.others(&[]);
    assert_eq!(pids.len(), names.len());
    let (over, before) = (AtomicBool::new(false), table.acknowledged());
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| table.write(cluster, &over));
        a_while(50, 600);
        end(&pids);
        over.store(true, Ordering::SeqCst);
        writing.join().expect("writing does not panic");
    });
    processes::check_gone(&pids, wait::PATIENCE);
    for name in &names {
        cluster.restart(name);
    }
    table.check(cluster);
    // A change after it, so that a cycle in which nothing was written does not count for nothing.
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let was = table.acknowledged();
        assert!(was >= before);
        scope.spawn(|| {
            wait::until_true("time for a change", wait::PATIENCE, || begun.elapsed().as_millis() > 100);
            over.store(true, Ordering::SeqCst);
        });
        table.write(cluster, &over);
    });
}

#[test]
fn a_power_cut_of_all_nodes_loses_no_acknowledged_change() {
    if !may_mount("A power cut of all nodes") {
        return;
    }
    let cuts = times("RMSC_POWER_CUTS", 10) / 5;
    let cluster = TestCluster::alone(3);
    // One disk for all, so that one cut takes all.
    let folder = NewDir::made();
    let disk = CutDisk::mount(folder.path());
    for name in cluster.others(&[]) {
        let node = cluster.node(&name);
        cluster.kill(&name);
        let place = disk.folder().join(&name);
        run(Command::new("cp").arg("-a").arg(&node.data_dir).arg(&place)).check_code(0);
        fs::remove_dir_all(&node.data_dir).unwrap();
        std::os::unix::fs::symlink(&place, &node.data_dir).unwrap();
    }
    sync(&disk);
    for name in cluster.others(&[]) {
        cluster.restart(&name);
    }
    let mut table = Table::default();
    for _ in 0..cuts {
        cycle(&cluster, &mut table, |pids| {
            for pid in pids {
                processes::signal(*pid, Signal::STOP);
            }
            wait::until_true("all nodes stand still", wait::PATIENCE, || {
                pids.iter().all(|pid| stands_still(*pid))
            });
            disk.cut();
            for pid in pids {
                processes::signal(*pid, Signal::KILL);
            }
            processes::check_gone(pids, wait::PATIENCE);
            disk.come_back();
        });
    }
    println!("{cuts} power cuts of three nodes: {} changes, nothing lost", table.serial);
    drop(cluster);
}

#[test]
fn kills_of_all_nodes_lose_no_acknowledged_change() {
    let kills = times("RMSC_KILL_CYCLES", 20) / 2;
    let (mut left, mut changes) = (kills, 0);
    while left > 0 {
        // A lab ends by itself after a quarter of an hour.
        let (cluster, mut table) = (TestCluster::alone(1), Table::default());
        for _ in 0..left.min(KILLS_A_LAB) {
            cycle(&cluster, &mut table, |pids| {
                for pid in pids {
                    processes::signal(*pid, Signal::KILL);
                }
            });
        }
        left -= left.min(KILLS_A_LAB);
        changes += table.serial;
    }
    println!("{kills} kills of a node: {changes} changes, nothing lost");
}

//! What a million entries take. With `RMSC_SCALE_GOALS` the goals are asserted; without it fewer entries
//! show that it works. Each part runs in a process of its own, whose memory is measured:
//! `RMSC_SCALE_GOALS=1 cargo test --release --lib scale:: -- --nocapture --test-threads=1`

use super::*;
use crate::cluster::snapshot::Incoming;
use crate::principal::{Account, AccountName};
use crate::relay::authorize;
use crate::state::{Entry, Table};
use std::hint::black_box;
use std::process::Command as Process;
use std::time::{Duration, Instant};

/// Set when the program is built to measure, on a machine that does nothing else.
const RELEASE: bool = option_env!("RMSC_SCALE_GOALS").is_some();
const ENTRIES: u32 = if RELEASE { 1_000_000 } else { 20_000 };
const BATCH: u64 = 64;
/// With room for another allocator than the one that it was measured with: that took some 310. In a small
/// table the pages of older tables weigh more than in a large one.
const ENTRY_BYTES_MAX: f64 = 400.0;
const CHUNK: usize = 256 * 1024;
const INNER: &str = "RMSC_TEST_SCALE";
/// How a line begins that is passed on.
const FIGURE: &str = "|";

/// Fails when a goal is missed, with the goals.
#[track_caller]
fn goal(what: &str, found: f64, most: f64, unit: &str) {
    println!("{FIGURE} {what:.<64} {found:>9.2} {unit:<3} (at most {most} {unit})");
    assert!(!RELEASE || found <= most, "{what}: {found} {unit} is more than {most} {unit}");
}

fn figure(what: &str, found: f64, unit: &str) {
    println!("{FIGURE} {what:.<64} {found:>9.2} {unit}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A line of the process's status.
fn status_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Now, and at the most since the last time.
fn memory() -> (f64, f64) {
    let memory = (status_mb("VmRSS:"), status_mb("VmHWM:"));
    // From here on a new peak counts.
    std::fs::write("/proc/self/clear_refs", "5").ok();
    memory
}

/// Runs a part in another process, alone.
fn alone(name: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let mut again = Process::new(std::env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", &format!("cluster::state_machine::tests::scale::{name}")]);
    let output = again.env(INNER, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().filter(|line| line.starts_with(FIGURE)).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// Neighbours in the table came at different times.
fn rid(at: u32) -> u32 {
    1_000_000 + at.wrapping_mul(7_919) % (4 * ENTRIES)
}

fn sid(rid: u32) -> Sid {
    Sid::new(5, &[21, 1_004_336_348, 1_177_238_915, 682_003_330, rid]).unwrap()
}

fn entry(rid: u32, kind: Kind) -> Entry {
    let note = if rid.is_multiple_of(2) { format!("CHG{:07}", rid % 99_991) } else { String::new() };
    Entry {
        sid: sid(rid),
        name: format!("CONTOSO\\SRV-{rid:07}$").into(),
        kind,
        role: Role::Exchange,
        note: note.into(),
        added_by: format!("CONTOSO\\admin{}", rid % 3).into(),
        added_at: Timestamp(1_700_000_000_000 + i64::from(rid)),
    }
}

fn command(rid: u32, index: u64) -> EntryResponder<TypeConfig> {
    let entry = entry(rid, Kind::Computer);
    let change = Change::Allow(NewEntry {
        sid: entry.sid,
        name: entry.name.into(),
        kind: entry.kind,
        role: entry.role,
        note: entry.note.into(),
    });
    let command = Command {
        client: ClientId((u128::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c95)).to_be_bytes()),
        serial: 1,
        digest: Digest([1; 16]),
        since: u64::MAX,
        at: entry.added_at,
        by: entry.added_by.to_string(),
        change,
    };
    let payload = EntryPayload::Normal(Proposal(codec::command_to(&command)));
    (openraft::Entry::new(LogId::new_term_index(1, index), payload), None)
}

async fn fill(machine: &mut StateMachine, entries: u32) -> u64 {
    let mut index = 0;
    while index < u64::from(entries) {
        let batch: Vec<_> = (index..u64::from(entries).min(index + BATCH))
            .map(|at| Ok(command(rid(u32::try_from(at).unwrap()), at + 1)))
            .collect();
        index += batch.len() as u64;
        machine.apply(futures::stream::iter(batch)).await.unwrap();
    }
    index
}

/// One write after the other: the middle, and the slowest.
async fn write_times(machine: &mut StateMachine, index: &mut u64, writes: u32) -> (Duration, Duration) {
    let mut times = Vec::new();
    for at in 0..writes {
        *index += 1;
        let command = command(900_000 + at.wrapping_mul(31) % 90_000, *index);
        let begun = Instant::now();
        machine.apply(futures::stream::iter([Ok(command)])).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A state as it is after so many were added.
fn state(first: u32) -> State {
    let mut state = State::default();
    let table = Arc::make_mut(&mut state.table);
    let mut rids: Vec<u32> = (0..ENTRIES).map(rid).collect();
    rids.sort_unstable();
    for rid in rids {
        table.entries.add(entry(first + rid, Kind::Computer));
    }
    state
}

#[test]
fn an_entry_takes_little_memory() {
    const ENTRIES: u32 = 20_000;
    if !alone("an_entry_takes_little_memory") {
        return;
    }
    // As in a node: what is published, and what is on its way into the store.
    let (mut table, mut published, mut waiting) = (Table::default(), Table::default(), Table::default());
    // Without the program itself, of which more and more is read.
    let before = status_mb("RssAnon:");
    for at in 0..ENTRIES {
        table.entries.add(entry(rid(at), Kind::Computer));
        if at % 64 == 0 {
            published = table.clone();
        }
        if at % 4_000 == 0 {
            waiting = table.clone();
        }
    }
    let bytes = (status_mb("RssAnon:") - before) * f64::from(1 << 20) / f64::from(ENTRIES);
    assert!(waiting.entries.len() < published.entries.len());
    figure("memory of an entry, with what older tables take", bytes, "B");
    assert!(bytes < ENTRY_BYTES_MAX, "{bytes} bytes an entry");
}

#[test]
fn a_million_entries_are_written_and_put_into_a_snapshot() {
    if !alone("a_million_entries_are_written_and_put_into_a_snapshot") {
        return;
    }
    runtime().block_on(async {
        let (small, large) = (Folder::new(), Folder::new());
        let (mut machine, _closed) = open(small.path());
        let mut index = fill(&mut machine, 100).await;
        let (few, _) = write_times(&mut machine, &mut index, 500).await;
        drop(machine);

        let (mut machine, closed) = open(large.path());
        let begun = Instant::now();
        let mut index = fill(&mut machine, ENTRIES).await;
        figure("applying all, batches of 64", begun.elapsed().as_secs_f64(), "s");
        figure("  that is a second", f64::from(ENTRIES) / begun.elapsed().as_secs_f64() / 1000.0, "k");
        let entries = machine.state.table.entries.len();
        let (now, most) = memory();
        goal("memory after writing", now, 400.0, "MB");
        goal("memory while writing, at the most", most, 400.0, "MB");
        let (many, slowest) = write_times(&mut machine, &mut index, 2_000).await;
        figure("applying one write to 100 entries, median", ms(few), "ms");
        goal("applying one write to all of them, median", ms(many), 1.0, "ms");
        figure("  slowest of 2,000", ms(slowest), "ms");

        memory();
        let mut builder = machine.get_snapshot_builder().await;
        let begun = Instant::now();
        let building = tokio::spawn(async move {
            let built = builder.build_snapshot().await.unwrap();
            (built, begun.elapsed())
        });
        let (mut slowest, mut writes) = (Duration::ZERO, 0_u32);
        while !building.is_finished() {
            let (_, most) = write_times(&mut machine, &mut index, 10).await;
            slowest = slowest.max(most);
            writes += 10;
        }
        let (built, elapsed) = building.await.unwrap();
        figure("writes applied while a snapshot is built", f64::from(writes), "");
        let identity = built.snapshot.identity(&built.meta).unwrap();
        figure("bytes of the snapshot", identity.to_head().bytes as f64 / f64::from(1 << 20), "MB");
        goal("memory while the snapshot was built, at the most", memory().1, 400.0, "MB");
        goal("building a snapshot", elapsed.as_secs_f64(), 3.0, "s");
        goal("  slowest write meanwhile", ms(slowest), 250.0, "ms");
        assert!(machine.state.table.entries.len() >= entries);
        close(machine, closed).await;
        figure("the store on disk", folder_bytes(&large.path().join("tree")), "MB");
    });
}

fn folder_bytes(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let bytes = files.map(|file| {
        let metadata = file.metadata().unwrap();
        if metadata.is_dir() { 0 } else { metadata.len() }
    });
    bytes.sum::<u64>() as f64 / f64::from(1 << 20)
}

/// Takes a snapshot in as from another node, and installs it.
async fn install(machine: &mut StateMachine, sent: &Snapshot, bytes: &[u8]) -> Duration {
    let snapshots = machine.snapshots.clone();
    let begun = Instant::now();
    let identity = sent.snapshot.identity(&sent.meta).unwrap();
    let mut incoming = Incoming::open(&snapshots.folder, &identity).unwrap();
    for chunk in bytes.chunks(CHUNK) {
        incoming.put(chunk.to_vec()).await.unwrap();
    }
    let received = blocking(move || {
        let snapshot = incoming.finish()?;
        let meta = snapshot.read_ahead("lab", &snapshots.known())?;
        Ok(Snapshot { meta, snapshot })
    });
    let received = received.await.unwrap();
    machine.install_snapshot(&received.meta, received.snapshot).await.unwrap();
    begun.elapsed()
}

/// A snapshot out of another process, whose memory does not count here.
fn sent(folder: &Folder, index: u64, first: u32) -> (Snapshot, Vec<u8>) {
    let meta = SnapshotMeta { last_log_id: Some(LogId::new_term_index(1, index)), ..Default::default() };
    let snapshot = snapshot::write(folder.path(), "lab", &meta, &state(first)).unwrap();
    let bytes = std::fs::read(folder.path().join(format!("snap-{:020}-{index:020}", 1))).unwrap();
    (Snapshot { meta, snapshot }, bytes)
}

#[test]
fn a_million_entries_are_installed_and_read_at_the_start() {
    const SENT: &str = "RMSC_TEST_SCALE_SENT";
    let name = "a_million_entries_are_installed_and_read_at_the_start";
    let Some(folder) = std::env::var_os(SENT) else {
        if std::env::var_os(INNER).is_none() {
            let folders = [Folder::new(), Folder::new(), Folder::new()];
            let folder = |at: usize| folders[at].path().display().to_string();
            sent(&folders[0], 10, 0);
            sent(&folders[1], 20, 3);
            let mut again = Process::new(std::env::current_exe().unwrap());
            again.args(["--exact", "--nocapture", &format!("cluster::state_machine::tests::scale::{name}")]);
            again.env(SENT, [folder(0), folder(1), folder(2)].join(":"));
            for round in ["install", "start"] {
                let output = again.env(INNER, round).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                said.lines().filter(|line| line.starts_with(FIGURE)).for_each(|line| println!("{line}"));
                assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
            }
        }
        return;
    };
    let folders: Vec<PathBuf> = folder.to_str().unwrap().split(':').map(PathBuf::from).collect();
    let found = |at: usize| {
        let found =
            snapshot::newest(&folders[at], "lab", Some(&LogId::new_term_index(9, 9))).unwrap().unwrap();
        let (meta, snapshot) = (found.meta, found.file);
        let index = meta.last_log_id.unwrap().index();
        let bytes = std::fs::read(folders[at].join(format!("snap-{:020}-{index:020}", 1))).unwrap();
        (Snapshot { meta, snapshot }, bytes)
    };
    runtime().block_on(async {
        if std::env::var(INNER).unwrap() == "install" {
            let (mut machine, closed) = open(&folders[2]);
            let (snapshot, bytes) = found(0);
            memory();
            let elapsed = install(&mut machine, &snapshot, &bytes).await;
            goal("installing a snapshot, with its coming in", elapsed.as_secs_f64(), 5.0, "s");
            assert_eq!(machine.state.table.entries.len(), ENTRIES as usize);
            drop(bytes);
            let begun = Instant::now();
            close(machine, closed).await;
            figure("  and then its rows in the store", begun.elapsed().as_secs_f64(), "s");
            goal("memory while a snapshot was installed, at the most", memory().1, 400.0, "MB");
            return;
        }
        let begun = Instant::now();
        let (mut machine, closed) = open(&folders[2]);
        figure("starting with them in the store", begun.elapsed().as_secs_f64(), "s");
        assert_eq!(machine.state.table.entries.len(), ENTRIES as usize);
        let (now, most) = memory();
        goal("memory after the start", now, 400.0, "MB");
        goal("memory at the start, at the most", most, 400.0, "MB");
        // Not one entry is the same.
        let (snapshot, bytes) = found(1);
        let elapsed = install(&mut machine, &snapshot, &bytes).await;
        goal("installing one that differs in every entry", elapsed.as_secs_f64(), 5.0, "s");
        figure("memory while both were there, at the most", memory().1, "MB");
        close(machine, closed).await;
    });
}

/// What one lookup takes: in the middle of the rounds, and in the slowest. A round is so short that few are
/// interrupted.
fn lookup_nanos(table: &Table, account: &Account) -> (f64, f64) {
    const LOOKUPS: u32 = 100;
    let rounds = if RELEASE { 2_000 } else { 20 };
    let round = |_| {
        let begun = Instant::now();
        for _ in 0..LOOKUPS {
            black_box(authorize(black_box(table), black_box(account))).ok();
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
    };
    let mut rounds: Vec<f64> = (0..rounds).map(round).collect();
    rounds.sort_unstable_by(f64::total_cmp);
    (rounds[rounds.len() / 2], rounds[rounds.len() - 1])
}

#[test]
fn an_account_is_looked_up_in_a_microsecond() {
    if !alone("an_account_is_looked_up_in_a_microsecond") {
        return;
    }
    let name = AccountName::new("CONTOSO", "exch01$").unwrap();
    for (entries, groups_of_100) in [(10_000, 50), (10_000, 100), (1_000_000, 50)] {
        if entries > ENTRIES {
            continue;
        }
        let mut table = Table::default();
        for at in 0..entries {
            let kind = if at % 100 < groups_of_100 { Kind::Group } else { Kind::Computer };
            table.entries.add(entry(2 * at, kind));
        }
        let groups: Vec<Sid> = (0..100).map(|at| sid(at * 7_919 % entries * 2 + 1)).collect();
        let mut member = groups.clone();
        member[70] = sid(2 * 100 * 3);
        let own = Account { sid: sid(2 * 99), name: name.clone(), groups: groups.clone() };
        let stranger = Account { sid: sid(1), name: name.clone(), groups };
        let member = Account { sid: sid(1), name: name.clone(), groups: member };
        for (who, account) in [("no entry", &stranger), ("a group's entry", &member), ("its own", &own)] {
            let (nanos, most) = lookup_nanos(&table, account);
            let what = format!(
                "authorizing, {entries} entries, {groups_of_100} % groups, 100 of the account's, {who}"
            );
            goal(&what, nanos, 1_000.0, "ns");
            figure("  slowest round", most, "ns");
        }
    }
}

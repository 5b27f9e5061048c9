//! Tests of the write-ahead log: what is read back after it was closed, torn or damaged.

use super::super::frozen;
use super::super::testing::Folder;
use super::*;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::mpsc;

fn entries(indexes: Range<u64>) -> Vec<(LogId, Vec<u8>)> {
    indexes.map(|index| (LogId { term: 1, index }, format!("entry {index}").into_bytes())).collect()
}

fn wait(work: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<(), LogError>) {
    let (sender, receiver) = mpsc::channel();
    work(Box::new(move || sender.send(()).unwrap())).unwrap();
    receiver.recv().unwrap();
}

/// The log's folder is not the test's own: its guard stands beside it.
fn place(folder: &Folder) -> PathBuf {
    folder.path().join("log")
}

fn open(folder: &Folder) -> Log {
    Log::open(&place(folder), Made::Perhaps).unwrap()
}

/// Why the log cannot be opened: it must be damage, and the log must be as it was.
fn check_damaged(folder: &Folder, words: &str) {
    let files = || {
        let files = scan::files(&place(folder)).unwrap().into_iter();
        files.map(|(_, path)| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let before = files();
    match Log::open(&place(folder), Made::Before).map(|_| ()) {
        Err(OpenError::Damaged { reason, .. }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(files() == before);
}

/// A log with entries in two closed files and in the newest.
fn three_files() -> Folder {
    let folder = Folder::new();
    let log = open(&folder);
    for part in 0..5 {
        let entry = |index| (LogId { term: 1, index }, vec![7; 1 << 20]);
        wait(|done| log.append((part * 8..part * 8 + 8).map(entry).collect(), done));
    }
    log.close();
    assert_eq!(scan::files(&place(&folder)).unwrap().len(), 3);
    folder
}

fn file(folder: &Folder, number: usize) -> PathBuf {
    scan::files(&place(folder)).unwrap().swap_remove(number).1
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.get_mut(at).unwrap() ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn newest_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "wal")).max().unwrap()
}

#[test]
fn everything_acknowledged_is_read_back() {
    let folder = Folder::new();
    let vote = Vote { term: 3, committed: true, node_id: 2 };
    let log = open(&folder);
    wait(|done| log.append(entries(0..10), done));
    wait(|done| log.save_vote(vote, done));
    log.commit(LogId { term: 1, index: 6 }).unwrap();
    wait(|done| log.truncate_after(Some(LogId { term: 1, index: 7 }), done));
    wait(|done| log.purge(LogId { term: 1, index: 2 }, done));
    log.close();

    let log = open(&folder);
    let at = |index| Some(LogId { term: 1, index });
    let found = log.contents().unwrap();
    assert_eq!(found, Contents { vote: Some(vote), last: at(7), purged: at(2), committed: at(6) });
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), entries(3..8));
}

#[test]
fn callbacks_come_in_order() {
    let folder = Folder::new();
    let log = open(&folder);
    let (sender, receiver) = mpsc::channel();
    for index in 0..200 {
        let sender = sender.clone();
        log.append(entries(index..index + 1), move || sender.send(index).unwrap()).unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_torn_tail_is_cut_off() {
    // The length can be on disk before all of the bytes are: the rest reads as zeros then.
    for (torn, zeros) in [(1, 0), (38, 0), (0, 39), (1, 38), (20, 19), (38, 1), (20, 4096)] {
        let folder = Folder::new();
        let log = open(&folder);
        wait(|done| log.append(entries(0..10), done));
        log.close();
        // What a power cut leaves of a group that was never acknowledged.
        let path = newest_file(&place(&folder));
        let bytes = std::fs::read(&path).unwrap();
        let last = bytes.get(bytes.len() - 39..).unwrap();
        let left = [last.get(..torn).unwrap(), &vec![0; zeros]].concat();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&left).unwrap();

        let log = open(&folder);
        assert_eq!(log.contents().unwrap().last, Some(LogId { term: 1, index: 9 }));
        wait(|done| log.append(entries(10..12), done));
        log.close();
        let log = Log::open(&place(&folder), Made::Before).unwrap();
        assert_eq!(log.read(0..100, usize::MAX).unwrap(), entries(0..12));
    }
}

#[test]
fn a_log_that_is_shorter_than_acknowledged_is_refused() {
    for missing in [1, 39, 300] {
        let folder = Folder::new();
        let log = open(&folder);
        wait(|done| log.append(entries(0..10), done));
        // Not closed in order: as after a kill.
        let path = newest_file(&place(&folder));
        let bytes = std::fs::read(&path).unwrap();
        log.lock().take();
        std::fs::write(&path, bytes.get(..bytes.len() - missing).unwrap()).unwrap();
        check_damaged(&folder, "acknowledged up to byte");
    }
}

#[test]
fn a_vote_that_is_gone_is_noticed() {
    let folder = Folder::new();
    let log = open(&folder);
    wait(|done| log.save_vote(Vote { term: 1, committed: false, node_id: 1 }, done));
    let path = newest_file(&place(&folder));
    let before = std::fs::read(&path).unwrap();
    wait(|done| log.save_vote(Vote { term: 2, committed: false, node_id: 3 }, done));
    log.close();
    std::fs::write(&path, before).unwrap();
    check_damaged(&folder, "acknowledged up to byte");
}

#[test]
fn a_log_from_an_older_copy_is_refused() {
    let folder = Folder::new();
    let log = open(&folder);
    wait(|done| log.append(entries(0..10), done));
    log.close();
    let path = newest_file(&place(&folder));
    let copy = std::fs::read(&path).unwrap();
    let log = open(&folder);
    wait(|done| log.append(entries(10..20), done));
    log.close();
    std::fs::write(&path, copy).unwrap();
    check_damaged(&folder, "acknowledged up to byte");
}

#[test]
fn damage_anywhere_in_a_log_is_refused() {
    let folder = Folder::new();
    let log = open(&folder);
    wait(|done| log.append(entries(0..10), done));
    wait(|done| log.save_vote(Vote { term: 2, committed: true, node_id: 1 }, done));
    log.close();
    let path = newest_file(&place(&folder));
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        flip(&path, at);
        check_damaged(&folder, "");
        std::fs::write(&path, &whole).unwrap();
    }
    Log::open(&place(&folder), Made::Before).unwrap();
}

#[test]
fn damage_before_the_end_is_seen_without_the_guard() {
    let folder = Folder::new();
    let log = open(&folder);
    wait(|done| log.append(entries(0..10), done));
    log.close();
    let path = newest_file(&place(&folder));
    // The length of the fifth entry, so that the record seems to go on beyond the end of the file.
    let at = std::fs::read(&path).unwrap().windows(7).position(|bytes| bytes == b"entry 5").unwrap() - 4;
    flip(&path, at);
    assert!(matches!(scan::scan(&place(&folder), 0).unwrap(), Found::Damaged(_)));
}

#[test]
fn damage_in_a_closed_file_is_refused() {
    let folder = three_files();
    flip(&file(&folder, 0), 9 << 20);
    check_damaged(&folder, "cannot be read");
}

#[test]
fn a_file_that_is_gone_is_noticed() {
    for (number, words) in [(0, "lacks the entry 0"), (1, "the next begins"), (2, "acknowledged up to byte")]
    {
        let folder = three_files();
        std::fs::remove_file(file(&folder, number)).unwrap();
        check_damaged(&folder, words);
    }
}

#[test]
fn a_log_without_its_guard_is_refused() {
    let folder = Folder::new();
    open(&folder).close();
    let guard = Guard::path(&place(&folder));
    std::fs::write(&guard, "damaged").unwrap();
    check_damaged(&folder, "is damaged");
    std::fs::remove_file(&guard).unwrap();
    check_damaged(&folder, "is gone");
}

#[test]
fn a_second_opener_is_refused() {
    let folder = Folder::new();
    let _log = open(&folder);
    let again = Log::open(&place(&folder), Made::Before).map(|_| ());
    assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
}

#[test]
fn a_read_is_bounded_by_bytes_and_gives_one_at_least() {
    let folder = Folder::new();
    let log = open(&folder);
    wait(|done| log.append(entries(0..10), done));
    assert_eq!(log.read(2..10, 15).unwrap(), entries(2..4));
    assert_eq!(log.read(2..10, 0).unwrap(), entries(2..3));
}

/// What the frozen log holds: every kind of record, and entries that were replaced and purged.
fn write_all_kinds(log: &Log) -> Contents {
    let vote = Vote { term: 3, committed: true, node_id: 2 };
    wait(|done| log.save_vote(Vote { term: 1, committed: false, node_id: 1 }, done));
    wait(|done| log.append(entries(0..10), done));
    wait(|done| log.save_vote(vote, done));
    wait(|done| log.truncate_after(Some(LogId { term: 1, index: 7 }), done));
    wait(|done| log.append(vec![(LogId { term: 3, index: 8 }, Vec::new())], done));
    log.commit(LogId { term: 1, index: 6 }).unwrap();
    wait(|done| log.purge(LogId { term: 1, index: 2 }, done));
    let at = |term, index| Some(LogId { term, index });
    Contents { vote: Some(vote), last: at(3, 8), purged: at(1, 2), committed: at(1, 6) }
}

#[test]
fn what_was_released_is_read_and_still_written() {
    let folder = Folder::new();
    let log = open(&folder);
    let contents = write_all_kinds(&log);
    log.close();
    let files = scan::files(&place(&folder)).unwrap();
    let [(0, written)] = files.as_slice() else { panic!("{files:?}") };
    let name = written.file_name().unwrap().to_str().unwrap();
    let frozen = frozen::check(&format!("log-1/{name}"), &std::fs::read(written).unwrap());
    let guard = frozen::check("log-1/log.guard", &std::fs::read(Guard::path(&place(&folder))).unwrap());

    let folder = Folder::new();
    std::fs::create_dir(place(&folder)).unwrap();
    std::fs::write(place(&folder).join(name), frozen).unwrap();
    std::fs::write(Guard::path(&place(&folder)), guard).unwrap();
    let log = Log::open(&place(&folder), Made::Before).unwrap();
    assert_eq!(log.contents().unwrap(), contents);
    let mut expected = entries(3..8);
    expected.push((LogId { term: 3, index: 8 }, Vec::new()));
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), expected);
    // And it goes on.
    wait(|done| log.append(vec![(LogId { term: 3, index: 9 }, b"more".to_vec())], done));
    assert_eq!(log.contents().unwrap().last, Some(LogId { term: 3, index: 9 }));
}

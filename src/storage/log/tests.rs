//! Tests of the write-ahead log: what is read back after it was closed, torn or damaged.

use super::super::testing::Folder;
use super::*;
use std::sync::mpsc;

fn entries(indexes: Range<u64>) -> Vec<(LogId, Vec<u8>)> {
    indexes.map(|index| (LogId { term: 1, index }, format!("entry {index}").into_bytes())).collect()
}

fn wait(work: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<(), LogError>) {
    let (sender, receiver) = mpsc::channel();
    work(Box::new(move || sender.send(()).unwrap())).unwrap();
    receiver.recv().unwrap();
}

fn newest_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "wal")).max().unwrap()
}

#[test]
fn everything_acknowledged_is_read_back() {
    let folder = Folder::new();
    let vote = Vote { term: 3, committed: true, node_id: 2 };
    let log = Log::open(folder.path()).unwrap();
    wait(|done| log.append(entries(0..10), done));
    wait(|done| log.save_vote(vote, done));
    log.commit(LogId { term: 1, index: 6 }).unwrap();
    wait(|done| log.truncate_after(Some(LogId { term: 1, index: 7 }), done));
    wait(|done| log.purge(LogId { term: 1, index: 2 }, done));
    log.close();

    let log = Log::open(folder.path()).unwrap();
    let at = |index| Some(LogId { term: 1, index });
    let found = log.contents().unwrap();
    assert_eq!(found, Contents { vote: Some(vote), last: at(7), purged: at(2), committed: at(6) });
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), entries(3..8));
}

#[test]
fn callbacks_come_in_order() {
    let folder = Folder::new();
    let log = Log::open(folder.path()).unwrap();
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
    let folder = Folder::new();
    let log = Log::open(folder.path()).unwrap();
    wait(|done| log.append(entries(0..10), done));
    log.close();
    let path = newest_file(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, bytes.get(..bytes.len() - 3).unwrap()).unwrap();

    let log = Log::open(folder.path()).unwrap();
    assert_eq!(log.contents().unwrap().last, Some(LogId { term: 1, index: 8 }));
    wait(|done| log.append(entries(9..11), done));
    log.close();
    let log = Log::open(folder.path()).unwrap();
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), entries(0..11));
}

#[test]
fn damage_in_the_middle_is_refused() {
    let folder = Folder::new();
    let log = Log::open(folder.path()).unwrap();
    wait(|done| log.append(entries(0..10), done));
    log.close();
    let path = newest_file(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(Log::open(folder.path()).is_err());
}

#[test]
fn a_second_opener_is_refused() {
    let folder = Folder::new();
    let _log = Log::open(folder.path()).unwrap();
    assert!(Log::open(folder.path()).is_err());
}

#[test]
fn a_read_is_bounded_by_bytes_and_gives_one_at_least() {
    let folder = Folder::new();
    let log = Log::open(folder.path()).unwrap();
    wait(|done| log.append(entries(0..10), done));
    assert_eq!(log.read(2..10, 15).unwrap(), entries(2..4));
    assert_eq!(log.read(2..10, 0).unwrap(), entries(2..3));
}

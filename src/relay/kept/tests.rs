//! What is kept, for whom and how long.

use super::answers::{ANSWERS_MAX, BYTES_MAX, CALLER_ANSWERS_MAX};
use super::file;
use super::*;
use std::fs;
use std::path::Path;

const HOUR: Duration = Duration::from_secs(3_600);
const GOOD: &str = "<GetServerInfoResponse/>";

fn sid(rid: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
}

fn key(body: &str) -> Key {
    let (operation, role) = (Operation::GetServerInfo, "exchange");
    Question { sent: b"sent", operation, caller: &sid(1), entry: &sid(2), role, body: body.as_bytes() }.key()
}

/// So long before now, in the milliseconds that files know.
fn ago(age: Duration) -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - age;
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap())
}

fn answer(caller: &str, age: Duration) -> KeptAnswer {
    let body = Bytes::from_static(GOOD.as_bytes());
    KeptAnswer { caller: caller.into(), content_type: "text/xml".into(), at: ago(age), body }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rmsc-kept-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn open(folder: &Path, age_max: Option<Duration>) -> Kept {
    Kept::open(&KeptConfig { folder: folder.to_owned(), age_max })
}

fn count(folder: &Path, extension: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter(|it| it.as_ref().is_ok_and(|it| it.path().extension().is_some_and(|it| it == extension)))
        .count()
}

/// Writing to the disk is not waited for by anybody else.
async fn await_written(kept: &Kept) {
    let shared = kept.shared.as_ref().unwrap();
    let written = async {
        while shared.writer.is_at_work() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
}

#[test]
fn every_part_of_a_question_makes_another_key() {
    let (one, other) = (sid(1), sid(2));
    let operation = Operation::GetServerInfo;
    let base =
        Question { sent: b"sent", operation, caller: &one, entry: &one, role: "exchange", body: b"<a/>" };
    let others = [
        Question { sent: b"sen", ..base.clone() },
        Question { operation: Operation::GetLicensorCertificate, ..base.clone() },
        Question { caller: &other, ..base.clone() },
        Question { entry: &other, ..base.clone() },
        Question { role: "sharepoint", ..base.clone() },
        Question { body: b"<a />", ..base.clone() },
        // The same bytes, divided otherwise.
        Question { role: "exchange<", body: b"a/>", ..base.clone() },
    ];
    for other in others {
        assert_ne!(other.key(), base.key(), "{other:?}");
    }
}

#[tokio::test]
async fn an_answer_is_found_again_after_a_restart_until_it_is_too_old() {
    let folder = folder("restart");
    let kept = || open(&folder, Some(HOUR));
    file::write(&folder, key("a"), &answer("me", Duration::ZERO)).unwrap();
    let (found, age) = kept().find(key("a")).unwrap();
    assert_eq!((&found.body[..], age < Duration::from_secs(60)), (GOOD.as_bytes(), true));
    assert!(kept().find(key("b")).is_none());
    file::write(&folder, key("a"), &answer("me", HOUR + Duration::from_secs(1))).unwrap();
    assert!(kept().find(key("a")).is_none());
    // It is gone.
    assert_eq!(count(&folder, "answer"), 0);
    // A clock that was wrong once must not make an answer last for ever; one that was set back a little may.
    let at = |ahead| KeptAnswer { at: SystemTime::now() + ahead, ..answer("me", Duration::ZERO) };
    file::write(&folder, key("a"), &at(Duration::from_secs(600))).unwrap();
    file::write(&folder, key("b"), &at(Duration::from_secs(60))).unwrap();
    let kept = kept();
    assert!(kept.find(key("a")).is_none() && kept.find(key("b")).is_some());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_is_forgotten_is_gone_from_the_disk_too() {
    let folder = folder("forget");
    let kept = open(&folder, Some(HOUR));
    for body in ["a", "b"] {
        kept.keep(key(body), answer("me", Duration::ZERO));
    }
    await_written(&kept).await;
    assert_eq!(count(&folder, "answer"), 2);
    kept.forget(key("a"));
    await_written(&kept).await;
    assert_eq!(count(&folder, "answer"), 1);
    assert!(kept.find(key("a")).is_none() && kept.find(key("b")).is_some());
    // Whatever comes while the disk is busy: the last word counts.
    for _ in 0..50 {
        kept.keep(key("a"), answer("me", Duration::ZERO));
        kept.forget(key("a"));
    }
    kept.keep(key("c"), answer("me", Duration::ZERO));
    await_written(&kept).await;
    assert_eq!(count(&folder, "answer"), 2);
    assert!(open(&folder, Some(HOUR)).find(key("a")).is_none());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn whoever_asks_in_a_thousand_ways_drives_out_its_own_answers() {
    let folder = folder("bounds");
    let kept = open(&folder, Some(HOUR));
    kept.keep(key("of another"), answer("other", Duration::from_secs(1_000)));
    for number in 0..=ANSWERS_MAX {
        kept.keep(key(&number.to_string()), answer("me", Duration::from_millis(999_000 - number as u64)));
    }
    assert!(kept.find(key("of another")).is_some());
    assert!(kept.find(key(&ANSWERS_MAX.to_string())).is_some());
    assert_eq!(kept.shared.as_ref().unwrap().locked().len(), CALLER_ANSWERS_MAX + 1);
    await_written(&kept).await;
    assert_eq!(count(&folder, "answer"), CALLER_ANSWERS_MAX + 1);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn of_many_callers_the_one_with_the_most_gives_way() {
    let mut answers = Answers::default();
    let mut gone = Vec::new();
    let body = Bytes::from(vec![b'x'; BYTES_MAX / 4]);
    for (caller, name, age) in [("one", "a", 9), ("two", "b", 3), ("two", "c", 2), ("three", "d", 1)] {
        let answer = KeptAnswer { body: body.clone(), ..answer(caller, Duration::from_secs(age)) };
        gone.extend(answers.put(key(name), &answer, HOUR));
    }
    assert_eq!(gone, []);
    assert_eq!(answers.put(key("e"), &answer("four", Duration::ZERO), HOUR), [key("b")]);
    assert_eq!(answers.len(), 4);
    // What is too old goes with the next one.
    let gone = answers.put(key("f"), &answer("five", Duration::ZERO), Duration::from_millis(1_500));
    assert!(gone.contains(&key("a")) && gone.contains(&key("c")), "{gone:?}");
}

#[tokio::test]
async fn a_start_leaves_no_more_files_than_may_be() {
    let folder = folder("start");
    for number in 0..ANSWERS_MAX + 20 {
        let caller = format!("caller {}", number / 10);
        file::write(&folder, key(&number.to_string()), &answer(&caller, Duration::ZERO)).unwrap();
    }
    let kept = open(&folder, Some(HOUR));
    assert_eq!(kept.shared.as_ref().unwrap().locked().len(), ANSWERS_MAX);
    assert_eq!(count(&folder, "answer"), ANSWERS_MAX);
    // Of damaged ones a few are enough.
    for entry in fs::read_dir(&folder).unwrap() {
        fs::write(entry.unwrap().path(), "x").unwrap();
    }
    open(&folder, Some(HOUR));
    assert_eq!((count(&folder, "answer"), count(&folder, "damaged")), (0, 16));
    file::write(&folder, key("a"), &answer("me", Duration::ZERO)).unwrap();
    assert!(open(&folder, None).find(key("a")).is_none());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_with_any_changed_byte_is_set_aside() {
    let folder = folder("damage");
    let read = || {
        let mut read = Vec::new();
        file::read_all(&folder, |key, _| read.push(key)).unwrap();
        read
    };
    let bytes = file::encode(key("a"), &answer("me", Duration::ZERO));
    assert_eq!(file::decode(&bytes).unwrap().1.body, GOOD);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(file::decode(&changed).is_err(), "{at}");
        assert!(file::decode(&bytes[..at]).is_err(), "{at}");
    }
    file::write(&folder, key("a"), &answer("me", Duration::ZERO)).unwrap();
    let path = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut changed = bytes;
    changed[5] ^= 1;
    fs::write(&path, changed).unwrap();
    assert_eq!(read(), []);
    assert!(path.with_extension("damaged").exists() && !path.exists());
    // Nor can a whole file stand under another question's name.
    file::write(&folder, key("a"), &answer("me", Duration::ZERO)).unwrap();
    file::write(&folder, key("b"), &answer("me", Duration::ZERO)).unwrap();
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "answer"));
    fs::copy(&paths[0], &paths[1]).unwrap();
    assert_eq!(read().len(), 1);
    fs::remove_dir_all(folder).unwrap();
}

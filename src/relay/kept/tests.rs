//! What is kept, for whom and how long.

use super::file;
use super::*;
use std::fs;

fn question() -> Question<'static> {
    Question {
        service: "https://tenant.example",
        service_kind: "simulated",
        path: "/_wmcs/certification/server.asmx",
        operation: Operation::GetServerInfo,
        content_type: "text/xml",
        soap_action: "\"a\"",
        accept_encoding: "",
        entry: "S-1-5-21-1",
        role: "exchange",
        body: b"<GetServerInfo/>",
    }
}

fn answer(body: &'static str) -> KeptAnswer {
    // Files know milliseconds.
    let at = SystemTime::UNIX_EPOCH
        + Duration::from_millis(
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64,
        );
    KeptAnswer {
        content_type: "text/xml".into(),
        content_encoding: String::new(),
        at,
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rmsc-kept-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

const GOOD: &str = "<GetServerInfoResponse/>";

#[test]
fn every_part_of_a_question_makes_another_key() {
    let base = question();
    let others = [
        Question { service: "https://other.example", ..base.clone() },
        Question { service_kind: "ad-rms", ..base.clone() },
        Question { path: "/_wmcs/licensing/server.asmx", ..base.clone() },
        Question { operation: Operation::GetLicensorCertificate, ..base.clone() },
        Question { content_type: "application/soap+xml", ..base.clone() },
        Question { soap_action: "", ..base.clone() },
        Question { accept_encoding: "gzip", ..base.clone() },
        Question { entry: "S-1-5-21-2", ..base.clone() },
        Question { role: "sharepoint", ..base.clone() },
        Question { body: b"<GetServerInfo />", ..base.clone() },
        // The same bytes, divided otherwise.
        Question { entry: "S-1-5-21-1e", role: "xchange", ..base.clone() },
    ];
    assert_eq!(base.key(), question().key());
    for other in others {
        assert_ne!(other.key(), base.key(), "{other:?}");
    }
}

#[tokio::test]
async fn an_answer_is_found_again_after_a_restart_until_it_is_too_old() {
    let folder = folder("restart");
    let config = |age_max| KeptConfig { folder: folder.clone(), age_max };
    let (key, hour) = (question().key(), Some(Duration::from_secs(3_600)));
    file::write(&folder, key, &answer(GOOD)).unwrap();
    let (found, age) = Kept::open(&config(hour)).find(key).unwrap();
    assert_eq!((&found.body[..], age < Duration::from_secs(60)), (GOOD.as_bytes(), true));
    let other = Question { entry: "S-1-5-21-2", ..question() }.key();
    assert!(Kept::open(&config(hour)).find(other).is_none());
    let old = KeptAnswer { at: SystemTime::now() - Duration::from_secs(3_601), ..answer(GOOD) };
    file::write(&folder, key, &old).unwrap();
    assert!(Kept::open(&config(hour)).find(key).is_none());
    assert!(Kept::open(&config(None)).find(key).is_none());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_with_any_changed_byte_is_set_aside() {
    let folder = folder("damage");
    let key = question().key();
    let bytes = file::encode(key, &answer(GOOD));
    assert_eq!(file::decode(&bytes).unwrap().1.body, GOOD);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(file::decode(&changed).is_err(), "{at}");
        assert!(file::decode(&bytes[..at]).is_err(), "{at}");
    }
    file::write(&folder, key, &answer(GOOD)).unwrap();
    let path = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut changed = bytes;
    changed[5] ^= 1;
    fs::write(&path, changed).unwrap();
    assert!(file::read_all(&folder).unwrap().is_empty());
    assert!(path.with_extension("damaged").exists() && !path.exists());
    // Nor can a whole file stand under another question's name.
    file::write(&folder, key, &answer(GOOD)).unwrap();
    let other = Question { entry: "S-1-5-21-2", ..question() }.key();
    file::write(&folder, other, &answer(GOOD)).unwrap();
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "answer"));
    fs::copy(&paths[0], &paths[1]).unwrap();
    assert_eq!(file::read_all(&folder).unwrap().len(), 1);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn only_answers_to_the_question_are_kept_and_not_too_many() {
    let folder = folder("bounds");
    let config = KeptConfig { folder: folder.clone(), age_max: Some(Duration::from_secs(60)) };
    let kept = Kept::open(&config);
    let key = |number: usize| Question { body: &number.to_be_bytes(), ..question() }.key();
    kept.keep(Operation::GetServerInfo, key(0), answer("<Fault/>"));
    assert!(kept.find(key(0)).is_none());
    for number in 0..=ANSWERS_MAX {
        let at = SystemTime::now() - Duration::from_millis(u64::try_from(2_000 - number).unwrap());
        let answers = &kept.shared.as_ref().unwrap();
        answers.locked().put(key(number), &KeptAnswer { at, ..answer(GOOD) });
    }
    assert!(kept.find(key(0)).is_none());
    assert!(kept.find(key(1)).is_some() && kept.find(key(ANSWERS_MAX)).is_some());
    let _ = fs::remove_dir_all(folder);
}

//! One kept answer a file: a line that says what it is, the answer, and a checksum over both.

use super::answers::{ANSWERS_MAX, BYTES_MAX};
use super::{ANSWER_BYTES_MAX, KeptAnswer, Key};
use crate::event::Event;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    key: String,
    at_ms: u64,
    caller: String,
    content_type: String,
    bytes: usize,
}

/// Gives everything in the folder that is whole, the newest first, within bounds. What is beyond them is removed.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn read_all(folder: &Path, mut give: impl FnMut(Key, KeptAnswer)) -> io::Result<()> {
    let mut answers = Vec::new();
    let mut damaged = 0;
    for (path, extension) in files(folder)? {
        match &*extension {
            EXTENSION => {
                let found = fs::metadata(&path).and_then(|it| Ok((it.modified()?, it.len())));
                let (at, bytes) = found.unwrap_or((SystemTime::UNIX_EPOCH, 0));
                answers.push((at, bytes, path));
            }
            DAMAGED => damaged += 1,
            // Its writer was ended.
            TEMPORARY => drop(fs::remove_file(&path)),
            _ => {}
        }
    }
    answers.sort_by(|one, other| other.cmp(one));
    let (mut count, mut bytes_in_all) = (0, 0);
    for (_, bytes, path) in answers {
        count += 1;
        bytes_in_all += bytes;
        if count > ANSWERS_MAX || bytes_in_all > BYTES_MAX as u64 {
            drop(fs::remove_file(&path));
            continue;
        }
        match read(&path) {
            Ok((key, answer)) => give(key, answer),
            Err(reason) if damaged < DAMAGED_MAX => {
                damaged += 1;
                set_aside(&path, &reason);
            }
            Err(reason) => {
                tracing::warn!(reason, path = %path.display(), "one more damaged file is removed");
                drop(fs::remove_file(&path));
            }
        }
    }
    Ok(())
}

/// Removes everything that was kept.
///
/// # Errors
/// The folder cannot be read, or a file cannot be removed.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    for (path, extension) in files(folder)? {
        if [EXTENSION, TEMPORARY, DAMAGED].contains(&&*extension) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(extension) = path.extension().and_then(|it| it.to_str()).map(str::to_owned) {
            files.push((path, extension));
        }
    }
    Ok(files)
}

/// Writes a file and then gives it its name, so that there is the old one or the new one and never half of one.
///
/// # Errors
/// The disk's.
pub(super) fn write(folder: &Path, key: Key, answer: &KeptAnswer) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!("{}-{:08x}.{TEMPORARY}", hex(key), rand::random::<u32>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(&encode(key, answer)).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path(folder, key)));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    File::open(folder)?.sync_all()
}

/// Removes a file, if it is there.
pub(super) fn remove(folder: &Path, key: Key) {
    // What is still there is read at the next start, and is as old as it says.
    let _ = fs::remove_file(path(folder, key));
}

pub(super) fn encode(key: Key, answer: &KeptAnswer) -> Vec<u8> {
    let since = answer.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let head = Head {
        format: FORMAT,
        key: hex(key),
        at_ms: u64::try_from(since.as_millis()).unwrap_or(0),
        caller: answer.caller.clone(),
        content_type: answer.content_type.clone(),
        bytes: answer.body.len(),
    };
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend_from_slice(&answer.body);
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<(Key, KeptAnswer), String> {
    let (content, sum) = bytes.split_last_chunk::<32>().ok_or("it is too short")?;
    if Sha256::digest(content)[..] != sum[..] {
        return Err("its checksum is wrong".into());
    }
    let line = content.iter().position(|byte| *byte == b'\n').ok_or("it has no head")?;
    let (head, body) = content.split_at(line);
    let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let body = body.get(1..).unwrap_or_default();
    if head.format != FORMAT {
        return Err(format!("its format is {}, and this build reads {FORMAT}", head.format));
    }
    if head.bytes != body.len() {
        return Err("its length is not what its head says".into());
    }
    let key = key(&head.key).ok_or("its key is none")?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(head.at_ms);
    let (caller, content_type) = (head.caller, head.content_type);
    Ok((key, KeptAnswer { caller, content_type, at, body: Bytes::copy_from_slice(body) }))
}

fn read(path: &Path) -> Result<(Key, KeptAnswer), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let (key, answer) = decode(&bytes)?;
    if path.file_stem().and_then(|it| it.to_str()) != Some(&hex(key)) {
        return Err("its name is another answer's".into());
    }
    Ok((key, answer))
}

fn set_aside(path: &Path, reason: &str) {
    let kept = path.with_extension(DAMAGED);
    if let Err(error) = fs::rename(path, &kept) {
        tracing::warn!(%error, path = %path.display(), "a damaged file stays where it is");
    }
    Event::DamageSetAside { what: "an answer of the service that was kept", kept: &kept, reason }.log();
}

fn path(folder: &Path, key: Key) -> PathBuf {
    folder.join(format!("{}.{EXTENSION}", hex(key)))
}

fn hex(Key(bytes): Key) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    let pair = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = pair(at)?;
    }
    (text.len() == 64).then_some(Key(key))
}

const FORMAT: u32 = 2;
const EXTENSION: &str = "answer";
const TEMPORARY: &str = "tmp";
const DAMAGED: &str = "damaged";
/// Enough to see what damages them.
const DAMAGED_MAX: usize = 16;
/// The largest answer, and room for its head and checksum.
const FILE_BYTES_MAX: u64 = ANSWER_BYTES_MAX as u64 + 4_096;

//! What lies in a snapshot and in a backup, read without the product's own readers: as somebody would who found
//! the file, and the key of the backup.

use std::fs;
use std::io::Read;
use std::path::Path;

/// A backup, decrypted with a key file.
pub fn decrypted(backup: &Path, key: &Path) -> Vec<u8> {
    let key = fs::read_to_string(key).expect("the key was made");
    let key = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).expect("a key file has a key");
    let key: age::x25519::Identity = key.parse().expect("it is a key");
    let file = fs::File::open(backup).expect("the backup was made");
    let decryptor = age::Decryptor::new_buffered(std::io::BufReader::new(file)).expect("a file of age");
    let mut plain = Vec::new();
    let mut reader = decryptor.decrypt(std::iter::once(&key as _)).expect("it was made for this key");
    reader.read_to_end(&mut plain).expect("it is whole");
    plain
}

/// The snapshot in a decrypted backup: behind eight letters and a head that has its length before it.
pub fn snapshot_of(backup: &[u8]) -> &[u8] {
    let head = backup.get(8..12).expect("it begins with letters and a length");
    let head = head.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    backup.get(12 + head..).expect("the head is followed by a snapshot")
}

/// The header and all rows of a snapshot, not compressed any more.
pub fn unpacked(snapshot: &[u8]) -> Vec<u8> {
    let mut rest = snapshot.strip_prefix(b"rmscsnap").expect("it begins as a snapshot");
    let mut frame = || {
        let (length, behind) = rest.split_first_chunk().expect("a frame has its length");
        let behind = behind.get(4..).expect("and a checksum");
        let length = u32::from_le_bytes(*length) as usize;
        let (frame, behind) = behind.split_at_checked(length).expect("a frame is whole");
        rest = behind;
        frame
    };
    let mut unpacked = frame().to_vec();
    loop {
        let rows = frame();
        if rows.is_empty() {
            return unpacked;
        }
        unpacked.extend(lz4_flex::block::decompress_size_prepended(rows).expect("a block of LZ4"));
    }
}

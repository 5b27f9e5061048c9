//! Keytabs of the test's own making.

/// An entry as the tools write it, with its length in front.
pub fn entry(spn: &str, realm: &str, version: u32, etype: u16, key: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&length(text.len())[..], text.as_bytes()].concat();
    let names: Vec<&str> = spn.split('/').collect();
    let mut entry = length(names.len()).to_vec();
    entry.extend(text(realm));
    names.iter().for_each(|name| entry.extend(text(name)));
    entry.extend([0, 0, 0, 1, 0, 0, 0, 0, 0]);
    entry.extend(etype.to_be_bytes());
    entry.extend(length(key.len()));
    entry.extend(key);
    entry.extend(version.to_be_bytes());
    [&u32::try_from(entry.len()).expect("it is short").to_be_bytes()[..], &entry].concat()
}

/// A file of such entries.
pub fn file(entries: &[Vec<u8>]) -> Vec<u8> {
    [&[5, 2][..], &entries.concat()].concat()
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("it is short").to_be_bytes()
}

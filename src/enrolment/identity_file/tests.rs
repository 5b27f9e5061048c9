//! What is kept is read back, and shows nothing.

use super::*;
use crate::storage::frozen;

pub(in crate::enrolment) struct Folder(pub(in crate::enrolment) PathBuf);

impl Folder {
    pub(in crate::enrolment) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rmsc-identity-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn introduction() -> Introduction {
    let member = Introduced { node_id: 1, key: KeyHash([3; 32]), peer_address: "one:8700".into() };
    Introduction { as_of: 4, group: 11, members: vec![member] }
}

fn identity() -> Identity {
    Identity {
        cluster_id: "c1".into(),
        node_id: 5,
        authority: "authority".into(),
        certificate: "certificate".into(),
        incarnation: 7,
        witness: true,
        node_key: Secret::new(b"canary of the node".to_vec()),
        data_key: Key::random(),
        authority_key: Some(Secret::new(b"canary of the authority".to_vec())),
        introduction: Some(introduction()),
        administrator: Some(NewAdministrator { name: "alice".into(), key: KeyHash([6; 32]) }),
    }
}

#[test]
fn an_identity_is_read_back_and_shows_no_secret() {
    let (folder, key, identity) = (Folder::new(), Key::random(), identity());
    save(&folder.0, &key, &identity).unwrap();
    let read = load(&folder.0, &key).unwrap();
    assert_eq!(read.node_key.expose(), identity.node_key.expose());
    assert_eq!(read.administrator, identity.administrator);
    assert_eq!(read.data_key.bytes().expose(), identity.data_key.bytes().expose());
    assert_eq!(read.authority_key.unwrap().expose(), identity.authority_key.unwrap().expose());
    assert_eq!((read.node_id, read.incarnation, read.witness), (5, 7, true));
    let bytes = fs::read(identity_path(&folder.0)).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"canary"));
    let card = card(&folder.0).unwrap().unwrap();
    assert_eq!((card.cluster_id.as_str(), card.node_id), ("c1", 5));
}

#[test]
fn another_hosts_key_does_not_open_it() {
    let folder = Folder::new();
    save(&folder.0, &Key::random(), &identity()).unwrap();
    let error = load(&folder.0, &Key::random()).unwrap_err();
    assert!(error.to_string().contains("cannot be moved to another host"), "{error}");
}

#[test]
fn without_an_identity_the_two_ways_are_named() {
    let folder = Folder::new();
    let error = load(&folder.0, &Key::random()).unwrap_err().to_string();
    assert!(error.contains("rmsc init") && error.contains("rmsc join"), "{error}");
    assert_eq!(card(&folder.0).unwrap(), None);
}

#[test]
fn what_is_damaged_or_newer_is_refused() {
    let (folder, key) = (Folder::new(), Key::random());
    let path = identity_path(&folder.0);
    for damaged in [&b""[..], b"nonsense", &[0xff; 40]] {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(load(&folder.0, &key), Err(IdentityError::Damaged { .. })), "{damaged:?}");
    }
    fs::write(&path, stored::Identity { format: 3, ..Default::default() }.encode_to_vec()).unwrap();
    assert!(matches!(load(&folder.0, &key), Err(IdentityError::TooNew { found: 3, .. })));
}

#[test]
fn what_a_join_keeps_is_read_back_until_it_is_removed() {
    let (folder, key) = (Folder::new(), Key::random());
    assert!(load_joining(&folder.0, &key).unwrap().is_none());
    let joining = Joining { incarnation: 3, node_key: Secret::new(b"canary".to_vec()) };
    save_joining(&folder.0, &key, &joining).unwrap();
    let read = load_joining(&folder.0, &key).unwrap().unwrap();
    assert_eq!((read.incarnation, read.node_key.expose().as_slice()), (3, b"canary".as_slice()));
    forget_joining(&folder.0).unwrap();
    forget_joining(&folder.0).unwrap();
    assert!(load_joining(&folder.0, &key).unwrap().is_none());
}

/// What is sealed comes out different each time, so it is only read.
#[test]
fn what_was_released_is_read() {
    let (folder, key) = (Folder::new(), Key::of_bytes(&[7; 32]).unwrap());
    let written = Identity { data_key: Key::of_bytes(&[9; 32]).unwrap(), ..identity() };
    save(&folder.0, &key, &written).unwrap();
    let path = identity_path(&folder.0);
    fs::write(&path, frozen::keep("identity-2/identity", &fs::read(&path).unwrap())).unwrap();
    let read = load(&folder.0, &key).unwrap();
    let texts = [read.cluster_id, read.authority, read.certificate];
    assert_eq!(texts, ["c1", "authority", "certificate"]);
    assert_eq!((read.node_id, read.incarnation, read.witness), (5, 7, true));
    assert_eq!(read.node_key.expose(), b"canary of the node");
    assert_eq!(read.data_key.bytes().expose(), &[9; 32]);
    assert_eq!(read.authority_key.unwrap().expose(), b"canary of the authority");
    let (cluster_id, authority) = ("c1".into(), "authority".into());
    let expected = Card { cluster_id, node_id: 5, authority, incarnation: 7 };
    assert_eq!(card(&folder.0).unwrap(), Some(expected));

    let joining = Joining { incarnation: 3, node_key: Secret::new(b"canary".to_vec()) };
    save_joining(&folder.0, &key, &joining).unwrap();
    let path = folder.0.join(JOINING);
    fs::write(&path, frozen::keep("identity-2/joining", &fs::read(&path).unwrap())).unwrap();
    let read = load_joining(&folder.0, &key).unwrap().unwrap();
    assert_eq!((read.incarnation, read.node_key.expose().as_slice()), (3, b"canary".as_slice()));
}

#[test]
fn what_is_in_the_clear_cannot_be_changed_without_the_key() {
    let (folder, key) = (Folder::new(), Key::random());
    let changes: [fn(&mut stored::Identity); 7] = [
        |file| file.authority += "another authority",
        |file| file.certificate += "another certificate",
        |file| file.incarnation = 8_u128.to_be_bytes().to_vec(),
        |file| file.witness = false,
        |file| file.node_id = 6,
        |file| file.cluster_id = "c2".into(),
        // A byte that goes from one field to the next.
        |file| {
            file.authority.pop();
            file.certificate.insert(0, 'y');
        },
    ];
    for change in changes {
        save(&folder.0, &key, &identity()).unwrap();
        let path = identity_path(&folder.0);
        let mut file = stored::Identity::decode(fs::read(&path).unwrap().as_slice()).unwrap();
        change(&mut file);
        fs::write(&path, file.encode_to_vec()).unwrap();
        let loaded = load(&folder.0, &key);
        assert!(matches!(loaded, Err(IdentityError::Sealed { .. })), "{loaded:?}");
    }
}

#[test]
fn a_file_from_before_the_clear_half_was_bound_is_not_used() {
    let (folder, key) = (Folder::new(), Key::random());
    save(&folder.0, &key, &identity()).unwrap();
    let path = identity_path(&folder.0);
    let file = stored::Identity::decode(fs::read(&path).unwrap().as_slice()).unwrap();
    fs::write(&path, stored::Identity { format: 1, ..file }.encode_to_vec()).unwrap();
    assert!(matches!(load(&folder.0, &key), Err(IdentityError::Damaged { .. })));
}

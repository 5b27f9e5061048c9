//! Where a node's own key is: a credential that systemd hands over, or a file that only the service reads.

use super::{KEY_BYTES, Key};
use crate::secret::Secret;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// `[secrets]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to look.
    pub kind: Kind,
    /// The file, where it is one.
    pub key_file: PathBuf,
}

/// Where to look for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A credential if there is one, else the file.
    Auto,
    /// A credential and nothing else.
    SystemdCreds,
    /// The file and nothing else.
    File,
}

/// The key, and where it was.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key.
    pub key: Key,
    /// The file in which it lies in the clear, if there is one: whoever copies it and the data folder has all.
    pub plain_file: Option<PathBuf>,
}

/// There is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    /// It cannot be read.
    #[error("cannot read the seal key {path}")]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("cannot make the seal key {path}")]
    Make {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the seal key {path} has the mode {mode:03o}, which is too open; chmod 0600 {path}")]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no key.
    #[error("{path} holds no seal key, which is 64 hexadecimal digits")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// systemd hands none over.
    #[error(
        "secrets.seal is systemd-creds, but systemd hands over no credential named {CREDENTIAL}; \
         see LoadCredentialEncrypted= in rmsc.service"
    )]
    NoCredential,
}

/// The node's key, which must be there.
///
/// # Errors
/// [`NodeKeyError`].
pub fn find(config: &Config) -> Result<Found, NodeKeyError> {
    find_in(config, credentials())
}

/// The node's key; a file is made if there is none.
///
/// # Errors
/// [`NodeKeyError`].
pub fn find_or_make(config: &Config) -> Result<Found, NodeKeyError> {
    match find(config) {
        Err(NodeKeyError::Read { path, source })
            if source.kind() == io::ErrorKind::NotFound && path == config.key_file =>
        {
            make(&path).map_err(|source| NodeKeyError::Make { path, source })?;
            find(config)
        }
        found => found,
    }
}

fn find_in(config: &Config, credentials: Option<PathBuf>) -> Result<Found, NodeKeyError> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
    let plain_file = Some(config.key_file.clone()).filter(|path| path.exists());
    match (config.kind, credential) {
        (Kind::Auto | Kind::SystemdCreds, Some(path)) => Ok(Found { key: read(&path)?, plain_file }),
        (Kind::SystemdCreds, None) => Err(NodeKeyError::NoCredential),
        (Kind::Auto, None) | (Kind::File, _) => Ok(Found { key: read(&config.key_file)?, plain_file }),
    }
}

fn read(path: &Path) -> Result<Key, NodeKeyError> {
    let failed = |source| NodeKeyError::Read { path: path.into(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    // systemd gives a credential to its service with 0440, in a folder that nobody else may enter.
    if mode & 0o027 != 0 {
        return Err(NodeKeyError::Readable { path: path.into(), mode });
    }
    let text = Secret::new(fs::read_to_string(path).map_err(failed)?);
    let bytes = bytes_of_hex(text.expose().trim()).map(Secret::new);
    let key = bytes.and_then(|bytes| Key::of_bytes(bytes.expose()));
    key.ok_or_else(|| NodeKeyError::NoKey { path: path.into() })
}

fn make(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let bytes = Key::random().bytes();
    let hex: String = bytes.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = Secret::new(hex);
    // Beside it, so that a file that is there holds a whole key; another process may be at it too.
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(hex.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::hard_link(&unfinished, path)
    })();
    let removed = fs::remove_file(&unfinished);
    written.and(removed)?;
    fs::File::open(folder)?.sync_all()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = Secret::new(digits?);
    let pairs = digits.expose().chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| bytes.len() == KEY_BYTES)
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// What the credential is called.
const CREDENTIAL: &str = "rmsc-seal";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("rmsc-seal-{:016x}", rand::random::<u64>()));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn config(&self, kind: Kind) -> Config {
            Config { kind, key_file: self.0.join("etc/seal.key") }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let folder = Folder::new();
        let config = folder.config(Kind::File);
        assert!(matches!(find(&config), Err(NodeKeyError::Read { .. })));
        let made = find_or_make(&config).unwrap();
        assert_eq!(find_or_make(&config).unwrap().key.bytes().expose(), made.key.bytes().expose());
        assert_eq!(made.plain_file.as_deref(), Some(config.key_file.as_path()));
        assert_eq!(fs::metadata(&config.key_file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_was_released_is_read() {
        let folder = Folder::new();
        let config = folder.config(Kind::File);
        find_or_make(&config).unwrap();
        let frozen = frozen::keep("seal-key-1/seal.key", &fs::read(&config.key_file).unwrap());
        fs::write(&config.key_file, frozen).unwrap();
        let key = find(&config).unwrap().key;
        // What this very key sealed tells it from any other.
        let sealed = frozen::keep("seal-key-1/sealed", &key.seal("c1", b"canary"));
        assert_eq!(key.open("c1", &sealed).unwrap().expose(), b"canary");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = Folder::new();
        let config = folder.config(Kind::Auto);
        write(&config.key_file, &"ab".repeat(32), 0o644);
        let error = find_in(&config, None).unwrap_err().to_string();
        assert!(error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = Folder::new();
        let config = folder.config(Kind::File);
        for wrong in ["", "abc", "zz", &"ab".repeat(31), &"ab".repeat(33), &format!("{}g", "a".repeat(63))] {
            write(&config.key_file, wrong, 0o600);
            assert!(matches!(find_in(&config, None), Err(NodeKeyError::NoKey { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_credential_counts_before_the_file() {
        let folder = Folder::new();
        let credentials = folder.0.join("credentials");
        write(&credentials.join(CREDENTIAL), &"ab".repeat(32), 0o440);
        for kind in [Kind::Auto, Kind::SystemdCreds] {
            let found = find_in(&folder.config(kind), Some(credentials.clone())).unwrap();
            assert_eq!(
                (found.key.bytes().expose().as_slice(), found.plain_file),
                ([0xab; 32].as_slice(), None)
            );
        }
        let none = find_in(&folder.config(Kind::SystemdCreds), None);
        assert!(matches!(none, Err(NodeKeyError::NoCredential)));
    }
}

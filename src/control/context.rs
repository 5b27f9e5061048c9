//! The context file of an administrator: where a cluster is, and who asks.

use super::ConnectError;
use crate::enrolment::{Administrator, NewKey};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a cluster is and who asks. Paths in it are relative to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The admin addresses of the nodes; any of them will do.
    pub endpoints: Vec<String>,
    /// The cluster's certificate authority.
    pub authority: PathBuf,
    /// The administrator's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What a context folder is made of, PEM.
#[derive(Clone, Copy)]
pub struct NewContext<'a> {
    /// The cluster's certificate authority.
    pub authority: &'a str,
    /// The administrator's certificate.
    pub certificate: &'a str,
    /// Its key; none where it is in the folder, or comes into it, by other means.
    pub key: Option<&'a Secret<String>>,
}

/// Files that were just written.
#[derive(Debug, Default)]
pub struct WrittenContext {
    made: Vec<PathBuf>,
}

/// A context was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteContextError {
    /// There is one.
    #[error(
        "{path} belongs to an administrator already, and nothing is written over it; keep it, and name another \
         folder with --context-dir"
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The disk.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl<'a> From<&'a Administrator> for NewContext<'a> {
    fn from(administrator: &'a Administrator) -> Self {
        let Administrator { authority, certificate, key } = administrator;
        NewContext { authority, certificate, key: Some(key) }
    }
}

impl WrittenContext {
    /// The context file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.made.last().map(PathBuf::as_path).unwrap_or(Path::new(""))
    }

    /// Takes the files out again, because what they were for did not come to be.
    pub fn undo(self) {
        for path in self.made {
            std::fs::remove_file(path).ok();
        }
    }

    fn write(&mut self, path: PathBuf, text: &str) -> Result<(), WriteContextError> {
        // A key must never be written over, whatever was looked at before.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => WriteContextError::Taken { path: path.clone() },
            _ => WriteContextError::Io { path: path.clone(), source },
        })?;
        self.made.push(path.clone());
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| WriteContextError::Io { path, source })
    }
}

impl Context {
    /// Reads a context file.
    ///
    /// # Errors
    /// [`ConnectError::Read`] and [`ConnectError::Parse`].
    pub fn load(path: &Path) -> Result<Self, ConnectError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConnectError::Read { path: path.into(), source })?;
        let mut context: Context =
            toml::from_str(&text).map_err(|source| ConnectError::Parse { path: path.into(), source })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for file in [&mut context.authority, &mut context.certificate, &mut context.key] {
            *file = folder.join(&*file);
        }
        Ok(context)
    }

    /// Whether a folder has nothing in the way of a context.
    ///
    /// # Errors
    /// [`WriteContextError::Taken`] names the first file that is there.
    pub fn check_free(folder: &Path) -> Result<(), WriteContextError> {
        check_free(folder, &[CONTEXT_FILE, AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE])
    }

    /// Writes an administrator's context and what belongs to it into a folder. Nothing is written over, and
    /// when it fails nothing is left.
    ///
    /// # Errors
    /// [`WriteContextError`] names the file.
    pub fn write(
        folder: &Path,
        new: NewContext<'_>,
        endpoints: Vec<String>,
    ) -> Result<WrittenContext, WriteContextError> {
        let mut written = WrittenContext::default();
        match write(folder, new, endpoints, &mut written) {
            Ok(()) => Ok(written),
            Err(error) => {
                written.undo();
                Err(error)
            }
        }
    }

    /// Writes a new key, and the request for its certificate, into the folder where the context will be.
    ///
    /// # Errors
    /// [`WriteContextError`] names the file.
    pub fn begin(folder: &Path, key: &NewKey) -> Result<WrittenContext, WriteContextError> {
        check_free(folder, &[CONTEXT_FILE, AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, REQUEST_FILE])?;
        make(folder)?;
        let mut written = WrittenContext::default();
        let files = [(KEY_FILE, key.key.expose()), (REQUEST_FILE, &key.request)];
        match files.into_iter().try_for_each(|(name, text)| written.write(folder.join(name), text)) {
            Ok(()) => Ok(written),
            Err(error) => {
                written.undo();
                Err(error)
            }
        }
    }
}

fn write(
    folder: &Path,
    new: NewContext<'_>,
    endpoints: Vec<String>,
    written: &mut WrittenContext,
) -> Result<(), WriteContextError> {
    Context::check_free(folder)?;
    make(folder)?;
    if let Some(key) = new.key {
        written.write(folder.join(KEY_FILE), key.expose())?;
    }
    written.write(folder.join(AUTHORITY_FILE), new.authority)?;
    written.write(folder.join(CERTIFICATE_FILE), new.certificate)?;
    let [authority, certificate, key] = [AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE].map(PathBuf::from);
    let context = Context { endpoints, authority, certificate, key };
    let text = toml::to_string(&context).expect("texts and paths can be written as TOML");
    // Last: with it the others count.
    written.write(folder.join(CONTEXT_FILE), &text)
}

fn check_free(folder: &Path, names: &[&str]) -> Result<(), WriteContextError> {
    let paths = names.iter().map(|name| folder.join(name));
    // A link to nowhere is in the way, too.
    match paths.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(WriteContextError::Taken { path }),
        None => Ok(()),
    }
}

fn make(folder: &Path) -> Result<(), WriteContextError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
    made.map_err(|source| WriteContextError::Io { path: folder.into(), source })
}

/// What the context file is called.
pub const CONTEXT_FILE: &str = "context.toml";
const AUTHORITY_FILE: &str = "cluster-ca.pem";
const CERTIFICATE_FILE: &str = "admin.pem";
const KEY_FILE: &str = "admin.key";
const REQUEST_FILE: &str = "admin.csr";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("rmsc-context-{:016x}", rand::random::<u64>()));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn written(folder: &Folder) -> Result<WrittenContext, WriteContextError> {
        let key = Secret::new("key".to_owned());
        let new = NewContext { authority: "authority", certificate: "certificate", key: Some(&key) };
        Context::write(&folder.0, new, vec!["127.0.0.1:8701".into()])
    }

    #[test]
    fn what_was_released_is_read_and_still_written() {
        let folder = Folder::new();
        let key = Secret::new("KEY".to_owned());
        let new = NewContext { authority: "AUTHORITY", certificate: "CERTIFICATE", key: Some(&key) };
        let endpoints = ["10.1.0.11:8701", "rmsc-2.lab:8701"].map(str::to_owned).to_vec();
        let context = Context::write(&folder.0, new, endpoints.clone()).unwrap();
        let path = context.path();
        let frozen = frozen::check("context-1/context.toml", &fs::read(path).unwrap());
        fs::write(path, frozen).unwrap();
        let beside = |name: &str| folder.0.join(name);
        let expected = Context {
            endpoints,
            authority: beside("cluster-ca.pem"),
            certificate: beside("admin.pem"),
            key: beside("admin.key"),
        };
        assert_eq!(Context::load(path).unwrap(), expected);
        let files = [expected.authority, expected.certificate, expected.key];
        assert_eq!(files.map(|file| fs::read_to_string(file).unwrap()), ["AUTHORITY", "CERTIFICATE", "KEY"]);
    }

    #[test]
    fn no_file_of_another_context_is_written_over_and_nothing_is_left_then() {
        for name in [CONTEXT_FILE, AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE] {
            let folder = Folder::new();
            fs::write(folder.0.join(name), "precious").unwrap();
            let error = written(&folder).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(fs::read_to_string(folder.0.join(name)).unwrap(), "precious");
            assert_eq!(folder.files(), 1, "{name}");
        }
    }

    #[test]
    fn every_file_is_private_and_can_be_taken_out_again() {
        let folder = Folder::new();
        let context = written(&folder).unwrap();
        assert_eq!(context.path(), folder.0.join(CONTEXT_FILE));
        for file in fs::read_dir(&folder.0).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(written(&folder), Err(WriteContextError::Taken { .. })));
        assert_eq!(folder.files(), 4);
        context.undo();
        assert_eq!(folder.files(), 0);
    }
}

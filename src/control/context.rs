//! The context file of an administrator: where a cluster is, and who asks.

use super::ConnectError;
use crate::enrolment::Administrator;
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

/// A context was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteContextError {
    path: PathBuf,
    source: io::Error,
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

    /// Writes an administrator's context and what belongs to it into a folder; gives the context file.
    ///
    /// # Errors
    /// [`WriteContextError`] names the file.
    pub fn write(
        folder: &Path,
        administrator: &Administrator,
        endpoints: Vec<String>,
    ) -> Result<PathBuf, WriteContextError> {
        let [authority, certificate, key] = ["cluster-ca.pem", "admin.pem", "admin.key"].map(PathBuf::from);
        let failed = |path: &Path, source| WriteContextError { path: path.into(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(|source| failed(folder, source))?;
        let write = |name: &Path, text: &str| {
            let path = folder.join(name);
            write_private(&path, text).map_err(|source| failed(&path, source))
        };
        write(&authority, &administrator.authority)?;
        write(&certificate, &administrator.certificate)?;
        write(&key, administrator.key.expose())?;
        let file = PathBuf::from(CONTEXT_FILE);
        let context = Context { endpoints, authority, certificate, key };
        let text = toml::to_string(&context).expect("texts and paths can be written as TOML");
        // Last: with it the others count.
        write(&file, &text)?;
        Ok(folder.join(file))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What the context file is called.
pub const CONTEXT_FILE: &str = "context.toml";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::storage::{frozen, testing::Folder};

    #[test]
    fn what_was_released_is_read_and_still_written() {
        let folder = Folder::new();
        let [authority, certificate] = ["AUTHORITY", "CERTIFICATE"].map(str::to_owned);
        let administrator = Administrator { authority, certificate, key: Secret::new("KEY".into()) };
        let endpoints = ["10.1.0.11:8701", "rmsc-2.lab:8701"].map(str::to_owned).to_vec();
        let path = Context::write(folder.path(), &administrator, endpoints.clone()).unwrap();
        let frozen = frozen::check("context-1/context.toml", &std::fs::read(&path).unwrap());
        std::fs::write(&path, frozen).unwrap();
        let beside = |name: &str| folder.path().join(name);
        let expected = Context {
            endpoints,
            authority: beside("cluster-ca.pem"),
            certificate: beside("admin.pem"),
            key: beside("admin.key"),
        };
        assert_eq!(Context::load(&path).unwrap(), expected);
        let files = [expected.authority, expected.certificate, expected.key];
        assert_eq!(
            files.map(|file| std::fs::read_to_string(file).unwrap()),
            ["AUTHORITY", "CERTIFICATE", "KEY"]
        );
    }
}

//! Programs that tests run: ours, curl, openssl, and the Python clients.

use super::lab::Account;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its output as JSON.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not the JSON: {error}: {self:?}"))
    }

    /// A field of the JSON object that it printed.
    #[track_caller]
    pub fn field(&self, name: &str) -> serde_json::Value {
        let json: serde_json::Value = self.json();
        json.get(name).cloned().unwrap_or_else(|| panic!("no {name} in {json}"))
    }

    #[track_caller]
    pub fn check_code(&self, expected: i32) -> &Self {
        assert_eq!(self.code, Some(expected), "{self:?}");
        self
    }

    /// Checks that all these words were said on stderr.
    #[track_caller]
    pub fn check_says(&self, expected: &[&str]) -> &Self {
        for words in expected {
            assert!(self.stderr.contains(words), "no {words:?} in {self:?}");
        }
        self
    }
}

/// Our own program, with nothing of this environment that would change what it does.
pub fn rmsc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmsc"));
    for variable in ["RMSC_OUTPUT", "RMSC_CONTEXT", "RMSC_ENDPOINT", "RMSC_CONFIG"] {
        command.env_remove(variable);
    }
    command
}

/// Starts one of our own services, which says on stderr in so many lines where it is: URLs at their ends.
#[track_caller]
pub fn started<const N: usize>(command: &mut Command) -> (Child, [String; N]) {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built with the tests");
    let stderr = process.stderr.take().expect("it was asked for");
    let mut lines = BufReader::new(stderr).lines();
    let places = std::array::from_fn(|_| {
        let line = lines.next().expect("it says where it is").expect("text");
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http"), "{line}");
        url
    });
    (process, places)
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        match error.kind() {
            ErrorKind::NotFound => panic!("{program} is not installed: tests/run installs what tests need"),
            _ => panic!("cannot run {program}: {error}"),
        }
    });
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What curl got.
#[derive(Clone, Debug)]
pub struct Curled {
    pub status: u16,
    pub headers: Vec<String>,
    pub body: String,
}

impl Curled {
    /// The values of a header of the last answer.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of_name = |line: &'_ String| {
            line.split_once(": ").is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        self.headers
            .iter()
            .filter(|line| of_name(line))
            .filter_map(|line| line.split_once(": ").map(|(_, value)| value))
            .collect()
    }
}

/// Runs curl, and gives the last answer that it saw.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Curled {
    curl_with(&mut Command::new("curl"), arguments)
}

/// Runs a curl that was prepared.
#[track_caller]
pub fn curl_with(curl: &mut Command, arguments: &[&str]) -> Curled {
    let ran = run(curl
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--include"])
        .args(arguments));
    assert_eq!(ran.code, Some(0), "curl {arguments:?}: {ran:?}");
    let mut rest = ran.stdout.as_str();
    loop {
        let (head, body) =
            rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("curl saw no answer: {ran:?}"));
        if body.starts_with("HTTP/") {
            rest = body;
            continue;
        }
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        return Curled {
            status: status.unwrap_or_else(|| panic!("no status: {ran:?}")),
            headers: lines.map(str::to_owned).collect(),
            body: body.to_owned(),
        };
    }
}

/// curl with NTLM as an account.
#[track_caller]
pub fn curl_ntlm(account: &Account, arguments: &[&str]) -> Curled {
    let user = account.with_password();
    curl(&[&["--ntlm", "--user", &user], arguments].concat())
}

/// Runs one of the Python clients in `tests/clients`, and gives what it printed.
#[track_caller]
pub fn python<T: DeserializeOwned>(script: &str, arguments: &[&str]) -> T {
    python_with(&mut Command::new(interpreter()), script, arguments)
}

/// The same, in an interpreter that was prepared.
#[track_caller]
pub fn python_with<T: DeserializeOwned>(python: &mut Command, script: &str, arguments: &[&str]) -> T {
    let interpreter = interpreter();
    assert!(
        interpreter.exists(),
        "{} is missing: run tests/run, or: python3 -m venv tests/.venv && \
         tests/.venv/bin/pip install -r tests/clients/requirements.txt",
        interpreter.display()
    );
    let ran = run(python
        .env("no_proxy", "*")
        .arg(manifest_dir().join("tests/clients").join(script))
        .args(arguments));
    assert_eq!(ran.code, Some(0), "{script} {arguments:?}: {ran:?}");
    ran.json()
}

/// The same with the libraries of another environment.
#[track_caller]
pub fn python_by<T: DeserializeOwned>(interpreter: &Path, script: &str, arguments: &[&str]) -> T {
    assert!(interpreter.exists(), "{} is missing: run tests/run", interpreter.display());
    let script = manifest_dir().join("tests/clients").join(script);
    let ran = run(Command::new(interpreter).arg(&script).args(arguments));
    assert_eq!(ran.code, Some(0), "{script:?} {arguments:?}: {ran:?}");
    ran.json()
}

/// The one that has the clients' libraries.
pub fn interpreter() -> PathBuf {
    std::env::var_os("RMSC_TEST_VENV")
        .map_or_else(|| manifest_dir().join("tests/.venv"), PathBuf::from)
        .join("bin/python")
}

/// How many of something there are to be: as a variable says, or the usual number.
#[track_caller]
pub fn number_of(variable: &str, usual: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return usual };
    text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, no number"))
}

/// The folder of the source.
pub fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//! A program at a terminal: what it asks, and what somebody types.

use super::wait;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A program that runs at a terminal of its own.
pub struct Terminal {
    keyboard: File,
    process: Child,
    screen: Arc<Mutex<String>>,
    /// Ends when the program has, and all that it wrote is on the screen.
    reader: Option<JoinHandle<()>>,
}

/// How it ended, and all that stood on the screen: what was typed, too.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub screen: String,
}

impl Terminal {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("the system has terminals");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name");
        let other = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()));
        let other = other.expect("it is unlocked");
        let shared = || other.try_clone().expect("a file can be shared");
        command.stdin(shared()).stdout(shared()).stderr(shared());
        let process = command.spawn().expect("the program was built with the tests");
        // Else the terminal would stay open here, and nobody would see the program's end.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut seen, kept) = (keyboard.try_clone().expect("a file can be shared"), screen.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It is an error when nobody is at the other end any more.
            while let Ok(read @ 1..) = seen.read(&mut bytes) {
                let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Terminal { keyboard, process, screen, reader: Some(reader) }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for words on the screen.
    #[track_caller]
    pub fn await_words(&self, words: &str) {
        wait::until(&format!("{words:?} on the screen"), wait::PATIENCE, || {
            self.screen().contains(words).then_some(())
        });
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Said {
        let code = wait::until("the program ends", wait::PATIENCE, || {
            self.process.try_wait().expect("a child can be asked")
        });
        self.reader.take().map(JoinHandle::join).transpose().expect("the reader does not panic");
        Said { code: code.code(), screen: self.screen() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Said {
    #[track_caller]
    pub fn check(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in words {
            assert!(self.screen.contains(words), "no {words:?} in {self:?}");
        }
        self
    }
}

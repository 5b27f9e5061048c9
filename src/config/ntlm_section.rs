//! `[identity.ntlm]` and `[identity.winbind]`: which roles take NTLM, and who verifies it.

use super::Config;
use super::file::{Fault, Reader, Section};
use crate::directory::WinbindConfig;
use crate::relay::{NtlmRule, NtlmRules};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(super) fn rules(reader: &Reader<'_>) -> NtlmRules {
    let section = reader.section("identity.ntlm");
    let defaults = NtlmRules::default();
    let rules = NtlmRules {
        exchange: rule(&section, "exchange").unwrap_or(defaults.exchange),
        sharepoint: rule(&section, "sharepoint").unwrap_or(defaults.sharepoint),
        fileserver: rule(&section, "fileserver").unwrap_or(defaults.fileserver),
    };
    section.end();
    rules
}

/// `None`: there is no such section, or it has faults.
pub(super) fn winbind(reader: &Reader<'_>, has_directory: bool) -> Option<WinbindConfig> {
    let section = reader.section("identity.winbind");
    let is_there = section.is_there();
    let program =
        section.parsed("ntlm_auth", "write a whole path, for instance /usr/bin/ntlm_auth", |text| {
            Some(PathBuf::from(text)).filter(|path| path.is_absolute())
        });
    let program = if section.has("ntlm_auth") { program } else { Some(NTLM_AUTH.into()) };
    let helpers_max = section.number("helpers_max", 1, HELPERS_LIMIT);
    section.end();
    if !is_there {
        return None;
    }
    if !has_directory {
        reader.section("directory").missing(
            "domain",
            "[identity.winbind] needs the section [directory]: winbind says that a password is right, and the \
             directory whose it is",
        );
    }
    let helpers_max = usize::try_from(helpers_max.unwrap_or(HELPERS_MAX)).unwrap_or(usize::MAX);
    Some(WinbindConfig { program: program?, helpers_max })
}

/// Checks that the program is on this host.
pub(super) fn with_program(config: Config) -> Result<Config, Vec<Fault>> {
    let Some(winbind) = &config.identity.directory.winbind else { return Ok(config) };
    if is_program(&winbind.program) {
        return Ok(config);
    }
    let words = format!(
        "{} is not a program on this host; install the package winbind (Red Hat: samba-winbind-clients), or write \
         where it is",
        winbind.program.display()
    );
    Err(vec![Fault { line: 0, key: "identity.winbind.ntlm_auth".into(), words }])
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn rule(section: &Section<'_>, key: &'static str) -> Option<NtlmRule> {
    section.parsed(key, "write off, channel-binding or on", |text| match text {
        "off" => Some(NtlmRule::Off),
        "channel-binding" => Some(NtlmRule::ChannelBinding),
        "on" => Some(NtlmRule::On),
        _ => None,
    })
}

/// Where Debian has it.
const NTLM_AUTH: &str = "/usr/bin/ntlm_auth";
/// A controller answers in milliseconds; several, so that a slow answer does not stop the others.
const HELPERS_MAX: u64 = 8;
/// Each is a process of a few megabytes.
const HELPERS_LIMIT: u64 = 64;

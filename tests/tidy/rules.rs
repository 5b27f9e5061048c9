//! Each rule is a function of text, and refuses a bad one in its test.

use crate::source::{File, Import};
use crate::{BANNED, HOMES, Scope, row};
use std::collections::BTreeSet;

/// Two subjects are in a file that is longer, its tests not counted.
const LINES_MAX: usize = 400;
/// The same for a file of tests.
const TEST_LINES_MAX: usize = 800;
const DECISION_LINES_MAX: usize = 40;

pub fn imports_outside(file: &File) -> Vec<String> {
    let Some(module) = file.module() else { return Vec::new() };
    let refused = |import: &&Import| {
        let named = import.path.first().is_some_and(|named| named != module);
        named && row(module).is_none_or(|may| !may.allows(&import.path))
    };
    let imports = file.imports();
    let words = |import: &Import| {
        let may = row(module).map_or("has no row in the table".into(), |may| format!("may name {may}"));
        let path = import.path.iter().take(2).cloned().collect::<Vec<_>>().join("::");
        format!("{}:{}: {module} names {path}; it {may}", file.path, import.line)
    };
    imports.iter().filter(refused).map(words).collect()
}

pub fn foreign_messages(file: &File, own: &BTreeSet<String>) -> Vec<String> {
    if file.module() != Some("relay") {
        return Vec::new();
    }
    let of_messages = |import: Import| {
        let (above, names) = import.path.split_at_checked(3)?;
        (above == ["proto", "peer", "v1"]).then_some((import.line, names.first()?.clone()))
    };
    let mut named: Vec<(usize, String)> = file.imports().into_iter().filter_map(of_messages).collect();
    for at in 2..file.tokens.len() {
        let name = file.word(at);
        if file.word(at - 2) == "proto" && file.word(at - 1) == "::" && name.starts_with(char::is_uppercase) {
            named.push((file.line(at), name.to_owned()));
        }
    }
    named.retain(|(_, name)| !own.contains(name));
    named.iter().map(|(line, name)| format!("{}:{line}: {name} is not in relay.proto", file.path)).collect()
}

/// The messages, enums and services of a proto file, as types and as the modules of their parts.
pub fn messages(text: &str) -> BTreeSet<String> {
    let declared = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next()?, "message" | "enum" | "service").then_some(words.next()?.to_owned())
    };
    let snake = |name: &str| {
        let parts = name.chars().flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain([c]));
        parts.collect::<String>().trim_start_matches('_').to_lowercase()
    };
    text.lines().filter_map(declared).flat_map(|name| [snake(&name), name]).collect()
}

pub fn crates_away(file: &File) -> Vec<String> {
    let Some(module) = file.module() else { return Vec::new() };
    let mut found = Vec::new();
    for (crates, homes) in HOMES {
        let home = |home: &&str| *home == module || (home.contains('.') && file.name() == *home);
        if homes.iter().any(home) {
            continue;
        }
        for at in 0..file.tokens.len() {
            let named = crates.contains(&file.word(at))
                && file.word(at.wrapping_sub(1)) != "::"
                && (file.word(at + 1) == "::" || matches!(file.word(at.wrapping_sub(1)), "use" | "crate"));
            if named {
                let (line, homes) = (file.line(at), homes.join(", "));
                found.push(format!("{}:{line}: {} belongs to {homes}", file.path, file.word(at)));
            }
        }
    }
    found
}

pub fn no_header(file: &File) -> Vec<String> {
    let good =
        file.text.starts_with("//! ") || (file.path == "src/lib.rs" && file.text.starts_with("#![doc"));
    if good { Vec::new() } else { vec![format!("{}:1: begin with //! and what the file is for", file.path)] }
}

pub fn mod_rs(file: &File) -> Vec<String> {
    let folder = file.path.strip_suffix("/mod.rs").filter(|folder| *folder != "tests/support");
    folder.map(|folder| format!("{}: write {folder}.rs", file.path)).into_iter().collect()
}

pub fn too_long(file: &File) -> Vec<String> {
    let max = if file.is_test() { TEST_LINES_MAX } else { LINES_MAX };
    let lines = file.text.lines().count() - file.test_lines;
    if lines > max { vec![format!("{}: {lines} lines, at most {max}", file.path)] } else { Vec::new() }
}

pub fn banned(file: &File) -> Vec<String> {
    let applies = |scope: Scope| match scope {
        Scope::Everywhere => true,
        Scope::Tests => !file.path.starts_with("src/") && !file.is_support() && file.path != "build.rs",
        Scope::Product(but) => !file.is_test() && file.module().is_some_and(|module| !but.contains(&module)),
    };
    let words = |(pattern, _, instead): &(&str, Scope, &str)| {
        let of_each = |at: String| format!("{at}: {}: {instead}", pattern.replace(' ', ""));
        file.find(pattern).into_iter().map(of_each).collect::<Vec<_>>()
    };
    BANNED.iter().filter(|(_, scope, _)| applies(*scope)).flat_map(words).collect()
}

pub fn todo_without_issue(file: &File) -> Vec<String> {
    let bad = |line: &str| {
        let number = |after: &str| after.starts_with(|c: char| c.is_ascii_digit());
        line.contains("TODO") && !line.split('#').skip(1).any(number)
    };
    let lines = file.comments.lines().enumerate().filter(|(_, line)| bad(line));
    lines.map(|(at, _)| format!("{}:{}: name the issue: TODO(#123)", file.path, at + 1)).collect()
}

pub fn other_providers(tree: &str) -> Vec<String> {
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let packages: BTreeSet<(String, String)> = tree.lines().filter_map(package).collect();
    let other =
        |name: &str| ["boring", "mbedtls", "native-tls", "openssl", "openssl-sys", "ring"].contains(&name);
    let others = packages.iter().filter(|(name, _)| other(name));
    let mut found: Vec<String> = others.map(|(name, version)| format!("{name} {version}")).collect();
    let providers = packages.iter().filter(|(name, _)| name == "aws-lc-rs").count();
    if providers != 1 {
        found.push(format!("{providers} versions of aws-lc-rs"));
    }
    found
}

pub fn bad_records(records: &[(String, String)]) -> Vec<String> {
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    for (path, text) in records {
        let name = path.rsplit('/').next().unwrap_or_default();
        let number =
            name.split_once('-').filter(|(digits, _)| digits.len() == 4).and_then(|(it, _)| it.parse().ok());
        let number: u32 = number.unwrap_or_default();
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        let lines = text.lines().count();
        if number == 0 || !text.starts_with(&format!("# {number}. ")) {
            found.push(format!("{path}: the name begins with 0001-, the text with `# 1. `"));
        } else if !numbers.insert(number) {
            found.push(format!("{path}: {number} is taken"));
        }
        if headings != ["## Context", "## Decision", "## Consequences"] {
            found.push(format!("{path}: the headings are Context, Decision, Consequences, not {headings:?}"));
        }
        if lines > DECISION_LINES_MAX {
            found.push(format!("{path}: {lines} lines, at most {DECISION_LINES_MAX}"));
        }
    }
    found
}

pub fn machines(path: &str, text: &str) -> Vec<String> {
    let folders = ["work", "root", "home", "Users"].map(|name| format!("/{name}/"));
    let is_path = |line: &str, folder: &str| {
        let outside = |before: char| !before.is_alphanumeric() && !"/._-}".contains(before);
        line.match_indices(folder).any(|(at, _)| line.split_at(at).0.chars().next_back().is_none_or(outside))
    };
    let bad = |line: &str| {
        let option = ["-index-url", "find-links"].iter().any(|option| line.contains(option));
        option
            || folders.iter().any(|folder| is_path(line, folder))
            || line.split("://").skip(1).any(is_registry)
    };
    let lines = text.lines().enumerate().filter(|(_, line)| bad(line));
    lines.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())).collect()
}

/// Whether an address is a package registry's or a mirror's by its name; contoso.com is only an example.
fn is_registry(address: &str) -> bool {
    let host = address.split(|char: char| !char.is_alphanumeric() && char != '.' && char != '-').next();
    let host = host.unwrap_or_default();
    let marks = ["artifact", "deb", "files", "index", "mirror", "nexus", "proxy", "py", "registry", "static"];
    host.contains('.') && !host.contains("contoso") && marks.iter().any(|mark| host.starts_with(mark))
}

pub fn strangers_at_the_top(paths: &[String]) -> Vec<String> {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "proto",
        "src",
        "deploy",
        "tests",
        "chaos",
        "benches",
        "README.md",
    ];
    let tops: BTreeSet<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    let strange = |top: &&str| !top.starts_with('.') && !known.contains(top);
    tops.into_iter().filter(strange).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_finds(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
        let found = rule(&File::new(path, text));
        assert_eq!(found.len(), expected.len(), "{path}: {found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.starts_with(path) && found.contains(expected),
                "{found:?} does not say {expected:?}"
            );
        }
    }

    #[test]
    fn finds_imports_outside_the_table() {
        let rule = imports_outside;
        check_finds(
            rule,
            "src/front.rs",
            "\nuse crate::cluster::Cluster;",
            &["src/front.rs:2: front names cluster"],
        );
        check_finds(rule, "src/front/a.rs", "use crate::{tls, control::{self, X}};", &["names control"; 2]);
        check_finds(rule, "src/state.rs", "fn f() { crate::secret::f::<u8>() }", &["may name principal"]);
        check_finds(
            rule,
            "src/front.rs",
            "use crate::upstream::{Body, Upstream};",
            &["names upstream::Upstream"],
        );
        check_finds(rule, "src/front.rs", "use crate::upstream;", &["names upstream"]);
        check_finds(rule, "src/storage/log.rs", "use super::super::state::X;", &["storage names state"]);
        check_finds(rule, "src/main.rs", "use rmsc::node::Node;", &["main names node"]);
        check_finds(rule, "src/node.rs", "use crate::{cli::Exit, relay};", &["all but cli, lab"]);
        check_finds(rule, "src/stranger.rs", "use crate::stranger::A; use crate::tls::B;", &["no row"]);
    }

    #[test]
    fn leaves_tests_comments_and_strings_alone() {
        let text = "//! See [`crate::cluster`].\n/* /* crate::node */ crate::cli */\nuse super::log::X;\n\
            fn f<'a>(c: char) { let _ = (\"crate::lab\", r#\"\"crate::lab\"\"#, '\"', b'\\'', \"\\\"crate::lab\"); }\n\
            #[cfg(test)]\n#[expect(x, reason = \"y\")]\nmod tests { use crate::cluster::X; fn f() { x.unwrap(); } }\n";
        check_finds(imports_outside, "src/tls/a.rs", text, &[]);
        check_finds(banned, "src/tls/a.rs", text, &[]);
        check_finds(
            imports_outside,
            "src/tls/a.rs",
            &format!("{text}use crate::cluster::X;"),
            &["src/tls/a.rs:8"],
        );
    }

    #[test]
    fn finds_messages_of_other_parts() {
        let own = messages("message RelayHead {\n  enum Kind { A = 0; }\n}\nmessage Answer {}");
        let rule = |file: &File| foreign_messages(file, &own);
        check_finds(
            rule,
            "src/relay/wire.rs",
            "use crate::proto::peer::v1::{Vote, Answer, relay_head};",
            &["Vote"],
        );
        check_finds(rule, "src/relay/wire.rs", "fn f(_: proto::Answer) { proto::Entry::new() }", &["Entry"]);
        check_finds(rule, "src/cluster.rs", "use crate::proto::peer::v1::Vote;", &[]);
    }

    #[test]
    fn finds_outside_crates_away_from_home() {
        check_finds(crates_away, "src/relay.rs", "use sled::Db;", &["sled belongs to storage"]);
        check_finds(
            crates_away,
            "src/front/tls.rs",
            "fn f() -> rustls::Error { x }",
            &["rustls belongs to tls"],
        );
        check_finds(crates_away, "src/tls.rs", "use rustls as r; use x::sled::Y; fn sled() {}", &[]);
        check_finds(crates_away, "src/relay.rs", "use clap;\nextern crate anyhow;", &["clap", "anyhow"]);
        check_finds(crates_away, "src/relay/metrics.rs", "use prometheus_client::X;", &[]);
        check_finds(crates_away, "src/relay.rs", "use prometheus_client::X;", &["metrics.rs"]);
    }

    #[test]
    fn finds_files_without_a_header_or_too_long() {
        check_finds(no_header, "src/a.rs", "use b;\n//! Late.\n", &["//!"]);
        check_finds(no_header, "src/a.rs", "//! Early.\n", &[]);
        check_finds(mod_rs, "src/a/mod.rs", "", &["a.rs"]);
        check_finds(mod_rs, "tests/support/mod.rs", "", &[]);
        let long = "fn f() {}\n".repeat(LINES_MAX);
        check_finds(too_long, "src/a.rs", &long, &[]);
        check_finds(
            too_long,
            "src/a.rs",
            &format!("{long}\n#[cfg(test)]\nmod tests {{\n\n\n}}\n"),
            &["401 lines"],
        );
        check_finds(too_long, "src/a/tests.rs", &format!("{long}{long}"), &[]);
        check_finds(too_long, "src/a/tests.rs", &format!("{long}{long}\n"), &["801 lines"]);
    }

    #[test]
    fn finds_banned_words() {
        let text = "#[allow(x)] fn f() { dbg!(a.unwrap()); todo!(); tokio::spawn(async {}); println!(); }";
        check_finds(banned, "src/a.rs", text, &["todo", "dbg", "allow", "unwrap", "tokio", "println"]);
        check_finds(banned, "src/tasks.rs", "fn f() { tokio::spawn(g()); x.unwrap_or(0); }", &[]);
        check_finds(banned, "tests/it/a.rs", "#[ignore]\n#[test]\nfn f() { a.unwrap(); }", &["ignore"]);
        check_finds(banned, "tests/it/a.rs", "async fn f() { sleep(a).await }", &["condition"]);
        check_finds(banned, "tests/support/wait.rs", "async fn f() { sleep(a).await }", &[]);
        check_finds(banned, "chaos/main.rs", "fn f() { std::thread::sleep(a) }", &["condition"]);
        check_finds(banned, "benches/a.rs", "async fn f() { sleep(a).await }", &["condition"]);
        check_finds(
            todo_without_issue,
            "src/a.rs",
            "// TODO: b\n// TODO(#12): c\nlet d = \"TODO\";",
            &["a.rs:1"],
        );
    }

    #[test]
    fn finds_other_tls_providers() {
        assert!(other_providers("rmsc v1\naws-lc-rs v1\nspring v1\n").is_empty());
        assert_eq!(other_providers("aws-lc-rs v1\nring v0.17.14\nopenssl-sys v1\n").len(), 2);
        assert_eq!(other_providers("rmsc v1\n").len(), 1);
        assert_eq!(other_providers("aws-lc-rs v1.1.0\naws-lc-rs v2.0.0\naws-lc-rs v2.0.0 (*)\n").len(), 1);
    }

    #[test]
    fn finds_bad_decision_records() {
        let record = |name: &str, text: &str| (format!("src/docs/decisions/{name}"), text.to_owned());
        let good = "# 1. A\n\n## Context\n\nB\n\n## Decision\n\nC\n\n## Consequences\n\nD\n";
        assert!(bad_records(&[record("0001-a.md", good)]).is_empty());
        assert_eq!(bad_records(&[record("0001-a.md", good), record("0001-b.md", good)]).len(), 1);
        assert_eq!(bad_records(&[record("0002-a.md", good), record("one.md", good)]).len(), 2);
        assert_eq!(bad_records(&[record("0001-a.md", &good.replace("## Decision", "## Plan"))]).len(), 1);
        assert_eq!(bad_records(&[record("0001-a.md", &format!("{good}{}", "E\n".repeat(28)))]).len(), 1);
    }

    #[test]
    fn finds_machines() {
        let home = format!("/{}/", "root");
        assert_eq!(machines("a", &format!("b\ncd {home}b\npath={home}c")).len(), 2);
        assert!(machines("a", &format!("rmsc://c1{home}1 a{home}")).is_empty());
        assert_eq!(machines("a", &format!("pip install --{}-url x", "index")).len(), 1);
        assert_eq!(machines("a", &format!("get https://{}.a.com/b", "static")).len(), 1);
        assert!(
            machines("a", "http://proxy:8080 http://proxy.contoso.com https://a.com/index.html").is_empty()
        );
    }

    #[test]
    fn finds_strangers_at_the_top() {
        let paths = ["src/a.rs", "Cargo.toml", ".ci/run", "notes.txt", "scripts/b"].map(str::to_owned);
        assert_eq!(strangers_at_the_top(&paths), ["notes.txt", "scripts"]);
    }
}

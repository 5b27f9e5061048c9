//! Reads Rust source as text: takes a file apart into code and comments, and finds its imports.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file of source, taken apart.
pub struct File<'a> {
    pub path: String,
    pub text: &'a str,
    /// The comments alone, on their lines.
    pub comments: String,
    /// The code without comments, strings and `#[cfg(test)]` items.
    pub tokens: Vec<Token>,
    /// The lines of `#[cfg(test)]` items.
    pub test_lines: usize,
}

pub struct Token {
    line: usize,
    word: String,
}

pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
}

impl<'a> File<'a> {
    pub fn new(path: &str, text: &'a str) -> Self {
        let (code, comments) = apart(text);
        let (tokens, test_lines) = without_tests(tokens(&code));
        File { path: path.into(), text, comments, tokens, test_lines }
    }

    /// The top module that a shipped file belongs to; none for tests.
    pub fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/").filter(|_| !self.is_test())?;
        Some(inside.split('/').next()?.trim_end_matches(".rs"))
    }

    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "simulation" | "simulation.rs" | "chaos"))
    }

    pub fn is_support(&self) -> bool {
        self.path.starts_with("tests/support/")
    }

    pub fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.word)
    }

    pub fn line(&self, at: usize) -> usize {
        self.tokens.get(at).map_or(0, |token| token.line)
    }

    /// Where these words stand in a row.
    pub fn find(&self, pattern: &str) -> Vec<String> {
        let pattern: Vec<&str> = pattern.split(' ').collect();
        let fits = |at: &usize| pattern.iter().enumerate().all(|(i, word)| self.word(at + i) == *word);
        let found = (0..self.tokens.len()).filter(fits);
        found.map(|at| format!("{}:{}", self.path, self.line(at))).collect()
    }

    /// What `mod x;` and `pub mod x;` declare.
    pub fn modules(&self) -> Vec<String> {
        let declared = |at: usize| self.word(at) == "mod" && self.word(at + 2) == ";";
        (0..self.tokens.len()).filter(|at| declared(*at)).map(|at| self.word(at + 1).to_owned()).collect()
    }

    /// Every path from the root of the crate: `crate::`, enough `super::`, and `rmsc::` in `main.rs`.
    pub fn imports(&self) -> Vec<Import> {
        let depth = self.path.matches('/').count();
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let supers =
                (0..).take_while(|i| self.word(at + 2 * i) == "super" && self.word(at + 2 * i + 1) == "::");
            let supers = supers.count();
            let root = self.word(at) == "crate" || (self.word(at) == "rmsc" && self.path == "src/main.rs");
            let root = root && self.word(at + 1) == "::";
            if root || (supers > 0 && supers >= depth) {
                at = self.tree(at + 2 * supers.max(1), &[], &mut found);
            } else {
                at += 1 + 2 * supers;
            }
        }
        found
    }

    /// Reads a path, or a tree of them in braces, and returns where it ends.
    fn tree(&self, mut at: usize, above: &[String], found: &mut Vec<Import>) -> usize {
        let line = self.line(at);
        let mut path = above.to_vec();
        loop {
            match self.word(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.word(at), "}" | "") {
                        at = if self.word(at) == "," { at + 1 } else { self.tree(at, &path, found) };
                    }
                    return at + 1;
                }
                "self" | "*" => at += 1,
                word if is_word(word) => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => at += 1,
            }
            if self.word(at) != "::" || self.word(at + 1) == "<" {
                break;
            }
            at += 1;
        }
        found.push(Import { line, path });
        if self.word(at) == "as" { at + 2 } else { at }
    }
}

/// The code with spaces for comments and strings, and the comments with spaces for the rest.
fn apart(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let (mut rest, mut before) = (text, ' ');
    while let Some(first) = rest.chars().next() {
        let comment = comment_length(rest);
        let literal = if comment > 0 { 0 } else { literal_length(rest, before) };
        let length = comment.max(literal).max(first.len_utf8());
        let (taken, behind) = rest.split_at(length);
        for char in taken.chars() {
            let blank = if char == '\n' { '\n' } else { ' ' };
            code.push(if comment + literal == 0 { char } else { blank });
            comments.push(if comment > 0 { char } else { blank });
            before = char;
        }
        rest = behind;
    }
    (code, comments)
}

/// The bytes of the comment that begins here; 0 where none does.
fn comment_length(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(at) = rest.find(['/', '*']) {
        let (_, mark) = rest.split_at(at);
        let step = if mark.starts_with("/*") || mark.starts_with("*/") { 2 } else { 1 };
        if mark.starts_with("/*") {
            depth += 1;
        } else if step == 2 {
            depth -= 1;
        }
        rest = mark.split_at(step).1;
        if depth == 0 {
            return text.len() - rest.len();
        }
    }
    text.len()
}

/// The bytes of the string, raw string or character that begins here behind `before`; 0 where none does.
fn literal_length(text: &str, before: char) -> usize {
    if let Some(inside) = text.strip_prefix('"') {
        return text.len() - behind_quote(inside, '"').len();
    }
    if let Some(inside) = text.strip_prefix('\'') {
        // Else it is a lifetime.
        let is_char = inside.starts_with('\\') || inside.chars().nth(1) == Some('\'');
        return if is_char { text.len() - behind_quote(inside, '\'').len() } else { 0 };
    }
    if is_word_char(before) && !matches!(before, 'b' | 'c') {
        return 0;
    }
    let Some(inside) = text.strip_prefix('r') else { return 0 };
    let hashes: String = inside.chars().take_while(|char| *char == '#').collect();
    let Some(inside) = inside.trim_start_matches('#').strip_prefix('"') else { return 0 };
    let end = inside.find(&format!("\"{hashes}"));
    end.map_or(text.len(), |end| 2 + 2 * hashes.len() + end + 1)
}

fn behind_quote(mut inside: &str, quote: char) -> &str {
    loop {
        let mut chars = inside.chars();
        match chars.next() {
            None => return inside,
            Some('\\') => _ = chars.next(),
            Some(char) if char == quote => return chars.as_str(),
            Some(_) => {}
        }
        inside = chars.as_str();
    }
}

fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn is_word(text: &str) -> bool {
    text.starts_with(is_word_char)
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (at, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|char| !is_word_char(char)).unwrap_or(rest.len());
            let length = if word > 0 { word } else { first.len_utf8() };
            let length = if rest.starts_with("::") { 2 } else { length };
            let (word, behind) = rest.split_at(length);
            found.push(Token { line: at + 1, word: word.to_owned() });
            rest = behind.trim_start();
        }
    }
    found
}

/// Takes `#[cfg(test)]` items out, and counts their lines.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, usize) {
    let (mut kept, mut lines): (Vec<Token>, usize) = (Vec::new(), 0);
    let mut rest = tokens.into_iter();
    while let Some(token) = rest.next() {
        kept.push(token);
        let newest = kept.iter().rev().map(|token| token.word.as_str());
        if newest.take(TEST_ITEM.len()).eq(TEST_ITEM.into_iter().rev()) {
            let attribute = kept.split_off(kept.len() - TEST_ITEM.len());
            let begin = attribute.first().map_or(0, |token| token.line);
            lines += take_item(&mut rest).saturating_sub(begin) + 1;
        }
    }
    (kept, lines)
}

/// Takes the item behind its attributes, up to the `;` or the closing brace; gives its last line.
fn take_item(rest: &mut impl Iterator<Item = Token>) -> usize {
    let (mut depth, mut line) = (0_usize, 0);
    for token in rest {
        line = token.line;
        match token.word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.word.as_str(), ";" | "}") {
            break;
        }
    }
    line
}

const TEST_ITEM: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// Applies a rule to every Rust file.
pub fn over_source(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    let mut paths = vec!["build.rs".to_owned()];
    for folder in ["src", "tests", "chaos", "benches"] {
        walk(&root().join(folder), &mut paths);
    }
    paths.retain(|path| path.ends_with(".rs"));
    paths.sort();
    assert!(paths.len() > 100, "the source was not found");
    paths.iter().flat_map(|path| rule(&File::new(path, &read(path)))).collect()
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != ".git" && name != ".venv" && name != "target" {
            walk(&path, found);
        } else if path.is_file() {
            let inside = path.strip_prefix(root()).unwrap_or(&path);
            found.push(inside.to_string_lossy().into_owned());
        }
    }
}

/// The files under version control; all of them where there is no git.
pub fn tracked() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = listed.ok().filter(|output| output.status.success());
    let mut found: Vec<String> = listed
        .map(|output| {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect()
        })
        .unwrap_or_default();
    if found.is_empty() {
        walk(&root(), &mut found);
    }
    found.retain(|path| root().join(path).is_file());
    found
}

pub fn read(path: &str) -> String {
    let bytes = std::fs::read(root().join(path));
    let bytes = bytes.unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

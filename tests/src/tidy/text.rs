//! Rules about the text of single files: headers, lengths, words, paths, titles.

use super::File;

/// Most lines of a source file: longer ones are nearly always a state machine not yet cut by input.
const LINES_MAX: usize = 500;

/// Words that say nothing, as part of a file's or a type's name.
const EMPTY_WORDS: &[&str] = &["manager", "helper", "helpers", "util", "utils"];

/// Parts of paths that exist on one machine only. Joined here so that this file holds none.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/")];

/// Texts that may not be in Rust code, and what is right instead.
const BANNED: &[(&str, &str)] = &[
    (concat!("#[all", "ow("), "use #[expect(lint, reason = \"…\")]"),
    (concat!("#![all", "ow("), "use #![expect(lint, reason = \"…\")]"),
    (concat!("to", "do!("), "finish it or leave it out"),
];

/// Every Rust file opens by saying what it owns and what it leaves to whom.
pub fn headers(files: &[File]) -> Vec<String> {
    rust(files)
        .filter(|file| !file.text.starts_with("//! ") || file.text.starts_with("//! placeholder"))
        .map(|file| format!("{}: does not open with a `//!` header", file.path))
        .collect()
}

/// No source file is longer than 500 lines.
pub fn lengths(files: &[File]) -> Vec<String> {
    rust(files)
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines; at most {LINES_MAX}", file.path))
        .collect()
}

/// Names that say nothing, and code that is refused.
pub fn words(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in rust(files) {
        let mut stems = file.stem().split('_');
        if stems.any(|word| EMPTY_WORDS.contains(&word)) {
            complaints.push(format!("{}: the file's name says nothing", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            let at = number + 1;
            if let Some(name) = defined_type(line)
                && camel_words(name).any(|word| EMPTY_WORDS.contains(&word.as_str()))
            {
                complaints.push(format!("{}:{at}: the name {name} says nothing", file.path));
            }
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for (text, right) in BANNED.iter().filter(|(text, _)| code.contains(text)) {
                complaints.push(format!("{}:{at}: {text}: {right}", file.path));
            }
        }
    }
    complaints
}

/// No file names a place of one machine.
pub fn paths(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS.iter().filter(|path| line.contains(**path)) {
                complaints.push(format!("{}:{}: {path} is of one machine", file.path, number + 1));
            }
        }
    }
    complaints
}

/// twin/ compiles without std, but for its tests.
pub fn no_std(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in rust(files).filter(|file| file.path.starts_with("twin/src/")) {
        if file.path == "twin/src/lib.rs" && !file.text.lines().any(|line| line == "#![no_std]") {
            complaints.push("twin/src/lib.rs: #![no_std] is missing".into());
        }
        let mut for_tests = file.path.contains("test");
        let mut before = "";
        for (number, line) in file.text.lines().map(str::trim).enumerate() {
            for_tests |= line.starts_with("#[cfg(test)]");
            if line.starts_with("extern crate std") && !before.starts_with("#[cfg(test)]") {
                complaints.push(format!("{}:{}: std comes in", file.path, number + 1));
            }
            if line.starts_with("use std::") && !for_tests {
                complaints.push(format!("{}:{}: std is used", file.path, number + 1));
            }
            before = line;
        }
    }
    complaints
}

/// Markdown has one title, on its first line, and no line of code fences left open.
pub fn markdown(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut fenced = false;
        let mut titles = 0;
        for line in file.text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            titles += usize::from(!fenced && line.starts_with("# "));
        }
        if titles != 1 || !file.text.starts_with("# ") {
            complaints.push(format!("{}: needs one title, on its first line", file.path));
        }
        if fenced {
            complaints.push(format!("{}: a code fence is left open", file.path));
        }
    }
    complaints
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.is_rust())
}

/// The name of the type that a line defines.
fn defined_type(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_');
    loop {
        match words.next()? {
            "pub" | "crate" | "super" | "in" | "unsafe" | "" => {}
            "struct" | "enum" | "trait" | "type" | "union" => return words.next(),
            _ => return None,
        }
    }
}

fn camel_words(name: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        if letter.is_uppercase() || words.is_empty() {
            words.push(String::new());
        }
        words.last_mut().expect("one was pushed").extend(letter.to_lowercase());
    }
    words.into_iter()
}

//! Runs the house rules of `pollux_tests::tidy` over the repository, and over inputs that each
//! rule must refuse.

use std::path::Path;
use std::process::Command;

use pollux_tests::tidy::{self, File};

/// Tracked text files of the repository.
fn tracked() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached"])
        .current_dir(&root)
        .output()
        .expect("git lists the tracked files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    paths
        .split_terminator('\0')
        .filter_map(|path| {
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            Some(File::new(path, &text))
        })
        .collect()
}

#[test]
fn the_repository_keeps_its_rules() {
    let files = tracked();
    assert!(files.iter().any(|file| file.path == "twin/src/lib.rs"), "the list is not whole");
    let complaints = tidy::complaints(&files);
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// `rule` must complain of `files` once, in words that hold `expected`.
fn refused(rule: fn(&[File]) -> Vec<String>, files: &[File], expected: &str) {
    let complaints = rule(files);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains(expected), "{complaints:?}");
}

fn one(path: &str, text: &str) -> Vec<File> {
    vec![File::new(path, text)]
}

#[test]
fn arrows_against_the_grain_are_found() {
    let arrow = "[dependencies]\npollux-runtime.workspace = true";
    refused(tidy::arrows, &one("cluster/Cargo.toml", arrow), "may not use pollux-runtime");
    let arrow = "[target.'cfg(unix)'.dev-dependencies]\npollux-cluster = {}";
    refused(tidy::arrows, &one("device/Cargo.toml", arrow), "may not use pollux-cluster");
    let raft = "[dependencies]\nopenraft.workspace = true";
    refused(tidy::arrows, &one("runtime/Cargo.toml", raft), "openraft does not belong");
    let tokio = "[dependencies]\ntokio.workspace = true";
    refused(tidy::arrows, &one("twin/Cargo.toml", tokio), "twin is pure");
    refused(tidy::arrows, &one("attic/Cargo.toml", ""), "no arrow");
    let allowed = "[dependencies]\npollux-twin.workspace = true";
    assert!(tidy::arrows(&one("proto/Cargo.toml", allowed)).is_empty());
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let root = File::new("Cargo.toml", "[workspace.dependencies]\nleftpad = \"1\"\nbytes = \"1\"");
    let reasons = File::new("CONTRIBUTING.md", "| `bytes` | buffers |");
    refused(tidy::reasons, &[root, reasons], "leftpad");
}

#[test]
fn a_dependency_without_use_is_found() {
    let manifest = File::new("a/Cargo.toml", "[dependencies]\nleft-pad.workspace = true");
    let code = File::new("a/src/lib.rs", "//! x\nuse left_pad::pad;");
    assert!(tidy::unused(&[manifest.clone(), code]).is_empty());
    let code = File::new("a/src/lib.rs", "//! x\nuse left_padding::pad;");
    refused(tidy::unused, &[manifest, code], "uses left-pad");
}

#[test]
fn dead_files_are_found() {
    let files = [
        File::new("a/Cargo.toml", ""),
        File::new("a/src/lib.rs", "//! x\npub(crate) mod near;\nmod far;"),
        File::new("a/src/near.rs", "//! x\n#[path = \"other/name.rs\"]\nmod odd;\nmod inner;"),
        File::new("a/src/near/inner.rs", "//! x"),
        File::new("a/src/other/name.rs", "//! x\nmod beside;"),
        File::new("a/src/other/beside.rs", "//! x"),
        File::new("a/src/far/mod.rs", "//! x\nmod deep;"),
        File::new("a/src/far/deep.rs", "//! x"),
        File::new("a/tests/t10.rs", "//! x"),
        File::new("a/src/forgotten.rs", "//! x"),
    ];
    refused(tidy::dead_files, &files, "a/src/forgotten.rs");
}

#[test]
fn headers_and_lengths_are_checked() {
    refused(tidy::headers, &one("a/src/x.rs", "use std::fmt;"), "header");
    let long = format!("//! x\n{}", "\n".repeat(501));
    refused(tidy::lengths, &one("a/src/x.rs", &long), "at most 500");
}

#[test]
fn empty_words_and_refused_code_are_found() {
    refused(tidy::words, &one("a/src/io_util.rs", "//! x"), "file's name");
    refused(tidy::words, &one("a/src/x.rs", "pub(crate) struct ShardManager {"), "ShardManager");
    refused(tidy::words, &one("a/src/x.rs", concat!("#[all", "ow(dead_code)]")), "expect");
    refused(tidy::words, &one("a/src/x.rs", concat!("    to", "do!()")), "finish");
    assert!(tidy::words(&one("a/src/x.rs", "struct Utility; // Manager")).is_empty());
}

#[test]
fn places_of_one_machine_are_found() {
    refused(tidy::paths, &one("README.md", concat!("cd /ho", "me/someone")), "one machine");
}

#[test]
fn std_in_twin_is_found() {
    refused(tidy::no_std, &one("twin/src/lib.rs", "//! x"), "missing");
    refused(tidy::no_std, &one("twin/src/x.rs", "use std::time::Instant;"), "std is used");
    let tests = "#[cfg(test)]\nmod tests {\n    use std::vec::Vec;\n}";
    assert!(tidy::no_std(&one("twin/src/x.rs", tests)).is_empty());
}

#[test]
fn markdown_without_its_title_is_found() {
    refused(tidy::markdown, &one("A.md", "text"), "one title");
    refused(tidy::markdown, &one("A.md", "# One\n# Two"), "one title");
    refused(tidy::markdown, &one("A.md", "# One\n```sh\n# comment"), "left open");
    assert!(tidy::markdown(&one("A.md", "# One\n```sh\n# comment\n```")).is_empty());
}

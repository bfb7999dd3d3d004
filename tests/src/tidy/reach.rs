//! Every Rust file must be reached from something that cargo builds.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use super::File;

/// Rust files that no crate root leads to by `mod`, and modules that would have to be written
/// another way for this to see them.
pub fn dead_files(files: &[File]) -> Vec<String> {
    let rust: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let mut open: Vec<(String, bool)> =
        roots(files, &rust).into_iter().map(|path| (path, true)).collect();
    let mut reached = BTreeSet::new();
    while let Some((path, is_root)) = open.pop() {
        let Some((path, text)) = rust.get_key_value(path.as_str()) else { continue };
        if !reached.insert(*path) {
            continue;
        }
        open.extend(modules(path, text, is_root));
    }
    rust.keys()
        .filter(|path| !reached.contains(*path))
        .map(|path| format!("{path}: no module, binary, test, bench or example leads here"))
        .collect()
}

fn roots(files: &[File], rust: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut roots = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("Cargo.toml") else { continue };
        roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|at| format!("{folder}{at}")));
        for place in ["src/bin/", "tests/", "benches/", "examples/"] {
            let prefix = format!("{folder}{place}");
            roots.extend(
                rust.keys().filter(|path| is_target(path, &prefix)).map(ToString::to_string),
            );
        }
        let Ok(manifest) = file.text.parse::<Table>() else { continue };
        for kind in ["bin", "test", "bench", "example", "lib"] {
            let targets = match manifest.get(kind) {
                Some(toml::Value::Array(targets)) => targets.iter().collect(),
                Some(target) => vec![target],
                None => Vec::new(),
            };
            let paths = targets.into_iter().filter_map(|target| target.get("path")?.as_str());
            roots.extend(paths.map(|path| format!("{folder}{path}")));
        }
    }
    roots
}

/// Directly in the folder, or the main file of a folder in it.
fn is_target(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| {
        !rest.contains('/') || (rest.matches('/').count() == 1 && rest.ends_with("/main.rs"))
    })
}

/// Where the files of the modules that `text` declares may be, and whether their own modules lie
/// beside them, as those of a crate's root and of a file named by `#[path]` do.
fn modules(path: &str, text: &str, is_root: bool) -> Vec<(String, bool)> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let base = if is_root || stem == "mod" { dir.to_owned() } else { format!("{dir}/{stem}") };
    let mut found = Vec::new();
    let mut explicit: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(at) = line.strip_prefix("#[path = \"").and_then(|rest| rest.split('"').next()) {
            explicit = Some(normal(&format!("{dir}/{at}")));
        } else if let Some(module) = declared(line) {
            match explicit.take() {
                Some(at) => found.push((at, true)),
                None => {
                    found.push((format!("{base}/{module}.rs"), false));
                    found.push((format!("{base}/{module}/mod.rs"), false));
                }
            }
        } else if let Some(at) = line.split("include!(\"").nth(1).and_then(|r| r.split('"').next())
        {
            found.push((normal(&format!("{dir}/{at}")), true));
        }
    }
    found
}

/// The module's name, if the line is `mod name;` with any visibility.
fn declared(line: &str) -> Option<&str> {
    let rest = match line.strip_prefix("pub") {
        Some(rest) => match rest.strip_prefix('(') {
            Some(inner) => inner.split_once(')')?.1,
            None => rest,
        },
        None => line,
    };
    rest.trim_start().strip_prefix("mod ")?.strip_suffix(';').map(str::trim)
}

/// Takes `..` out of a path.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

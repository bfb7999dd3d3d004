//! Which crate may depend on which, and that every dependency has a reason.

use toml::Table;

use super::File;

/// The allowed arrows: a crate's folder and the folders that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("twin", &[]),
    ("proto", &["twin"]),
    ("query", &["twin"]),
    ("cluster", &["proto"]),
    ("cluster/yardstick", &["cluster"]),
    ("runtime", &["cluster", "proto", "query", "twin"]),
    ("device", &["proto", "twin"]),
    ("client", &["proto", "twin"]),
    ("simulator", &["device", "proto", "twin"]),
    ("pollux", &["client", "cluster", "device", "proto", "query", "runtime", "simulator", "twin"]),
    (
        "tests",
        &[
            "client",
            "cluster",
            "device",
            "pollux",
            "proto",
            "query",
            "runtime",
            "simulator",
            "twin",
        ],
    ),
    (
        "fuzz",
        &[
            "client",
            "cluster",
            "device",
            "pollux",
            "proto",
            "query",
            "runtime",
            "simulator",
            "tests",
            "twin",
        ],
    ),
];

/// Dependencies that one folder alone may name, so that what they bring stays in its room.
const CONFINED: &[(&str, &[&str])] = &[
    ("openraft", &["cluster"]),
    ("sled", &["runtime", "tests"]),
    ("actix", &["runtime"]),
    ("clap", &["pollux"]),
];

/// Dependencies that no line of their crate names, as generated code or another crate's file does.
const NAMED_ELSEWHERE: &[(&str, &str)] =
    &[("proto", "prost"), ("proto", "tonic-prost"), ("proto", "xxhash-rust")];

/// All that a pure crate without std may use.
const TWIN_USES: &[&str] = &["rkyv", "xxhash-rust"];

const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Dependencies of each crate, as its Cargo.toml names them, against the allowed ones.
pub fn arrows(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
            complaints.push(format!("{}: a room that no arrow leads to or from", file.path));
            continue;
        };
        let Ok(manifest) = file.text.parse::<Table>() else {
            complaints.push(format!("{}: not TOML", file.path));
            continue;
        };
        for (section, name) in named(&manifest) {
            let own = name.strip_prefix("pollux-");
            if own.is_some_and(|to| !allowed.contains(&to)) {
                complaints.push(format!("{}: {folder} may not use {name}", file.path));
            }
            let confined = CONFINED.iter().find(|(what, _)| *what == name);
            if confined.is_some_and(|(_, rooms)| !rooms.contains(&folder)) {
                complaints.push(format!("{}: {name} does not belong in {folder}", file.path));
            }
            if folder == "twin" && section == "dependencies" && !TWIN_USES.contains(&name) {
                complaints.push(format!("{}: twin is pure; {name} is not", file.path));
            }
        }
    }
    complaints
}

/// Every dependency named at the root has its reason in CONTRIBUTING.md.
pub fn reasons(files: &[File]) -> Vec<String> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(root), Some(reasons)) = (find("Cargo.toml"), find("CONTRIBUTING.md")) else {
        return vec!["Cargo.toml or CONTRIBUTING.md is missing at the root".into()];
    };
    let Ok(manifest) = root.text.parse::<Table>() else {
        return vec!["Cargo.toml: not TOML".into()];
    };
    let dependencies = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(|dependencies| dependencies.as_table());
    dependencies
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("pollux-"))
        .filter(|name| !reasons.text.contains(&format!("`{name}`")))
        .map(|name| format!("CONTRIBUTING.md: no reason for the dependency {name}"))
        .collect()
}

/// Every dependency that a crate names in its Cargo.toml is used by a line of it.
pub fn unused(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { continue };
        let Ok(manifest) = file.text.parse::<Table>() else { continue };
        let own = format!("{folder}/");
        let code = || files.iter().filter(|file| file.is_rust() && file.path.starts_with(&own));
        for (_, name) in named(&manifest) {
            let word = name.replace('-', "_");
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut words = code().flat_map(|file| file.text.split(|c| !is_word(c)));
            if !words.any(|found| found == word) && !NAMED_ELSEWHERE.contains(&(folder, name)) {
                complaints.push(format!("{}: nothing in {folder} uses {name}", file.path));
            }
        }
    }
    complaints
}

fn named(manifest: &Table) -> Vec<(&str, &str)> {
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let tables = targets
        .into_iter()
        .flat_map(|targets| targets.values())
        .filter_map(|target| target.as_table())
        .chain(std::iter::once(manifest));
    let mut found = Vec::new();
    for table in tables {
        for section in SECTIONS {
            let names = table.get(*section).and_then(|section| section.as_table());
            found.extend(names.into_iter().flatten().map(|(name, _)| (*section, name.as_str())));
        }
    }
    found
}

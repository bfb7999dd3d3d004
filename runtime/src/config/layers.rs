//! The layers of a configuration, each above the one before, and where each value came from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, ConfigErrors};
use super::keys::{self, NodeConfig};
use super::{Checked, check};

/// Variables that begin like the configuration's and belong to the command line.
pub const COMMAND_LINE_VARIABLES: &[&str] = &[
    "POLLUX_CONFIG",
    "POLLUX_CONTEXT",
    "POLLUX_GRPC",
    "POLLUX_JOIN_TOKEN",
    "POLLUX_TOKEN",
    "POLLUX_TOKEN_FILE",
];

/// Layers put together so far: later ones win.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, Value>,
    origins: BTreeMap<String, String>,
    errors: Vec<ConfigError>,
}

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}

impl Layers {
    /// The defaults alone.
    pub fn new() -> Self {
        let defaults = Table::try_from(NodeConfig::default()).expect("defaults are plain values");
        let mut values = BTreeMap::new();
        flatten("", &defaults, &mut |path, value| {
            values.insert(path, value.clone());
        });
        Self { values, origins: BTreeMap::new(), errors: Vec::new() }
    }

    /// Adds a TOML file.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => return self.text(&text, &name),
            Err(error) => {
                self.errors.push(ConfigError::Unreadable { path: name, reason: error.to_string() })
            }
        }
        self
    }

    /// Adds the text of a TOML file that is called `name`.
    #[must_use]
    pub fn text(mut self, text: &str, name: &str) -> Self {
        match text.parse::<Table>() {
            Ok(table) => {
                let mut found = Vec::new();
                flatten("", &table, &mut |path, value| found.push((path, value.clone())));
                for (path, value) in found {
                    self.set(&path, value, name.to_owned());
                }
            }
            Err(error) => self.errors.push(ConfigError::NotToml {
                path: name.to_owned(),
                reason: error.to_string().trim_end().to_owned(),
            }),
        }
        self
    }

    /// Adds the `POLLUX_*` variables among `variables`: `POLLUX_LOG__SEGMENT_BYTES` is
    /// `log.segment_bytes`. Lists are separated by commas.
    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix("POLLUX_") else { continue };
            if COMMAND_LINE_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let path = name.to_lowercase().replace("__", ".");
            let value = self.typed(&path, text);
            self.set(&path, value, variable);
        }
        self
    }

    /// Adds one flag of the command line, if it was given.
    #[must_use]
    pub fn flag(mut self, path: &str, value: Option<impl Into<Value>>, flag: &str) -> Self {
        if let Some(value) = value {
            self.set(path, value.into(), flag.to_owned());
        }
        self
    }

    /// Checks everything; all that is wrong is told at once.
    pub fn check(mut self) -> Result<Checked, ConfigErrors> {
        let mut errors = std::mem::take(&mut self.errors);
        if errors.iter().any(ConfigError::hides_others) {
            return Err(ConfigErrors(errors));
        }
        // What could not be taken is at its default here.
        let (config, origins) = self.merge()?;
        match check::check(&config, &origins) {
            Ok(checked) if errors.is_empty() => Ok(checked),
            Ok(_) => Err(ConfigErrors(errors)),
            Err(further) => {
                errors.extend(further.0);
                Err(ConfigErrors(errors))
            }
        }
    }

    /// The merged configuration as written, unchecked but for keys and types.
    pub fn merged(self) -> Result<NodeConfig, ConfigErrors> {
        self.merge().map(|(config, _)| config)
    }

    fn merge(self) -> Result<(NodeConfig, BTreeMap<String, String>), ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        let mut table = Table::new();
        for (path, value) in self.values {
            match path.split_once('.') {
                None => drop(table.insert(path, value)),
                Some((section, key)) => {
                    let entry = table
                        .entry(section.to_owned())
                        .or_insert_with(|| Value::Table(Table::new()));
                    entry
                        .as_table_mut()
                        .expect("sections hold only keys")
                        .insert(key.to_owned(), value);
                }
            }
        }
        match table.try_into() {
            Ok(config) => Ok((config, self.origins)),
            Err(error) => Err(ConfigError::Impossible {
                key: "a value".into(),
                origin: "the configuration".into(),
                value: "out of range".into(),
                right: error.to_string().trim_end().to_owned(),
            }
            .into()),
        }
    }

    fn set(&mut self, path: &str, value: Value, origin: String) {
        let Some(default) = self.values.get(path) else {
            self.errors.push(ConfigError::UnknownKey {
                key: path.to_owned(),
                origin,
                nearest: nearest(path).map(str::to_owned),
            });
            return;
        };
        let mixed = value.as_array().is_some_and(|items| !items.iter().all(Value::is_str));
        let wrong = mixed || std::mem::discriminant(default) != std::mem::discriminant(&value);
        let negative = value.as_integer().is_some_and(|number| number < 0);
        if wrong || negative {
            self.errors.push(ConfigError::WrongType {
                key: path.to_owned(),
                origin,
                found: value.to_string(),
                wanted: kind(default).to_owned(),
            });
            return;
        }
        self.values.insert(path.to_owned(), value);
        self.origins.insert(path.to_owned(), origin);
    }

    /// Reads a variable's text as the type that its key has; leaves it a string if it is not one.
    fn typed(&self, path: &str, text: String) -> Value {
        match self.values.get(path) {
            Some(Value::Integer(_)) => text.parse().map_or(Value::String(text), Value::Integer),
            Some(Value::Boolean(_)) => text.parse().map_or(Value::String(text), Value::Boolean),
            Some(Value::Array(_)) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect::<Vec<_>>()
                .into(),
            _ => Value::String(text),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number, 0 or more",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of strings",
        _ => "a string",
    }
}

fn flatten(prefix: &str, table: &Table, each: &mut impl FnMut(String, &Value)) {
    for (key, value) in table {
        match value {
            Value::Table(inner) if prefix.is_empty() => flatten(key, inner, each),
            value if prefix.is_empty() => each(key.clone(), value),
            value => each(format!("{prefix}.{key}"), value),
        }
    }
}

/// The known key that takes the fewest edits to reach, if they are few beside its length.
fn nearest(path: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let far = |known: &str| {
        let known_name = known.rsplit('.').next().unwrap_or(known);
        edits(path, known).min(edits(name, known_name) + 1)
    };
    let (known, far) = keys::all().map(|key| (key.path, far(key.path))).min_by_key(|key| key.1)?;
    (far <= 1 + name.chars().count() / 3).then_some(known)
}

/// Levenshtein's distance, by rows.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let above = row[j + 1];
            let changed = before + usize::from(a != *b);
            row[j + 1] = changed.min(above + 1).min(row[j] + 1);
            before = above;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(layers: Layers) -> String {
        layers.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn later_layers_win() {
        let checked = Layers::new()
            .text("[cluster]\nshards = 8\n[twins]\nidle_ms = 5", "a.toml")
            .variables([("POLLUX_CLUSTER__SHARDS".into(), "4".into())])
            .flag("cluster.shards", Some(2), "--shards")
            .check()
            .unwrap();
        assert_eq!(checked.cluster.shards, 2);
        assert_eq!(checked.twins.idle.as_millis(), 5);
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let text = errors(Layers::new().text("[log]\nsegment_byte = 1", "a.toml"));
        assert_eq!(
            text,
            "unknown key log.segment_byte in a.toml; the nearest known key is log.segment_bytes"
        );
        let text = errors(Layers::new().variables([("POLLUX_SHARDS".into(), "4".into())]));
        assert!(text.ends_with("the nearest known key is cluster.shards"), "{text}");
        let text = errors(Layers::new().text("foo = 1", "a.toml"));
        assert_eq!(text, "unknown key foo in a.toml; no known key is like it");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_origin() {
        let text =
            errors(Layers::new().variables([("POLLUX_CLUSTER__SHARDS".into(), "many".into())]));
        assert_eq!(
            text,
            "cluster.shards in POLLUX_CLUSTER__SHARDS is \"many\"; it takes a whole number, 0 or more"
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text = "x = 1\n[node]\nname = 3\n[cluster]\nshards = 99999\n[devices]\nnames = [1]";
        let layers = Layers::new().text(text, "a.toml");
        assert_eq!(layers.check().expect_err("four errors").0.len(), 4);
    }

    #[test]
    fn text_that_is_not_toml_is_refused_with_its_place() {
        let text = errors(Layers::new().text("[log\n", "a.toml"));
        assert!(text.contains("a.toml") && text.contains("line 1"), "{text}");
    }

    #[test]
    fn lists_and_flags_of_the_command_line_pass() {
        let checked = Layers::new()
            .variables([
                ("POLLUX_DEVICES__NAMES".into(), "a.example, b.example".into()),
                ("POLLUX_CONFIG".into(), "ignored here".into()),
                ("POLLUX_JOIN_TOKEN".into(), "ignored here".into()),
                ("HOME".into(), "/".into()),
            ])
            .check()
            .unwrap();
        assert_eq!(checked.devices.names, ["a.example", "b.example"]);
    }
}

//! A configuration as a commented TOML file.

use toml::{Table, Value};

use super::keys::{self, NodeConfig};

/// Writes every key of `config` with its documentation, ready to be edited.
pub fn show(config: &NodeConfig) -> String {
    let table = Table::try_from(config).expect("a configuration is plain values");
    let mut text = String::new();
    let mut section = "";
    for key in keys::all() {
        let (in_section, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if in_section != section {
            section = in_section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        for line in key.doc {
            text.push_str(&format!("#{line}\n"));
        }
        let value = value_of(&table, in_section, name);
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

fn value_of<'a>(table: &'a Table, section: &str, name: &str) -> &'a Value {
    let holder = match section {
        "" => table,
        section => table[section].as_table().expect("sections are tables"),
    };
    &holder[name]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn what_is_shown_reads_back_the_same() {
        let text = show(&NodeConfig::default());
        let back = Layers::new().text(&text, "shown").merged().unwrap();
        assert_eq!(back, NodeConfig::default());
    }

    #[test]
    fn every_key_is_documented_and_every_documented_key_exists() {
        let table = Table::try_from(NodeConfig::default()).unwrap();
        let mut paths = Vec::new();
        for (key, value) in &table {
            match value.as_table() {
                Some(section) => paths.extend(section.keys().map(|name| format!("{key}.{name}"))),
                None => paths.push(key.clone()),
            }
        }
        let mut documented: Vec<String> = keys::all().map(|key| key.path.to_owned()).collect();
        paths.sort();
        documented.sort();
        assert_eq!(paths, documented);
        assert!(keys::all().all(|key| key.doc.iter().any(|line| line.len() > 10)));
    }
}

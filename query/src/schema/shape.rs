//! Whether a schema may be used at all: it refers to nothing but itself, it ends on every value, and no value has
//! it look very many times. Decided from the schema alone, before anything is asked of it.
//!
//! A schema is a graph of subschemas: some look at the same value (`allOf`, `$ref`), others at what is in it
//! (`properties`, `items`). A circle of the first kind never ends. Of the second, as a tree of a tree is, it ends
//! with the value, but may double at each level; so it is counted, for every depth that a value can have, how
//! often one part of a value can be looked at.

use std::collections::HashMap;

use pollux_twin::limits::DEPTH_CEILING;
use serde_json::Value as Json;

use super::error::{SchemaError, escaped};
use crate::limits::{SCHEMA_LOOKS_MAX, TYPE_PATTERNS_MAX};

/// A subschema.
#[derive(Default)]
struct Node {
    at: String,
    /// Subschemas of the same value.
    same: Vec<usize>,
    /// Of what is in it, each of another part.
    each: Vec<Vec<usize>>,
    /// Of what is in it, perhaps all of one part.
    all: Vec<usize>,
}

struct Graph<'s> {
    schema: &'s Json,
    nodes: Vec<Node>,
    known: HashMap<String, usize>,
}

/// Refuses a schema that may not be used; `patterns` counts those of a whole type.
pub(super) fn check(schema: &Json, patterns: &mut usize) -> Result<(), SchemaError> {
    walk(schema, "", patterns)?;
    let mut graph = Graph { schema, nodes: Vec::new(), known: HashMap::new() };
    graph.node(String::new());
    let mut next = 0;
    while next < graph.nodes.len() {
        graph.look(next)?;
        next += 1;
    }
    let order = graph.order()?;
    graph.count(&order)
}

/// Refuses what would change what a reference means, wherever it stands, and very many patterns.
fn walk(schema: &Json, at: &str, patterns: &mut usize) -> Result<(), SchemaError> {
    match schema {
        Json::Object(members) => {
            for (keyword, given) in members {
                let here = format!("{at}/{}", escaped(keyword));
                match (keyword.as_str(), given) {
                    ("$id" | "id" | "$schema", Json::String(_)) if !at.is_empty() => {
                        let wrong =
                            "only a whole schema may have a name, or say what it is written in";
                        return Err(SchemaError::of(here, wrong));
                    }
                    ("pattern", Json::String(_)) => *patterns += 1,
                    ("patternProperties", Json::Object(of)) => *patterns += of.len(),
                    _ => {}
                }
                if *patterns > TYPE_PATTERNS_MAX {
                    let wrong = format!("a type has at most {TYPE_PATTERNS_MAX} patterns");
                    return Err(SchemaError::of(here, wrong));
                }
                walk(given, &here, patterns)?;
            }
            Ok(())
        }
        Json::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| walk(item, &format!("{at}/{n}"), patterns)),
        _ => Ok(()),
    }
}

impl Graph<'_> {
    /// The node of a place, which may be new.
    fn node(&mut self, at: String) -> usize {
        let next = self.nodes.len();
        let id = *self.known.entry(at.clone()).or_insert(next);
        if id == next {
            self.nodes.push(Node { at, ..Node::default() });
        }
        id
    }

    /// Finds what a subschema is made of.
    fn look(&mut self, id: usize) -> Result<(), SchemaError> {
        let at = self.nodes[id].at.clone();
        let Some(found) = self.schema.pointer(&at) else {
            return Err(SchemaError::of("", format!("\"$ref\": there is nothing at #{at}")));
        };
        let members = match found {
            Json::Bool(_) => return Ok(()),
            Json::Object(members) => members,
            _ => return Err(SchemaError::of(at, "a schema is an object, true or false")),
        };
        let mut node = Node { at: at.clone(), ..Node::default() };
        for (keyword, given) in members {
            let here = format!("{at}/{}", escaped(keyword));
            match (keyword.as_str(), given) {
                ("$ref", Json::String(to)) => {
                    let to = local(&here, to)?;
                    node.same.push(self.node(to));
                }
                (
                    "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveAnchor"
                    | "$recursiveRef",
                    Json::String(_) | Json::Bool(_),
                ) => {
                    let wrong = "is not taken; write \"$ref\" with the place, as #/$defs/name";
                    return Err(SchemaError::of(here, wrong));
                }
                ("allOf" | "anyOf" | "oneOf", Json::Array(all)) => {
                    node.same.extend((0..all.len()).map(|n| self.node(format!("{here}/{n}"))));
                }
                // It is looked at for both of its ways.
                ("if", _) => {
                    let asked = self.node(here);
                    node.same.extend([asked, asked]);
                }
                ("not" | "then" | "else", _) => node.same.push(self.node(here)),
                ("dependentSchemas" | "dependencies", Json::Object(of)) => {
                    let schemas = of.iter().filter(|(_, one)| !one.is_array());
                    node.same.extend(schemas.map(|(name, _)| self.member(&here, name)));
                }
                ("properties", Json::Object(of)) => {
                    node.each.push(of.keys().map(|name| self.member(&here, name)).collect());
                }
                ("patternProperties", Json::Object(of)) => {
                    node.all.extend(of.keys().map(|name| self.member(&here, name)));
                }
                ("items" | "prefixItems", Json::Array(of)) => {
                    let items = (0..of.len()).map(|n| self.node(format!("{here}/{n}")));
                    node.each.push(items.collect());
                }
                (
                    "items"
                    | "additionalItems"
                    | "unevaluatedItems"
                    | "contains"
                    | "additionalProperties"
                    | "unevaluatedProperties"
                    | "propertyNames",
                    Json::Object(_) | Json::Bool(_),
                ) => node.all.push(self.node(here)),
                _ => {}
            }
        }
        // What is left to it, the library finds by asking its neighbours again, of each twice more.
        if members.contains_key("unevaluatedProperties") || members.contains_key("unevaluatedItems")
        {
            node.same = node.same.repeat(3);
        }
        self.nodes[id] = node;
        Ok(())
    }

    fn member(&mut self, here: &str, name: &str) -> usize {
        self.node(format!("{here}/{}", escaped(name)))
    }

    /// All nodes, each after those that look at the same value as it does.
    fn order(&self) -> Result<Vec<usize>, SchemaError> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Entered,
            Left,
        }
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        for first in 0..self.nodes.len() {
            let mut way = vec![(first, 0)];
            while let Some((id, next)) = way.pop() {
                if seen[id] == Seen::Left {
                    continue;
                }
                seen[id] = Seen::Entered;
                let Some(&to) = self.nodes[id].same.get(next) else {
                    seen[id] = Seen::Left;
                    order.push(id);
                    continue;
                };
                way.push((id, next + 1));
                match seen[to] {
                    Seen::Not => way.push((to, 0)),
                    Seen::Left => {}
                    Seen::Entered => {
                        let wrong = "asks itself of the same value again, for ever; let the circle go through \
                                     what is in the value, as properties or items do";
                        return Err(SchemaError::of(self.nodes[to].at.clone(), wrong));
                    }
                }
            }
        }
        Ok(order)
    }

    /// Refuses what would look at one part of a value very many times.
    fn count(&self, order: &[usize]) -> Result<(), SchemaError> {
        let mut above = vec![0_u64; self.nodes.len()];
        for depth in 0..=DEPTH_CEILING {
            let mut here = vec![0_u64; self.nodes.len()];
            for &id in order {
                let node = &self.nodes[id];
                let own = match depth {
                    0 => 1,
                    _ => {
                        let most = |of: &Vec<usize>| of.iter().map(|id| above[*id]).max();
                        let each = node.each.iter().filter_map(most);
                        each.chain(node.all.iter().map(|id| above[*id]))
                            .fold(0, u64::saturating_add)
                    }
                };
                let same = node.same.iter().map(|id| here[*id]);
                here[id] = same.fold(own, u64::saturating_add);
            }
            if here[0] > SCHEMA_LOOKS_MAX {
                let wrong = format!(
                    "looks at one part of a value more than {SCHEMA_LOOKS_MAX} times; refer less often to what \
                     refers to others"
                );
                return Err(SchemaError::of("", wrong));
            }
            above = here;
        }
        Ok(())
    }
}

/// The place that a reference is to, in the schema itself.
fn local(at: &str, to: &str) -> Result<String, SchemaError> {
    match to.strip_prefix('#') {
        Some(place) if (place.is_empty() || place.starts_with('/')) && !place.contains('%') => {
            Ok(place.to_owned())
        }
        _ => {
            let wrong = format!(
                "{to:?} is not in the schema; nothing is fetched: refer to a place in it, as #/$defs/name"
            );
            Err(SchemaError::of(at, wrong))
        }
    }
}

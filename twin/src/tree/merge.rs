//! Merging a patch into a tree (RFC 7396), and measuring beforehand what that would do.
//!
//! `Tree::measure` and `Tree::merge` walk alike; a property test holds them together. A value that
//! stays what it was keeps its time.

use alloc::vec::Vec;

use super::node::Node;
use super::{Difference, Member, Stamp, Tree, Write, member_len};
use crate::json::value_len;
use crate::value::{Object, Value};

impl Tree {
    /// What [`Tree::merge`] would do.
    pub(crate) fn measure(&self, patch: &Object, write: Write) -> Difference {
        let mut sum = Difference::default();
        measure_members(&self.members, patch, write, &mut sum);
        sum
    }

    /// Merges the patch in; as a replacement, what the patch does not name goes away.
    pub(crate) fn merge(&mut self, patch: &Object, write: Write, stamp: Stamp) -> Difference {
        let mut sum = Difference::default();
        merge_members(&mut self.members, patch, write, stamp, &mut sum);
        let json_len = i64::try_from(self.json_len).expect("a section is far below 2^63 bytes");
        self.json_len = usize::try_from(json_len + sum.bytes).expect("a text has a length");
        sum
    }
}

fn find(members: &[Member], key: &str) -> Result<usize, usize> {
    members.binary_search_by(|member| member.key.as_bytes().cmp(key.as_bytes()))
}

/// Whether a replacement by `patch` keeps the member of this name.
fn kept(patch: &Object, key: &str) -> bool {
    patch.get(key).is_some_and(|value| *value != Value::Null)
}

fn signed(len: usize) -> i64 {
    i64::try_from(len).expect("texts in memory are far below 2^63 bytes")
}

/// The text of an object of `count` members is one byte longer than their sum plus one bracket
/// only if it is empty (there is no comma to save).
fn empty_extra(count: usize) -> i64 {
    i64::from(count == 0)
}

fn measure_members(members: &[Member], patch: &Object, write: Write, sum: &mut Difference) {
    let mut count = members.len();
    if write == Write::Replace {
        for member in members.iter().filter(|member| !kept(patch, member.key.as_str())) {
            sum.changed = true;
            sum.bytes -= signed(member_len(member.key.as_bytes(), member.node.json_len()));
            count -= 1;
        }
    }
    for (key, value) in patch {
        match (find(members, key), value) {
            (Ok(at), Value::Null) if write == Write::Merge => {
                let member = &members[at];
                sum.changed = true;
                sum.bytes -= signed(member_len(key.as_bytes(), member.node.json_len()));
                count -= 1;
            }
            (_, Value::Null) => {}
            (Ok(at), Value::Object(inner)) => match &members[at].node {
                Node::Object(members) => measure_members(members, inner, write, sum),
                leaf => {
                    sum.changed = true;
                    sum.bytes += signed(stripped_len(value, sum)) - signed(leaf.json_len());
                }
            },
            (Ok(at), leaf) => match &members[at].node {
                old if old.is(leaf) => {}
                old => {
                    sum.changed = true;
                    sum.bytes += signed(value_len(leaf)) - signed(old.json_len());
                }
            },
            (Err(_), value) => {
                sum.changed = true;
                sum.bytes += signed(member_len(key.as_bytes(), stripped_len(value, sum)));
                count += 1;
            }
        }
    }
    sum.bytes += empty_extra(count) - empty_extra(members.len());
    if count > members.len() {
        sum.members_max = sum.members_max.max(count);
    }
}

/// Bytes of what [`build`] makes of a value.
fn stripped_len(value: &Value, sum: &mut Difference) -> usize {
    let Value::Object(members) = value else { return value_len(value) };
    let mut len = 1;
    let mut count = 0;
    for (key, value) in members.iter().filter(|(_, value)| **value != Value::Null) {
        len += member_len(key.as_bytes(), stripped_len(value, sum));
        count += 1;
    }
    sum.members_max = sum.members_max.max(count);
    len.max(2)
}

fn merge_members(
    members: &mut Vec<Member>,
    patch: &Object,
    write: Write,
    stamp: Stamp,
    sum: &mut Difference,
) {
    let count = members.len();
    if write == Write::Replace {
        members.retain(|member| {
            let kept = kept(patch, member.key.as_str());
            if !kept {
                sum.changed = true;
                sum.bytes -= signed(member_len(member.key.as_bytes(), member.node.json_len()));
            }
            kept
        });
    }
    for (key, value) in patch {
        match (find(members, key), value) {
            (Ok(at), Value::Null) => {
                let member = members.remove(at);
                sum.changed = true;
                sum.bytes -= signed(member_len(key.as_bytes(), member.node.json_len()));
            }
            (Err(_), Value::Null) => {}
            (Ok(at), value) => merge_member(&mut members[at], value, write, stamp, sum),
            (Err(at), value) => {
                let node = build(value, stamp, sum);
                sum.changed = true;
                sum.bytes += signed(member_len(key.as_bytes(), node.json_len()));
                members.insert(at, Member { key: key.as_str().into(), stamp, node });
            }
        }
    }
    sum.bytes += empty_extra(members.len()) - empty_extra(count);
    if members.len() > count {
        sum.members_max = sum.members_max.max(members.len());
    }
}

fn merge_member(
    member: &mut Member,
    value: &Value,
    write: Write,
    stamp: Stamp,
    sum: &mut Difference,
) {
    match (&mut member.node, value) {
        (Node::Object(members), Value::Object(inner)) => {
            let was_empty = members.is_empty();
            merge_members(members, inner, write, stamp, sum);
            if members.is_empty() && !was_empty {
                member.stamp = stamp;
            }
        }
        (old, value) if old.is(value) => {}
        (old, value) => {
            let new = build(value, stamp, sum);
            sum.changed = true;
            sum.bytes += signed(new.json_len()) - signed(old.json_len());
            *old = new;
            member.stamp = stamp;
        }
    }
}

/// A value merged into nothing: objects lose their null members, at every depth outside arrays.
fn build(value: &Value, stamp: Stamp, sum: &mut Difference) -> Node {
    let Value::Object(members) = value else { return Node::leaf(value) };
    let members: Vec<_> = members
        .iter()
        .filter(|(_, value)| **value != Value::Null)
        .map(|(key, value)| Member {
            key: key.as_str().into(),
            stamp,
            node: build(value, stamp, sum),
        })
        .collect();
    sum.members_max = sum.members_max.max(members.len());
    Node::Object(members.into())
}

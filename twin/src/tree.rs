//! The content of a section: an object whose leaves carry the time of their last change.
//!
//! A leaf is whatever a merge patch replaces whole: scalars, arrays, and an empty object (which
//! has nothing inside to carry its time). Merging is in `merge`, bytes at rest in `codec`.

pub(crate) mod codec;
mod merge;
mod node;
#[cfg(test)]
mod tests;
mod text;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use self::node::Node;
use self::text::Text;
use crate::index::Scalar;
use crate::json::{list_len, string_len};
use crate::time::Time;
use crate::value::{Object, Value};

/// When a leaf last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// The shard's time.
    pub(crate) at: Time,
    /// The device's own time, if it said one.
    pub(crate) observed_at: Option<Time>,
}

/// One member of an object.
#[derive(Clone, Debug)]
struct Member {
    key: Text,
    /// Has a meaning for leaves only.
    stamp: Stamp,
    node: Node,
}

/// What happens to members that a patch does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

impl Write {
    pub(crate) const fn whole(whole: bool) -> Self {
        if whole { Self::Replace } else { Self::Merge }
    }
}

/// What a merge does, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Whether it changes anything.
    pub(crate) changed: bool,
    /// Bytes that the JSON text gains.
    pub(crate) bytes: i64,
    /// Members of the largest object that grows.
    pub(crate) members_max: usize,
}

/// The content of a section.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    members: Vec<Member>,
    /// Bytes of the JSON text, kept so that a patch need not measure what it does not touch.
    json_len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { members: Vec::new(), json_len: 2 }
    }
}

impl Tree {
    /// Bytes of the content as JSON text.
    pub(crate) const fn json_len(&self) -> usize {
        self.json_len
    }

    /// Whether it has no members.
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The content as a plain value.
    pub(crate) fn to_value(&self) -> Value {
        members_value(&self.members)
    }

    /// What stands at a path of names, if it is a scalar.
    pub(crate) fn scalar(&self, path: &[Box<str>]) -> Option<Scalar> {
        let (last, through) = path.split_last()?;
        let mut members = &self.members;
        for name in through {
            let Node::Object(inner) = member(members, name)? else { return None };
            members = inner;
        }
        member(members, last)?.to_scalar()
    }

    /// Calls `visit` for each leaf, with its path as a JSON pointer (RFC 6901), in order.
    pub(crate) fn for_each_leaf(&self, visit: &mut impl FnMut(&str, Stamp)) {
        leaves(&self.members, &mut String::new(), visit);
    }
}

fn member<'t>(members: &'t [Member], name: &str) -> Option<&'t Node> {
    let at = members.binary_search_by(|member| member.key.as_bytes().cmp(name.as_bytes()));
    at.ok().map(|at| &members[at].node)
}

fn members_value(members: &[Member]) -> Value {
    let member = |member: &Member| (member.key.as_str().into(), member.node.to_value());
    Value::Object(members.iter().map(member).collect::<Object>())
}

fn leaves(members: &[Member], path: &mut String, visit: &mut impl FnMut(&str, Stamp)) {
    for member in members {
        let len = path.len();
        path.push('/');
        for char in member.key.as_str().chars() {
            match char {
                '~' => path.push_str("~0"),
                '/' => path.push_str("~1"),
                char => path.push(char),
            }
        }
        match &member.node {
            Node::Object(members) if !members.is_empty() => leaves(members, path, visit),
            _ => visit(path, member.stamp),
        }
        path.truncate(len);
    }
}

/// What a member adds to the text of its object: key, colon, value and a comma.
fn member_len(key: &[u8], value_len: usize) -> usize {
    string_len(key) + 1 + value_len + 1
}

fn members_len(members: &[Member]) -> usize {
    // The comma of each is counted by the list.
    list_len(members.iter().map(|m| member_len(m.key.as_bytes(), m.node.json_len()) - 1))
}

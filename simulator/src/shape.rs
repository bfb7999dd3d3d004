//! What simulated reports look like. A shape and a number give the patch: nothing is random.

use pollux_twin::Value;
use pollux_twin::value::Object;
use serde::{Deserialize, Serialize};

/// The form of a report's patch. Each has the member `n`, the number that verification counts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A number and a text: `{"n":7,"pad":"xx…"}`.
    #[default]
    Flat,
    /// Some of sixteen members: numbers, texts, booleans.
    Wide,
    /// Objects within objects, four deep.
    Deep,
    /// Each of the others in turn, and now and then a removal.
    Mixed,
}

impl Shape {
    /// The names of the shapes, as text.
    pub const NAMES: [(&str, Self); 4] =
        [("flat", Self::Flat), ("wide", Self::Wide), ("deep", Self::Deep), ("mixed", Self::Mixed)];

    /// The patch number `n` of about `bytes` bytes as JSON.
    pub(crate) fn patch(self, n: u64, bytes: usize, salt: u64) -> Value {
        let mut object = Object::new();
        object.insert("n".to_owned(), integer(n));
        let room = bytes.saturating_sub(20);
        match self {
            Self::Flat => {
                object.insert("pad".to_owned(), Value::String(letters(salt ^ n, room)));
            }
            Self::Wide => {
                let members = (room / 16).clamp(1, 16);
                for member in 0..members {
                    let mixed = mix(salt ^ n.wrapping_mul(31).wrapping_add(member as u64));
                    let value = match member % 4 {
                        0 => integer(mixed % 100_000),
                        1 => Value::Bool(mixed.is_multiple_of(2)),
                        2 => Value::Float(
                            f64::from(u32::try_from(mixed % 10_000).unwrap_or(0)) / 8.0,
                        ),
                        _ => Value::String(letters(mixed, 6)),
                    };
                    object.insert(format!("k{:02}", (mixed >> 32) % 16), value);
                }
            }
            Self::Deep => {
                let leaf = Value::String(letters(salt ^ n, room.saturating_sub(40)));
                let path = ["engine", "pump", "valve", "state"];
                let nested = path.iter().rev().fold(leaf, |inner, name| {
                    Value::Object(Object::from([((*name).to_owned(), inner)]))
                });
                object.insert("tree".to_owned(), nested);
            }
            Self::Mixed => {
                let shape = [Self::Flat, Self::Wide, Self::Deep]
                    [usize::from(n % 3 == 1) + 2 * usize::from(n % 3 == 2)];
                let Value::Object(mut patch) = shape.patch(n, bytes, salt) else {
                    return Value::Null;
                };
                if n.is_multiple_of(10) {
                    patch.insert("tree".to_owned(), Value::Null);
                }
                return Value::Object(patch);
            }
        }
        Value::Object(object)
    }
}

/// A non-negative integer in its one form.
pub(crate) fn integer(n: u64) -> Value {
    i64::try_from(n).map_or(Value::Uint(n), Value::Int)
}

/// SplitMix64's mixing (Steele et al. 2014).
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn letters(seed: u64, len: usize) -> String {
    let start = mix(seed) % 26;
    (0..len as u64).map(|at| char::from(b'a' + ((start + at) % 26) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_have_about_the_size_asked_for_and_repeat() {
        for (name, shape) in Shape::NAMES {
            for n in 1..50 {
                let patch = shape.patch(n, 100, 7);
                assert_eq!(patch, shape.patch(n, 100, 7));
                let json = patch.to_json();
                assert!((20..=180).contains(&json.len()), "{name}: {json}");
                assert!(json.contains(&format!("\"n\":{n}")), "{name}: {json}");
            }
        }
    }
}

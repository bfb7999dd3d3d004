//! What an index of a table is about: a path into a section, and the scalars that may stand there, in one
//! order. The index itself is the table's; which of them serves a filter is query/'s to say.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::ops::{Bound, RangeBounds};

use crate::change::Section;
use crate::image::Packed;
use crate::limits::INDEXED_TEXT_BYTES_MAX;
use crate::number::Number;

/// A path of names into a section, such as `tags.site`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexPath {
    /// Which section.
    pub section: Section,
    /// The names, outermost first; at least one.
    pub names: Box<[Box<str>]>,
}

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section.name())?;
        let plain = |name: &str| {
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        self.names.iter().try_for_each(|name| match plain(name) {
            true => write!(f, ".{name}"),
            false => write!(f, "[{name:?}]"),
        })
    }
}

/// A value that an index knows: lists and objects are not in it. Ordered by kind, numbers by what they are
/// worth.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// Nothing, where it is written.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// With a fraction or an exponent; never NaN.
    Double(f64),
    /// A text, or what it begins with if it is long.
    Text(Box<[u8]>),
}

impl Scalar {
    /// A text; one that is long is known by its beginning.
    pub fn text(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self::Text(bytes[..bytes.len().min(INDEXED_TEXT_BYTES_MAX)].into())
    }

    /// A number with a fraction or an exponent, if it is one.
    pub fn double(double: f64) -> Option<Self> {
        (!double.is_nan()).then_some(Self::Double(double))
    }

    /// What lies in an image, if it is a scalar.
    pub fn of(packed: Packed<'_>) -> Option<Self> {
        Some(match packed {
            Packed::Null => Self::Null,
            Packed::Bool(is) => Self::Bool(is),
            Packed::Int(int) => Self::Int(int),
            Packed::Uint(uint) => Self::Uint(uint),
            Packed::Float(float) => return Self::double(float),
            Packed::Str(text) => Self::text(text),
            Packed::Array(_) | Packed::Object(_) => return None,
        })
    }

    /// Whether other values may be taken for it.
    fn is_cut(&self) -> bool {
        matches!(self, Self::Text(bytes) if bytes.len() >= INDEXED_TEXT_BYTES_MAX)
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Int(int) => Some(Number::Whole((*int).into())),
            Self::Uint(uint) => Some(Number::Whole((*uint).into())),
            Self::Double(double) => Some(Number::Double(*double)),
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Uint(_) | Self::Double(_) => 2,
            Self::Text(_) => 3,
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a.compare(b).expect("no double here is NaN"),
                _ => a.rank().cmp(&b.rank()),
            },
        }
    }
}

/// Asks an index for twins: all those, and perhaps some more, at whose path one of these values stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Where.
    pub path: IndexPath,
    /// Which values.
    pub values: Values,
}

/// Values that are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Each of these, once, in order.
    Among(Vec<Scalar>),
    /// All of one kind between two.
    Between(Bound<Scalar>, Bound<Scalar>),
}

impl Values {
    /// These values.
    pub fn among(mut values: Vec<Scalar>) -> Self {
        values.sort();
        values.dedup();
        Self::Among(values)
    }

    /// What is less than a value, or more; `None` if nothing can be compared with it.
    pub fn beyond(side: Side, bound: Bound<Scalar>) -> Option<Self> {
        let bound = match bound {
            // What begins alike may be beyond it.
            Bound::Excluded(value) if value.is_cut() => Bound::Included(value),
            bound => bound,
        };
        let (Bound::Included(value) | Bound::Excluded(value)) = &bound else { return None };
        let (first, last) = match value.rank() {
            1 => (Bound::Included(Scalar::Bool(false)), Bound::Included(Scalar::Bool(true))),
            2 => (Bound::Excluded(Scalar::Bool(true)), Bound::Excluded(Scalar::text(""))),
            3 => (Bound::Included(Scalar::text("")), Bound::Unbounded),
            _ => return None,
        };
        Some(match side {
            Side::Less => Self::Between(first, bound),
            Side::More => Self::Between(bound, last),
        })
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Among(values), other) | (other, Self::Among(values)) => {
                Self::Among(values.into_iter().filter(|value| other.has(value)).collect())
            }
            (Self::Between(low, high), Self::Between(other_low, other_high)) => {
                Self::between(later(low, other_low), earlier(high, other_high))
            }
        }
    }

    /// A range; what ends before it begins has nothing in it.
    fn between(low: Bound<Scalar>, high: Bound<Scalar>) -> Self {
        let empty = match (&low, &high) {
            (Bound::Included(low), Bound::Included(high)) => low > high,
            (
                Bound::Included(low) | Bound::Excluded(low),
                Bound::Included(high) | Bound::Excluded(high),
            ) => low >= high,
            _ => false,
        };
        if empty { Self::Among(Vec::new()) } else { Self::Between(low, high) }
    }

    fn has(&self, value: &Scalar) -> bool {
        match self {
            Self::Among(values) => values.binary_search(value).is_ok(),
            Self::Between(low, high) => {
                RangeBounds::<Scalar>::contains(&(low.as_ref(), high.as_ref()), value)
            }
        }
    }
}

fn later(a: Bound<Scalar>, b: Bound<Scalar>) -> Bound<Scalar> {
    tighter(a, b, Ordering::Greater)
}

fn earlier(a: Bound<Scalar>, b: Bound<Scalar>) -> Bound<Scalar> {
    tighter(a, b, Ordering::Less)
}

/// Of two bounds the one that leaves less; `inwards` is how the tighter compares with the other.
fn tighter(a: Bound<Scalar>, b: Bound<Scalar>, inwards: Ordering) -> Bound<Scalar> {
    use Bound::{Excluded, Included, Unbounded};
    let ordering = match (&a, &b) {
        (Unbounded, _) => return b,
        (_, Unbounded) => return a,
        (Included(a) | Excluded(a), Included(b) | Excluded(b)) => a.cmp(b),
    };
    match ordering {
        Ordering::Equal if matches!(a, Excluded(_)) => a,
        Ordering::Equal => b,
        ordering if ordering == inwards => a,
        _ => b,
    }
}

/// Which way from a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What comes before it.
    Less,
    /// What comes after it.
    More,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn path(names: &[&str]) -> IndexPath {
        IndexPath {
            section: Section::Tags,
            names: names.iter().map(|name| (*name).into()).collect(),
        }
    }

    #[test]
    fn paths_are_written_as_expressions_are() {
        assert_eq!(path(&["site"]).to_string(), "tags.site");
        assert_eq!(path(&["a b", "c_1"]).to_string(), "tags[\"a b\"].c_1");
    }

    #[test]
    fn scalars_are_in_the_order_of_their_kinds_and_numbers_by_worth() {
        use Scalar::{Bool, Double, Int, Null, Uint};
        let sorted = [
            Null,
            Bool(false),
            Bool(true),
            Double(-1.5),
            Int(0),
            Double(0.5),
            Uint(u64::MAX),
            Scalar::text(""),
            Scalar::text("a"),
        ];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(a.cmp(b), n.cmp(&m), "{a:?} {b:?}");
            }
        }
        assert_eq!(Int(7), Double(7.0));
        assert_eq!(Scalar::double(f64::NAN), None);
    }

    #[test]
    fn ranges_stay_within_their_kind() {
        let more = |value| Values::beyond(Side::More, Bound::Excluded(value)).unwrap();
        let less = |value| Values::beyond(Side::Less, Bound::Included(value)).unwrap();
        let values = more(Scalar::Int(5));
        assert!(values.has(&Scalar::Double(5.5)) && values.has(&Scalar::Uint(u64::MAX)));
        assert!(!values.has(&Scalar::Int(5)) && !values.has(&Scalar::text("")));
        let values = less(Scalar::Int(5));
        assert!(values.has(&Scalar::Double(5.0)) && !values.has(&Scalar::Bool(true)));
        let values = less(Scalar::text("b"));
        assert!(values.has(&Scalar::text("")) && !values.has(&Scalar::Int(1)));
        let both = more(Scalar::Int(5)).and(less(Scalar::Int(9)));
        assert!(both.has(&Scalar::Int(9)) && !both.has(&Scalar::Int(5)));
        let none = Values::Among(vec![]);
        assert_eq!(more(Scalar::Int(5)).and(less(Scalar::Int(5))), none);
        assert_eq!(more(Scalar::Int(5)).and(less(Scalar::text("z"))), none);
        let some = Values::among(vec![Scalar::Int(9), Scalar::Int(1), Scalar::Int(9)]);
        assert_eq!(some.and(more(Scalar::Int(5))), Values::Among(vec![Scalar::Int(9)]));
        assert_eq!(Values::beyond(Side::Less, Bound::Excluded(Scalar::Null)), None);
    }

    #[test]
    fn long_texts_are_known_by_their_beginning() {
        let long = "x".repeat(INDEXED_TEXT_BYTES_MAX);
        let longer = alloc::format!("{long}y");
        assert_eq!(Scalar::text(&long), Scalar::text(&longer));
        let values = Values::beyond(Side::More, Bound::Excluded(Scalar::text(&long))).unwrap();
        assert!(values.has(&Scalar::text(&longer)), "it may be more");
    }
}

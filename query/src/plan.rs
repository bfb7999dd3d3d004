//! Which twins a filter can hold for, as far as indexes tell: those for which each of its conditions with `&&`
//! between may hold. The filter itself is asked of each of them, so a plan may find too many, never too few.

use std::ops::Bound;

use pollux_twin::change::Section;
use pollux_twin::index::{IndexPath, Lookup, Scalar, Side, Values};

use crate::error::ExpressionError;
use crate::expr::{Comparison, Constant, Expr, Root};
use crate::filter::{Expression, Filter};

impl Expression {
    /// The path of an index, if the expression is nothing but one.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn index_path(source: &str) -> Result<IndexPath, ExpressionError> {
        let parsed = Self::parse(source)?;
        path(parsed.expr()).ok_or_else(|| ExpressionError {
            line: 1,
            column: 1,
            message: "only what tags, desired or reported have at a path of names has an index"
                .into(),
        })
    }
}

impl Filter {
    /// What indexes can be asked: a twin for which the filter holds is among those of each.
    pub fn lookups(&self) -> Vec<Lookup> {
        let mut found: Vec<Lookup> = Vec::new();
        let mut left = vec![self.expr()];
        while let Some(expr) = left.pop() {
            if let Expr::And(a, b) = expr {
                left.extend([&**b, &**a]);
                continue;
            }
            if let Expr::Holds(of) = expr {
                left.push(of);
                continue;
            }
            let Some(Lookup { path, values }) = condition(expr) else { continue };
            match found.iter_mut().find(|other| other.path == path) {
                // Both must hold, so fewer are asked for.
                Some(other) => other.values = values.and(other.values.clone()),
                None => found.push(Lookup { path, values }),
            }
        }
        found
    }
}

/// The lookup that finds fewest, and how many. `count` says how many one finds, if it is worth asking for and
/// they are no more than so many.
pub fn choose(
    lookups: &[Lookup],
    mut count: impl FnMut(&Lookup, usize) -> Option<usize>,
) -> Option<(&Lookup, usize)> {
    let mut best: Option<(&Lookup, usize)> = None;
    for lookup in lookups {
        let most = best.map_or(usize::MAX, |(_, most)| most);
        best = count(lookup, most).filter(|few| *few < most).map(|few| (lookup, few)).or(best);
    }
    best
}

/// What a condition asks of one path: it cannot hold for other twins.
fn condition(expr: &Expr) -> Option<Lookup> {
    match expr {
        Expr::Compare(comparison, a, b) => match (path(a), path(b)) {
            (Some(path), None) => compared(path, *comparison, &constant(b)?),
            (None, Some(path)) => compared(path, turned(*comparison), &constant(a)?),
            _ => None,
        },
        Expr::In(item, list) => {
            let Expr::List(items) = &**list else { return None };
            let constants = items.iter().map(constant).collect::<Option<Vec<_>>>()?;
            // What no document holds is equal to nothing in one.
            let values = constants.iter().filter_map(scalar).collect();
            Some(Lookup { path: path(item)?, values: Values::among(values) })
        }
        Expr::Or(a, b) => {
            let (a, b) = (condition(a)?, condition(b)?);
            let (Values::Among(mut one), Values::Among(other)) = (a.values, b.values) else {
                return None;
            };
            one.extend(other);
            (a.path == b.path).then(|| Lookup { path: a.path, values: Values::among(one) })
        }
        Expr::Holds(of) => condition(of),
        Expr::Not(of) => is(path(of)?, false),
        expr => is(path(expr)?, true),
    }
}

fn is(path: IndexPath, what: bool) -> Option<Lookup> {
    Some(Lookup { path, values: Values::among(vec![Scalar::Bool(what)]) })
}

fn compared(path: IndexPath, comparison: Comparison, with: &Constant) -> Option<Lookup> {
    let with = scalar(with)?;
    let values = match comparison {
        Comparison::Equal => Values::among(vec![with]),
        Comparison::NotEqual => return None,
        Comparison::Less => Values::beyond(Side::Less, Bound::Excluded(with))?,
        Comparison::LessOrEqual => Values::beyond(Side::Less, Bound::Included(with))?,
        Comparison::Greater => Values::beyond(Side::More, Bound::Excluded(with))?,
        Comparison::GreaterOrEqual => Values::beyond(Side::More, Bound::Included(with))?,
    };
    Some(Lookup { path, values })
}

/// The same comparison with its sides changed.
const fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

fn path(expr: &Expr) -> Option<IndexPath> {
    let Expr::Path(root, names) = expr else { return None };
    let section = match root {
        Root::Tags => Section::Tags,
        Root::Desired => Section::Desired,
        Root::Reported => Section::Reported,
        _ => return None,
    };
    (!names.is_empty()).then(|| IndexPath { section, names: names.clone() })
}

fn constant(expr: &Expr) -> Option<Constant> {
    match expr {
        Expr::Const(constant) => Some(constant.clone()),
        Expr::Negate(of) => match constant(of)? {
            Constant::Int(int) => int.checked_neg().map(Constant::Int),
            Constant::Double(double) => Some(Constant::Double(-double)),
            _ => None,
        },
        _ => None,
    }
}

/// As documents have it; nothing for what they cannot hold.
fn scalar(constant: &Constant) -> Option<Scalar> {
    Some(match constant {
        Constant::Null => Scalar::Null,
        Constant::Bool(is) => Scalar::Bool(*is),
        Constant::Int(int) => Scalar::Int(*int),
        Constant::Uint(uint) => i64::try_from(*uint).map_or(Scalar::Uint(*uint), Scalar::Int),
        Constant::Double(double) => return Scalar::double(*double),
        Constant::Str(text) => Scalar::text(text),
        Constant::Duration(_) | Constant::Time(_) => return None,
    })
}

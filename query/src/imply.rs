//! Whether a filter certainly holds only where another one does, or only where it does not: by how both are written.
//! What cannot be told by that is not so. Evaluates nothing.
//!
//! A filter holds where it is a plain yes. So do all operands of its `&&`, and what `holds(…)` is around.

use crate::expr::{Comparison, Constant, Expr};
use crate::filter::Filter;

impl Filter {
    /// Whether it holds only where the other one does: all that the other asks is among what it asks itself.
    pub fn implies(&self, other: &Self) -> bool {
        implies(&conditions(self.expr()), other.expr())
    }

    /// Whether it holds only where the other one does not: what one asks is what the other wants not to be.
    pub fn excludes(&self, other: &Self) -> bool {
        let (own, theirs) = (conditions(self.expr()), conditions(other.expr()));
        denies(&own, &theirs) || denies(&theirs, &own) || differ(&own, &theirs)
    }
}

/// What has to hold, each for itself, where an expression does.
fn conditions(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::And(a, b) => [conditions(a), conditions(b)].concat(),
        Expr::Holds(of) => conditions(of),
        other => vec![other],
    }
}

/// Whether an expression holds where all of some conditions do.
fn implies(known: &[&Expr], wanted: &Expr) -> bool {
    if known.contains(&wanted) {
        return true;
    }
    match wanted {
        Expr::And(a, b) => implies(known, a) && implies(known, b),
        Expr::Or(a, b) => implies(known, a) || implies(known, b),
        Expr::Holds(of) => implies(known, of),
        _ => false,
    }
}

/// Whether one of some conditions is that something is not so, which is so where all of the others hold.
fn denies(conditions: &[&Expr], known: &[&Expr]) -> bool {
    conditions.iter().any(|condition| match condition {
        Expr::Not(of) => implies(known, of),
        _ => false,
    })
}

/// Whether something of the twin would have to be two texts at once.
fn differ(some: &[&Expr], others: &[&Expr]) -> bool {
    some.iter().filter_map(|one| is_text(one)).any(|(path, text)| {
        let mut theirs = others.iter().filter_map(|one| is_text(one));
        theirs.any(|(other, their)| path == other && text != their)
    })
}

/// What of the twin has to be which text, if that is all that is asked.
fn is_text(expr: &Expr) -> Option<(&Expr, &str)> {
    let Expr::Compare(Comparison::Equal, a, b) = expr else { return None };
    match (&**a, &**b) {
        (path @ Expr::Path(..), Expr::Const(Constant::Str(text)))
        | (Expr::Const(Constant::Str(text)), path @ Expr::Path(..)) => Some((path, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &str, other: &str, implied: bool, excluded: bool) {
        let filter = |text| Filter::parse(text).unwrap();
        let (asked, other) = (filter(asked), filter(other));
        let told = (asked.implies(&other), asked.excludes(&other));
        assert_eq!(told, (implied, excluded), "{asked:?} {other:?}");
    }

    const BERLIN: &str = "tags.site == \"berlin\"";

    #[test]
    fn what_asks_for_more_implies_what_asks_for_less() {
        let both = "tags.site == \"berlin\" && \"north\" in groups";
        for asked in [
            BERLIN,
            both,
            "holds(tags.site == \"berlin\" && tags.floor > 1)",
            "reported.hot && (tags[\"site\"] == \"berlin\")",
        ] {
            check(asked, BERLIN, true, false);
        }
        check(both, "holds(\"north\" in groups\n) && tags.site == \"berlin\"", true, false);
        check(BERLIN, "tags.site == \"paris\" || tags.site == \"berlin\"", true, false);
        check("tags.a.exists(x, x == 1)", "tags.a.exists(y, y == 1)", true, false);
        for asked in [
            "true",
            "tags.site == \"berlin\" || true",
            "reported.site == \"berlin\"",
            "tags.site != \"berlin\"",
            "tags.site == id",
            "false ? true : tags.site == \"berlin\"",
        ] {
            check(asked, BERLIN, false, false);
        }
        check(BERLIN, both, false, false);
        check("id.matches(\"a\")", "id.matches(\"b\")", false, false);
    }

    #[test]
    fn what_wants_it_not_to_be_excludes_it() {
        let both = "tags.site == \"berlin\" && tags.floor > 1";
        for asked in [
            "!(tags.site == \"berlin\")",
            "reported.hot && !holds(tags.site == \"berlin\")",
            "tags.site == \"paris\"",
            "\"paris\" == tags.site && reported.hot",
        ] {
            check(asked, BERLIN, false, true);
            check(asked, both, false, true);
        }
        check("!(tags.site == \"berlin\" && tags.floor > 1)", both, false, true);
        check("tags.locked", "!tags.locked", false, true);
        for asked in ["!(tags.floor > 1)", "tags.site != \"berlin\"", "tags.city == \"paris\""] {
            check(asked, BERLIN, false, false);
        }
        check("!(tags.site == \"berlin\" && tags.floor > 1)", BERLIN, false, false);
        check("tags.n == 1", "tags.n == 1.0", false, false);
    }
}

//! What of many twins a principal may see whose right depends on them: those that meet the filters of its policies. It
//! has to ask for no others itself, as rows are not left out; what it asks is carried out with those filters before its
//! own, so that nothing of other twins is even looked at.

use std::fmt::Write as _;

use pollux_cluster::access::{Action, Bounds, Decision, Fit};
use pollux_query::Filter;
use pollux_twin::Rejection;

use super::asked::{self, By};
use super::book::Rules;
use crate::router::Scope;

/// A question as it is to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// The filter to ask; empty for all.
    pub(crate) filter: String,
    /// What of it policies ask for: a twin for which this does not certainly hold is not there. Empty where all may be
    /// shown.
    pub(crate) bounds: String,
}

impl Narrowed {
    /// A question of somebody who may see all.
    pub(crate) fn all(filter: &str) -> Self {
        Self { filter: filter.to_owned(), ..Self::default() }
    }

    /// What may be shown.
    pub(crate) fn shows(&self) -> Shows {
        if self.bounds.is_empty() {
            Shows::All
        } else if self.filter == self.bounds {
            Shows::WhileMatching
        } else {
            Shows::Matching
        }
    }
}

/// What may be shown of twins to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// All that happens.
    All,
    /// Twins for which the filter holds; of one that leaves them only that.
    Matching,
    /// One twin, for as long as the filter holds for it.
    WhileMatching,
}

/// What a principal may see of a scope with a filter, if it may.
pub(super) fn narrowed(
    rules: &Rules,
    principal: &str,
    action: Action,
    scope: &Scope,
    filter: &str,
) -> Result<Narrowed, Rejection> {
    let access = rules.access();
    let fits = rules.fits(filter);
    let covered = asked::scope(By::new(access, &fits), principal, action, scope);
    let all = Narrowed::all(filter);
    let Some(on) = asked::on(scope) else { return covered.map(|()| all) };
    if let Err(refused) = covered {
        let depends = || access.decide_by(principal, action, on, &|_| Fit::Depends);
        let by_twin =
            matches!(scope, Scope::One(_)) && matches!(depends(), Decision::Depends { .. });
        if !by_twin {
            return Err(refused);
        }
    }
    let bounds = text(&access.bounds(principal, action, on));
    let filter = match (bounds.as_str(), filter) {
        ("", _) => return Ok(all),
        (_, "") => bounds.clone(),
        _ => format!("{bounds} && ({filter}\n)"),
    };
    Ok(Narrowed { filter, bounds })
}

/// The filter that another node asks with for a principal, narrowed here as well unless it has been there.
pub(super) fn narrowed_again(
    rules: &Rules,
    principal: &str,
    action: Action,
    scope: &Scope,
    filter: &str,
) -> Result<Narrowed, Rejection> {
    let narrowed = narrowed(rules, principal, action, scope, filter)?;
    if narrowed.bounds.is_empty() {
        return Ok(narrowed);
    }
    Ok(match (Filter::parse(filter), Filter::parse(&narrowed.bounds)) {
        (Ok(asked), Ok(bounds)) if asked.implies(&bounds) => {
            Narrowed { filter: filter.to_owned(), ..narrowed }
        }
        _ => narrowed,
    })
}

/// Bounds as a filter: a plain yes or a plain no for every twin.
fn text(Bounds { within, without }: &Bounds<'_>) -> String {
    let mut text = String::new();
    for (n, filter) in within.iter().enumerate() {
        // What a filter ends with may be a comment.
        let _ = write!(text, "{}holds({filter}\n)", if n == 0 { "(" } else { " || " });
    }
    if !within.is_empty() {
        text.push(')');
    }
    for filter in without {
        let _ = write!(text, "{}!holds({filter}\n)", if text.is_empty() { "" } else { " && " });
    }
    text
}

#[cfg(test)]
mod tests {
    use pollux_cluster::access::{Effect, Policy, Principal};
    use pollux_cluster::meta::{Meta, MetaPicture};
    use pollux_twin::TwinKey;
    use tokio::sync::watch;

    use super::super::book::PolicyBook;
    use super::*;

    const BERLIN: &str = "tags.site == \"berlin\"";

    fn rules(policies: &[(Effect, &str)]) -> Rules {
        let mut meta = Meta { version: 1, ..Meta::default() };
        meta.access.principals.insert("svc".into(), Principal::default());
        for (n, (effect, filter)) in policies.iter().enumerate() {
            let policy = Policy {
                effect: *effect,
                principals: vec!["svc".into()],
                actions: vec!["twin:*".into()],
                on: vec!["acme/*".parse().unwrap()],
                ..Policy::default()
            };
            meta.access.policies.insert(format!("p{n}"), policy);
            if !filter.is_empty() {
                meta.access.filters.insert(format!("p{n}"), (*filter).to_owned());
            }
        }
        let picture = MetaPicture { meta: meta.into(), ..MetaPicture::default() };
        PolicyBook::new(watch::channel(picture).1).rules("svc")
    }

    fn narrow(rules: &Rules, scope: &Scope, filter: &str) -> Result<Narrowed, Rejection> {
        narrowed(rules, "svc", Action::TwinWatch, scope, filter)
    }

    fn fleet() -> Scope {
        Scope::Prefix { tenant: "acme".into(), prefix: String::new() }
    }

    fn one() -> Scope {
        Scope::One(TwinKey::parse("acme/pump").unwrap())
    }

    fn shows(narrowed: Result<Narrowed, Rejection>) -> Option<(String, Shows)> {
        narrowed.ok().map(|narrowed| (narrowed.filter.replace('\n', ""), narrowed.shows()))
    }

    #[test]
    fn many_are_allowed_where_the_question_asks_for_no_others() {
        use Effect::{Allow, Deny};
        let berlin = rules(&[(Allow, BERLIN)]);
        assert_eq!(shows(narrow(&berlin, &fleet(), "")), None);
        assert_eq!(shows(narrow(&berlin, &fleet(), "tags.site == \"berlin\" || true")), None);
        let asked = "reported.hot && tags.site == \"berlin\"";
        let carried = format!("(holds({BERLIN})) && ({asked})");
        assert_eq!(shows(narrow(&berlin, &fleet(), asked)), Some((carried, Shows::Matching)));
        let but = rules(&[(Allow, ""), (Deny, BERLIN)]);
        assert_eq!(shows(narrow(&but, &fleet(), "")), None);
        assert_eq!(shows(narrow(&but, &fleet(), BERLIN)), None);
        let paris = "tags.site == \"paris\"";
        let carried = format!("!holds({BERLIN}) && ({paris})");
        assert_eq!(shows(narrow(&but, &fleet(), paris)), Some((carried, Shows::Matching)));
        let all = rules(&[(Allow, ""), (Allow, BERLIN)]);
        assert_eq!(shows(narrow(&all, &fleet(), "")), Some((String::new(), Shows::All)));
    }

    #[test]
    fn one_is_allowed_for_as_long_as_it_is_among_them() {
        use Effect::Allow;
        let two = rules(&[(Allow, BERLIN), (Allow, "\"north\" in groups")]);
        let bounds = format!("(holds({BERLIN}) || holds(\"north\" in groups))");
        assert_eq!(shows(narrow(&two, &one(), "")), Some((bounds.clone(), Shows::WhileMatching)));
        let carried = format!("{bounds} && (reported.hot)");
        assert_eq!(shows(narrow(&two, &one(), "reported.hot")), Some((carried, Shows::Matching)));
        let other = Scope::One(TwinKey::parse("beta/pump").unwrap());
        assert_eq!(shows(narrow(&two, &other, "")), None);
    }

    #[test]
    fn another_node_narrows_what_was_not_and_nothing_twice() {
        use Effect::Allow;
        let again = |rules: &Rules, scope: &Scope, filter: &str| {
            let again = narrowed_again(rules, "svc", Action::TwinWatch, scope, filter);
            again.map(|narrowed| narrowed.filter)
        };
        let berlin = rules(&[(Allow, BERLIN)]);
        let once = narrow(&berlin, &fleet(), BERLIN).unwrap().filter;
        assert_eq!(again(&berlin, &fleet(), &once), Ok(once));
        assert!(again(&berlin, &fleet(), "true").is_err());
        let two = rules(&[(Allow, BERLIN), (Allow, "\"north\" in groups")]);
        let once = narrow(&two, &one(), "").unwrap().filter;
        assert_eq!(again(&two, &one(), &once), Ok(once.clone()));
        // What only looks as if it had been narrowed is not taken for it.
        let widened = format!("{once} || true");
        assert_eq!(again(&two, &one(), &widened), Ok(format!("{once} && ({widened}\n)")));
    }

    #[test]
    fn a_filter_that_cannot_be_used_allows_nothing_and_denies_all() {
        use Effect::{Allow, Deny};
        for bad in ["tags.", "reported.hot", "nonsense("] {
            assert_eq!(shows(narrow(&rules(&[(Allow, bad)]), &fleet(), bad)), None);
            assert_eq!(shows(narrow(&rules(&[(Allow, ""), (Deny, bad)]), &fleet(), BERLIN)), None);
        }
    }
}

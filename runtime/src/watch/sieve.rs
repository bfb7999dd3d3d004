//! A watch's filter at work: which changes it lets through, and what each is to it. Asked where the changes are
//! kept, of the twin as it was before a change and as it is after, so that the answer depends on nothing else.

use std::fmt;

use pollux_proto::feed::Fit;
use pollux_query::{Filter, Subject, choose};
use pollux_twin::index::Lookup;
use pollux_twin::table::{States, Table};
use pollux_twin::twin::View;
use pollux_twin::{Rejection, Time, TwinKey, image};
use tokio::task::yield_now;

use super::hub::Step;
use super::ring::Event;
use crate::access::Narrowed;
use crate::limits::SIFTED_PER_TURN;

/// See the module.
pub(crate) struct Sieve {
    /// What every key that is wanted begins with.
    beginning: String,
    filter: Filter,
    /// What policies ask for. A twin for which that does not certainly hold is not there for whoever asks.
    bounds: Option<Filter>,
    /// What indexes can be asked for it.
    lookups: Vec<Lookup>,
}

impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sieve").field(&self.beginning).field(&self.filter.source()).finish()
    }
}

/// What a filter says of a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Holds,
    HoldsNot,
    /// It takes too many steps.
    Nothing,
}

impl Sieve {
    /// Of all whose keys begin so; nothing where nothing is asked of them.
    ///
    /// # Errors
    /// What is asked cannot be asked of twins as they change.
    pub(crate) fn of(beginning: String, asked: &Narrowed) -> Result<Option<Self>, Rejection> {
        if asked.filter.is_empty() {
            return Ok(None);
        }
        let parsed = |filter: &str| {
            Filter::parse_for_changes(filter)
                .map_err(|error| Rejection::Invalid { reason: format!("filter: {error}") })
        };
        let filter = parsed(&asked.filter)?;
        let bounds = match asked.bounds.as_str() {
            "" => None,
            bounds => Some(parsed(bounds)?),
        };
        Ok(Some(Self { beginning, lookups: filter.lookups(), filter, bounds }))
    }

    pub(crate) fn beginning(&self) -> &str {
        &self.beginning
    }

    /// The filter as it was written.
    pub(crate) fn filter(&self) -> &str {
        self.filter.source()
    }

    /// What to ask an index of a table for, if it leaves few twins.
    pub(super) fn few(&self, table: &Table) -> Option<Lookup> {
        let chosen = choose(&self.lookups, |lookup, most| table.count(lookup, most));
        chosen.map(|(lookup, _)| lookup.clone())
    }

    /// What it lets through of some changes. Others have their turn in between, as a filter may take long.
    pub(super) async fn step(&self, step: Step) -> Step {
        let mut events = Vec::new();
        for (n, event) in step.events.into_iter().enumerate() {
            if n % SIFTED_PER_TURN == SIFTED_PER_TURN - 1 {
                yield_now().await;
            }
            events.extend(self.sift(event));
        }
        Step { events, seen: step.seen }
    }

    fn sift(&self, event: Event) -> Option<Event> {
        if !event.what.key.as_str().starts_with(&self.beginning) {
            return None;
        }
        let fit = match &event.states {
            Some(states) => self.fit(&event.what.key, states)?,
            // Walks for a filter end before changes whose twins were not kept.
            None => Fit::Undecided,
        };
        Some(Event { states: None, fit: Some(fit), ..event })
    }

    /// What a change is to the filter; nothing if it neither holds nor held.
    fn fit(&self, key: &TwinKey, states: &States) -> Option<Fit> {
        let held = states.before.as_deref().map_or(Said::HoldsNot, |before| self.ask(key, before));
        match (held, self.ask(key, &states.after)) {
            (Said::HoldsNot, Said::HoldsNot) => None,
            (Said::Holds, Said::Holds) => Some(Fit::Stayed),
            (Said::Holds, Said::HoldsNot) => Some(Fit::Left),
            (Said::HoldsNot, Said::Holds) => Some(match view(key, &states.after) {
                Some(view) => Fit::Entered(Box::new(view)),
                None => Fit::Undecided,
            }),
            (Said::Nothing, _) | (_, Said::Nothing) => Some(Fit::Undecided),
        }
    }

    /// A twin as a picture shows it, unless the filter certainly does not hold for it. A session that was last
    /// heard of before `opened` may be gone.
    pub(crate) fn picture(&self, key: &TwinKey, image: &[u8], opened: Time) -> Option<View> {
        if self.ask(key, image) == Said::HoldsNot {
            return None;
        }
        let mut view = view(key, image)?;
        let presence = &mut view.presence;
        presence.unknown = presence.session.is_some() && presence.seen < opened;
        Some(view)
    }

    /// Whether it certainly holds for a twin.
    pub(super) fn holds(&self, key: &TwinKey, image: &[u8]) -> bool {
        self.ask(key, image) == Said::Holds
    }

    fn ask(&self, key: &TwinKey, image: &[u8]) -> Said {
        // Neither time is asked for: see `Filter::parse_for_changes`.
        let subject = match Subject::of(key, image, Time::default(), Time::default()) {
            Ok(subject) => subject,
            Err(error) => {
                tracing::error!(%key, %error, "a twin cannot be looked at");
                return if self.bounds.is_some() { Said::HoldsNot } else { Said::Nothing };
            }
        };
        let within = self.bounds.as_ref().is_none_or(|all| all.matches(&subject) == Ok(true));
        if !subject.is_alive() || !within {
            return Said::HoldsNot;
        }
        match self.filter.matches(&subject) {
            Ok(true) => Said::Holds,
            Ok(false) => Said::HoldsNot,
            Err(_too_costly) => Said::Nothing,
        }
    }
}

fn view(key: &TwinKey, bytes: &[u8]) -> Option<View> {
    match image::unpack(bytes) {
        Ok((twin, _)) => Some(twin.view()),
        Err(error) => {
            tracing::error!(%key, %error, "a twin cannot be shown");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_twin::change::{Change, Effect, Mark, Section};
    use pollux_twin::{Twin, Value};

    use super::*;

    fn patched(twin: &mut Twin, content: &str) {
        let patch = Value::from_json(content, &Default::default()).unwrap();
        let (section, by) = (Section::Tags, "a".to_owned());
        let effect = Effect::Patched { section, patch, whole: false, observed_at: None, by };
        twin.apply(&Change { at: Time::default(), mark: Mark::None, effect }).unwrap();
    }

    /// What a change from one content to another is to a filter.
    fn fit(filter: &str, before: Option<&str>, after: &str) -> Option<Fit> {
        fit_within("", filter, before, after)
    }

    /// The same for somebody who may see those alone for which another filter holds.
    fn fit_within(bounds: &str, filter: &str, before: Option<&str>, after: &str) -> Option<Fit> {
        let sieve = sieve(bounds, filter);
        let mut twin = Twin::absent();
        let before = before.map(|content| {
            patched(&mut twin, content);
            image::pack(&twin, 1)
        });
        patched(&mut twin, after);
        let states = States { before, after: image::pack(&twin, 2) };
        sieve.fit(&TwinKey::parse("a").unwrap(), &states)
    }

    fn sieve(bounds: &str, filter: &str) -> Sieve {
        let asked = Narrowed { bounds: bounds.into(), ..Narrowed::all(filter) };
        Sieve::of("default/".into(), &asked).unwrap().unwrap()
    }

    #[test]
    fn what_is_too_costly_is_shown_only_within_the_bounds() {
        let items: Vec<_> = (0..300).collect();
        let wide = format!("{{\"site\":\"north\",\"items\":{items:?}}}");
        let (slow, north) = (SLOW, "tags.site == \"north\"");
        let not_slow = format!("!holds({slow})");
        let mut twin = Twin::absent();
        patched(&mut twin, &wide);
        let key = TwinKey::parse("a").unwrap();
        for (bounds, filter, shown) in [
            ("", slow, true),
            (north, slow, true),
            (slow, slow, false),
            (slow, north, false),
            (&not_slow, north, false),
            ("tags.site == \"south\"", slow, false),
        ] {
            let picture =
                sieve(bounds, filter).picture(&key, &image::pack(&twin, 1), Time::default());
            assert_eq!(picture.is_some(), shown, "{bounds} {filter}");
            let change = fit_within(bounds, filter, None, &wide);
            assert_eq!(change.is_some(), shown, "{bounds} {filter}: {change:?}");
        }
        // What becomes too costly to tell has left.
        let small = "{\"site\":\"north\",\"items\":[1]}";
        assert_eq!(fit_within(slow, north, Some(small), &wide), Some(Fit::Left));
    }

    const SLOW: &str = "tags.items.all(a, tags.items.all(b, a + b >= 0))";

    #[test]
    fn a_change_is_told_if_the_filter_holds_before_or_after() {
        let north = "tags.site == \"north\"";
        let (in_north, in_south) = ("{\"site\":\"north\"}", "{\"site\":\"south\"}");
        let entered = fit(north, Some(in_south), in_north);
        let Some(Fit::Entered(view)) = entered else { panic!("{entered:?}") };
        assert_eq!(view.tags.value.to_json(), in_north);
        assert!(matches!(fit(north, None, in_north), Some(Fit::Entered(_))));
        assert_eq!(fit(north, Some(in_north), "{\"n\":1}"), Some(Fit::Stayed));
        assert_eq!(fit(north, Some(in_north), in_south), Some(Fit::Left));
        assert_eq!(fit(north, Some(in_south), "{\"n\":1}"), None);
        assert_eq!(fit(north, None, in_south), None);
        let items: Vec<_> = (0..300).collect();
        let wide = format!("{{\"items\":{items:?}}}");
        assert_eq!(fit(SLOW, None, &wide), Some(Fit::Undecided));
    }
}

//! A subscription as it is remembered: the tags of a twin in the reserved tenant. Owns its name and its form.

use std::collections::BTreeMap;

use pollux_proto::position::{Place, Position};
use pollux_proto::v1;
use pollux_twin::value::Object;
use pollux_twin::{Rejection, ShardId, TwinKey, Value, id};

use super::share::{Consumer, Consumers};
use crate::own::{self, RESERVED};
use crate::router::Scope;

/// What the name of a subscription's twin begins with.
const KIND: &str = "subscription:";

/// The twin of a subscription.
pub(super) fn key(tenant: &str, name: &str) -> Result<TwinKey, Rejection> {
    own::key(KIND, tenant, name)
}

/// The twins of a tenant's subscriptions, and perhaps of others.
pub(super) fn all(tenant: &str) -> Scope {
    Scope::Prefix { tenant: RESERVED.to_owned(), prefix: format!("{KIND}{tenant}:") }
}

/// The twins of all subscriptions.
pub(super) fn every() -> Scope {
    Scope::Prefix { tenant: RESERVED.to_owned(), prefix: KIND.to_owned() }
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct Record {
    pub(in crate::service) tenant: String,
    pub(in crate::service) name: String,
    /// One device; otherwise all whose name begins with `prefix`.
    pub(in crate::service) device: Option<String>,
    pub(in crate::service) prefix: String,
    pub(in crate::service) filter: String,
    /// Begin with the twins as they are.
    pub(in crate::service) picture: bool,
    /// Tell telemetry that is in no log, too.
    pub(in crate::service) telemetry: bool,
    /// What was acknowledged; empty while a picture is still to be taken.
    pub(in crate::service) position: String,
    /// Goes up by one with each consumer that has it alone.
    pub(in crate::service) turn: u64,
    /// Those that share it, if it is shared.
    pub(in crate::service) consumers: Option<Consumers>,
}

impl Record {
    /// Whether it can be remembered.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        if self.consumers.is_some() && self.device.is_some() {
            let reason = "shared: what is about one device has one shard, and nothing to share; leave it out";
            return Err(Rejection::Invalid { reason: reason.to_owned() });
        }
        key(&self.tenant, &self.name).map(drop)
    }

    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        let about = |one: &Self| Self {
            position: String::new(),
            turn: 0,
            consumers: one.consumers.as_ref().map(|_| Consumers::default()),
            ..one.clone()
        };
        about(self) == about(other)
    }

    /// Goes on to a position; false if it is not ahead.
    pub(super) fn advance(&mut self, to: &Position) -> Result<bool, Rejection> {
        if let Ok(at) = self.position.parse::<Position>() {
            if at.lineage > to.lineage {
                let reason = "position: of an earlier life of this cluster".to_owned();
                return Err(Rejection::Invalid { reason });
            }
            let behind = |(shard, place)| to.shards.get(shard).is_none_or(|to| to < place);
            let same = at.lineage == to.lineage;
            if same && (at.shards.iter().any(behind) || at == *to) {
                return Ok(false);
            }
        }
        self.position = to.to_string();
        Ok(true)
    }

    /// How far its shards are, where that is known and of this lineage.
    pub(super) fn places(&self, lineage: u64) -> BTreeMap<ShardId, Place> {
        let at = self.position.parse::<Position>().ok().filter(|at| at.lineage == lineage);
        at.map(|at| at.shards).unwrap_or_default()
    }

    /// Those places of a position that it has not come to.
    pub(super) fn news(&self, to: &Position) -> Vec<(ShardId, Place)> {
        let known = self.places(to.lineage);
        let is_news = |shard, place| known.get(shard).is_none_or(|known| known < place);
        let news = to.shards.iter().filter(|(shard, place)| is_news(*shard, *place));
        news.map(|(shard, place)| (*shard, *place)).collect()
    }

    /// Gives up where these shards are: nobody keeps what follows their beginning, so that all is told anew.
    pub(super) fn give_up(&mut self, shards: impl IntoIterator<Item = ShardId>) {
        if let Ok(mut at) = self.position.parse::<Position>() {
            at.shards.extend(shards.into_iter().map(|shard| (shard, Place::default())));
            self.position = at.to_string();
        }
    }

    /// Goes on to places of shards, of which there are these; false if none is ahead.
    pub(super) fn reach(
        &mut self,
        lineage: u64,
        places: impl IntoIterator<Item = (ShardId, Place)>,
        all: &[ShardId],
    ) -> bool {
        let mut at = match self.position.parse::<Position>() {
            Ok(at) if at.lineage > lineage => return false,
            Ok(at) if at.lineage == lineage => at,
            // What is known of the other shards is worth nothing, and nobody keeps what follows their beginning.
            Ok(_) => Position {
                lineage,
                shards: all.iter().map(|shard| (*shard, Place::default())).collect(),
            },
            Err(_) => Position { lineage, shards: BTreeMap::new() },
        };
        let mut is_news = false;
        for (shard, place) in places {
            if at.shards.get(&shard).is_none_or(|reached| *reached < place) {
                at.shards.insert(shard, place);
                is_news = true;
            }
        }
        if is_news {
            self.position = at.to_string();
        }
        is_news
    }

    /// How many entries its shards' logs have after what was acknowledged, or those of one of its consumers, where each
    /// is this far; none where a picture is still to be taken.
    pub(super) fn behind(&self, now: &Position, consumer: Option<&str>) -> Option<u64> {
        let own = match (consumer, &self.consumers) {
            (Some(name), Some(all)) => Some(all.0.get(name)?.shards.clone()),
            _ => None,
        };
        let wanted = |shard: &ShardId| own.as_ref().is_none_or(|own| own.contains(shard));
        let reached = self.places(now.lineage);
        let mut shards = now.shards.iter().filter(|(shard, _)| wanted(shard));
        shards.try_fold(0, |behind: u64, (shard, head)| {
            let reached = reached.get(shard)?;
            Some(behind.saturating_add(head.index.saturating_sub(reached.index)))
        })
    }

    /// What one of those that share has done, of the shards that it holds; false if nothing of it is ahead.
    pub(super) fn advance_of(&mut self, consumer: &str, to: &Position, all: &[ShardId]) -> bool {
        let one = self.consumers.as_ref().and_then(|all| all.0.get(consumer));
        let own = one.map(|one| one.shards.clone()).unwrap_or_default();
        let done = to.shards.iter().filter(|(shard, _)| own.contains(shard));
        self.reach(to.lineage, done.map(|(shard, place)| (*shard, *place)), all)
    }

    /// The watch of one of its shards, after a place, or from where that shard stands if that is further.
    pub(super) fn watch_part(
        &self,
        lineage: u64,
        shard: ShardId,
        after: Option<Place>,
    ) -> v1::WatchRequest {
        let known = self.position.parse::<Position>().ok();
        let at = |lineage, place| Position { lineage, shards: [(shard, place)].into() };
        let stands = known.and_then(|at| Some((at.lineage, *at.shards.get(&shard)?)));
        let from = after.map(|place| (lineage, place)).max(stands);
        let position = from.map(|(lineage, place)| at(lineage, place).to_string());
        v1::WatchRequest {
            picture: position.is_none(),
            position: position.unwrap_or_default(),
            ..self.watch()
        }
    }

    /// The watch that goes on where it stands.
    pub(super) fn watch(&self) -> v1::WatchRequest {
        use v1::watch_request::Whose;
        v1::WatchRequest {
            tenant: self.tenant.clone(),
            whose: Some(match &self.device {
                Some(device) => Whose::Device(device.clone()),
                None => Whose::Prefix(self.prefix.clone()),
            }),
            position: self.position.clone(),
            picture: self.picture && self.position.is_empty(),
            filter: self.filter.clone(),
            tell_start: false,
            batch: false,
            telemetry: self.telemetry,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let texts = [
            ("tenant", &self.tenant),
            ("name", &self.name),
            ("prefix", &self.prefix),
            ("filter", &self.filter),
            ("position", &self.position),
        ];
        let mut members: Object =
            texts.map(|(name, text)| (name.to_owned(), text.as_str().into())).into();
        members.insert("picture".to_owned(), self.picture.into());
        members.insert("turn".to_owned(), self.turn.into());
        if let Some(device) = &self.device {
            members.insert("device".to_owned(), device.as_str().into());
        }
        if self.telemetry {
            members.insert("telemetry".to_owned(), true.into());
        }
        if let Some(consumers) = &self.consumers {
            let each = consumers.0.iter().map(|(name, one)| (name.clone(), written(one)));
            members.insert("consumers".to_owned(), each.collect::<Object>().into());
        }
        members.into()
    }

    pub(super) fn read(tags: &Value) -> Option<Self> {
        let text = |name: &str| Some(tags.get(name)?.as_str()?.to_owned());
        let consumers = match tags.get("consumers") {
            None => None,
            Some(Value::Object(each)) => {
                let read_one = |(name, one): (&String, &Value)| Some((name.clone(), read(one)?));
                Some(Consumers(each.iter().map(read_one).collect::<Option<_>>()?))
            }
            Some(_) => return None,
        };
        Some(Self {
            tenant: text("tenant")?,
            name: text("name")?,
            device: text("device"),
            prefix: text("prefix")?,
            filter: text("filter")?,
            picture: *tags.get("picture")? == Value::Bool(true),
            telemetry: tags.get("telemetry") == Some(&Value::Bool(true)),
            position: text("position")?,
            turn: tags.get("turn")?.as_u64()?,
            consumers,
        })
    }

    pub(in crate::service) fn from_v1(asked: v1::Subscription) -> Self {
        use v1::subscription::Whose;
        let (device, prefix) = match asked.whose {
            Some(Whose::Device(device)) => (Some(device), String::new()),
            Some(Whose::Prefix(prefix)) => (None, prefix),
            None => (None, String::new()),
        };
        let tenant = match asked.tenant.as_str() {
            "" => id::DEFAULT_TENANT.to_owned(),
            _ => asked.tenant,
        };
        Self {
            tenant,
            name: asked.name,
            device,
            prefix,
            filter: asked.filter,
            picture: asked.picture,
            telemetry: asked.telemetry,
            position: String::new(),
            turn: 0,
            consumers: asked.shared.then(Consumers::default),
        }
    }

    pub(in crate::service) fn to_v1(&self) -> v1::Subscription {
        use v1::subscription::Whose;
        let whose = match &self.device {
            Some(device) => Whose::Device(device.clone()),
            None => Whose::Prefix(self.prefix.clone()),
        };
        v1::Subscription {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            whose: Some(whose),
            filter: self.filter.clone(),
            picture: self.picture,
            position: self.position.clone(),
            turn: self.turn,
            shared: self.consumers.is_some(),
            consumers: self.consumers.iter().flat_map(|all| &all.0).map(shown).collect(),
            behind: None,
            telemetry: self.telemetry,
        }
    }
}

fn shown((name, one): (&String, &Consumer)) -> v1::SubscriptionConsumer {
    let shards = u32::try_from(one.shards.len()).unwrap_or(u32::MAX);
    v1::SubscriptionConsumer { name: name.clone(), shards, behind: None }
}

/// One of those that share, as it is remembered.
fn written(one: &Consumer) -> Value {
    let shards: Vec<Value> = one.shards.iter().map(|shard| u64::from(shard.0).into()).collect();
    let members = [("turn", one.turn.into()), ("beat", one.beat.into()), ("shards", shards.into())];
    members
        .map(|(name, value): (_, Value)| (name.to_owned(), value))
        .into_iter()
        .collect::<Object>()
        .into()
}

fn read(one: &Value) -> Option<Consumer> {
    let Value::Array(shards) = one.get("shards")? else { return None };
    let shard = |value: &Value| Some(ShardId(u16::try_from(value.as_u64()?).ok()?));
    Some(Consumer {
        turn: one.get("turn")?.as_u64()?,
        beat: one.get("beat")?.as_u64()?,
        shards: shards.iter().map(shard).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: &str) -> Record {
        Record {
            tenant: "acme".into(),
            name: "billing".into(),
            device: None,
            prefix: "pump-".into(),
            filter: "tags.site == 'Oslo'".into(),
            picture: true,
            telemetry: false,
            position: position.into(),
            turn: 3,
            consumers: None,
        }
    }

    #[test]
    fn it_comes_back_as_it_was_kept() {
        let one = Record { device: Some("pump".into()), prefix: String::new(), ..record("") };
        let of =
            |shards: [u16; 2]| Consumer { turn: 7, beat: 9, shards: shards.map(ShardId).into() };
        let consumers =
            BTreeMap::from([("a".to_owned(), of([0, 3])), ("b".to_owned(), of([1, 2]))]);
        let shared = Record {
            consumers: Some(Consumers(consumers)),
            telemetry: true,
            ..record("p1.1.0-5-0")
        };
        for record in [record("p1.1.0-5-0"), one, shared] {
            assert_eq!(Record::read(&record.to_value()), Some(record.clone()));
            let asked = Record::from_v1(record.to_v1());
            assert!(asked.is_about_the_same(&record));
        }
        assert_eq!(Record::read(&Value::object()), None);
    }

    #[test]
    fn it_never_goes_back() {
        let to = |text: &str| text.parse::<Position>().unwrap();
        let mut kept = record("");
        for (position, moves) in [
            ("p1.1.0-5-0.1-3-0", true),
            ("p1.1.0-5-0.1-3-0", false),
            ("p1.1.0-4-0.1-9-0", false),
            ("p1.1.0-6-0", false),
            ("p1.1.0-5-1.1-3-0", true),
            ("p1.2.0-1-0", true),
        ] {
            assert_eq!(kept.advance(&to(position)), Ok(moves), "{position}");
        }
        assert!(kept.advance(&to("p1.1.0-9-0")).is_err(), "of an earlier life");
        assert_eq!(kept.position, "p1.2.0-1-0");
        assert!(!kept.watch().picture, "a picture is taken once");
    }

    #[test]
    fn a_shard_goes_on_by_itself_and_never_back() {
        let all = [ShardId(0), ShardId(1)];
        let at = |index| Place { index, ordinal: 0 };
        let mut kept = record("");
        assert!(kept.watch_part(1, ShardId(1), None).picture, "it was not taken yet");
        assert!(kept.reach(1, [(ShardId(1), at(7))], &all));
        let again = [(ShardId(1), at(7)), (ShardId(1), at(6))];
        assert!(!kept.reach(1, again, &all));
        assert_eq!(kept.places(1), [(ShardId(1), at(7))].into());
        let part = kept.watch_part(1, ShardId(1), None);
        assert_eq!((part.position.as_str(), part.picture), ("p1.1.1-7-0", false));
        assert!(kept.watch_part(1, ShardId(0), None).picture, "that one was not");
        for (told, from) in [(6, "p1.1.1-7-0"), (8, "p1.1.1-8-0")] {
            let part = kept.watch_part(1, ShardId(1), Some(at(told)));
            assert_eq!(part.position, from, "what was acknowledged from beside counts");
        }
        let told = |text: &str| text.parse::<Position>().unwrap();
        assert_eq!(
            kept.news(&told("p1.1.0-0-0.1-8-0")),
            [(ShardId(0), at(0)), (ShardId(1), at(8))]
        );
        assert_eq!(kept.news(&told("p1.1.1-7-0")), []);
        assert_eq!(kept.news(&told("p1.2.1-7-0")), [(ShardId(1), at(7))], "of another life");
        let mut given_up = kept.clone();
        given_up.give_up([ShardId(1)]);
        assert_eq!(given_up.position, "p1.1.1-0-0");
        assert!(given_up.reach(1, [(ShardId(1), at(2))], &all), "it goes on from what is told");
        // In the next life nothing that was known of any shard counts.
        assert!(kept.reach(2, [(ShardId(0), at(3))], &all));
        assert_eq!(kept.position, "p1.2.0-3-0.1-0-0");
        assert!(!kept.reach(1, [(ShardId(1), at(9))], &all), "of an earlier life");
    }
}

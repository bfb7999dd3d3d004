//! A subscription as it is remembered: the tags of a twin in the reserved tenant. Owns its name and its form.

use pollux_proto::position::Position;
use pollux_proto::v1;
use pollux_twin::value::Object;
use pollux_twin::{Rejection, TwinKey, Value, id};

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
    /// What was acknowledged; empty while a picture is still to be taken.
    pub(in crate::service) position: String,
    /// Goes up by one with each consumer.
    pub(in crate::service) turn: u64,
}

impl Record {
    /// Whether it can be remembered.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        key(&self.tenant, &self.name).map(drop)
    }

    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        let about =
            |one: &Self| (one.device.clone(), one.prefix.clone(), one.filter.clone(), one.picture);
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
        members.into()
    }

    pub(super) fn read(tags: &Value) -> Option<Self> {
        let text = |name: &str| Some(tags.get(name)?.as_str()?.to_owned());
        let turn = match tags.get("turn")? {
            Value::Int(turn) => u64::try_from(*turn).ok()?,
            Value::Uint(turn) => *turn,
            _ => return None,
        };
        Some(Self {
            tenant: text("tenant")?,
            name: text("name")?,
            device: text("device"),
            prefix: text("prefix")?,
            filter: text("filter")?,
            picture: *tags.get("picture")? == Value::Bool(true),
            position: text("position")?,
            turn,
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
        let (name, filter, picture) = (asked.name, asked.filter, asked.picture);
        Self { tenant, name, device, prefix, filter, picture, position: String::new(), turn: 0 }
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
        }
    }
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
            position: position.into(),
            turn: 3,
        }
    }

    #[test]
    fn it_comes_back_as_it_was_kept() {
        let one = Record { device: Some("pump".into()), prefix: String::new(), ..record("") };
        for record in [record("p1.1.0-5-0"), one] {
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
}

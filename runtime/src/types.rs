//! The device types that the cluster agrees on, as this node knows them: each is compiled once it is heard of, beside
//! all that goes on, and counts from then on. What they ask is `query/`'s, which device is of which stands in its entry.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use pollux_cluster::meta::MetaPicture;
use pollux_cluster::{fleet, fleet::Fleet};
use pollux_query::Schemas;
use pollux_twin::Value;
use pollux_twin::types::{Broken, DeviceType, Named, Part, Types};
use tokio::sync::watch;

/// See the module.
#[derive(Default)]
pub(crate) struct TypeBook {
    /// By tenant and name; as many as the cluster has.
    known: RwLock<HashMap<String, Known>>,
    /// Up to which version of what is agreed on it knows them.
    learnt: watch::Sender<u64>,
}

/// A type as it counts here.
#[derive(Clone)]
struct Known {
    version: u64,
    /// Nothing where it was taken away.
    asks: Option<Arc<Asks>>,
}

/// What a type asks here.
enum Asks {
    Schemas(Schemas),
    /// A program that knows other schemas than this one let the type in.
    Unusable(String),
}

impl TypeBook {
    /// The types of what the cluster agrees on, those of now before this returns.
    pub(crate) fn follow(picture: watch::Receiver<MetaPicture>) -> Arc<Self> {
        let book = Arc::new(Self::default());
        let meta = Arc::clone(&picture.borrow().meta);
        book.learn(&meta.fleet);
        book.learnt.send_replace(meta.version);
        tokio::spawn(Arc::clone(&book).learn_on(picture));
        book
    }

    /// The types of a tenant's devices.
    pub(crate) const fn of<'b>(&'b self, tenant: &'b str) -> TenantTypes<'b> {
        TenantTypes { book: self, tenant }
    }

    async fn learn_on(self: Arc<Self>, mut picture: watch::Receiver<MetaPicture>) {
        while picture.changed().await.is_ok() {
            let (book, meta) = (Arc::clone(&self), Arc::clone(&picture.borrow_and_update().meta));
            let version = meta.version;
            if !book.knows(&meta.fleet) {
                // It may take a moment; a panic of it has been told.
                let _ = tokio::task::spawn_blocking(move || book.learn(&meta.fleet)).await;
            }
            self.learnt.send_replace(version);
        }
    }

    /// Waits until the types of a version of what is agreed on count here.
    pub(crate) async fn has(&self, version: u64) {
        // The sender is the book's own.
        let _ = self.learnt.subscribe().wait_for(|learnt| *learnt >= version).await;
    }

    fn knows(&self, fleet: &Fleet) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let same = |(key, agreed): (&String, &fleet::DeviceType)| {
            known.get(key).is_some_and(|known| known.version == agreed.version)
        };
        known.len() == fleet.types.len() && fleet.types.iter().all(same)
    }

    fn learn(&self, fleet: &Fleet) {
        let before = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let learnt = fleet.types.iter().map(|(key, agreed)| {
            let version = agreed.version;
            let known = match before.get(key).filter(|known| known.version == version) {
                Some(known) => known.clone(),
                None => {
                    Known { version, asks: agreed.schemas.as_ref().map(|text| compile(key, text)) }
                }
            };
            (key.clone(), known)
        });
        let learnt = learnt.collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = learnt;
    }
}

fn compile(name: &str, schemas: &str) -> Arc<Asks> {
    Arc::new(Schemas::compile(schemas).map_or_else(
        |error| {
            tracing::error!(name, %error, "a device type cannot be used here");
            Asks::Unusable(error.to_string())
        },
        Asks::Schemas,
    ))
}

/// The types of one tenant.
pub(crate) struct TenantTypes<'b> {
    book: &'b TypeBook,
    tenant: &'b str,
}

impl Types for TenantTypes<'_> {
    fn named(&self, name: &str) -> Named {
        let known = self.book.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&fleet::key(self.tenant, name)).cloned();
        known.map_or(Named { version: 0, asks: None }, |Known { version, asks }| Named {
            version,
            asks: asks.map(|asks| asks as Arc<dyn DeviceType>),
        })
    }
}

impl DeviceType for Asks {
    fn asks(&self, part: Part<'_>) -> bool {
        match self {
            Self::Schemas(schemas) => schemas.asks(part),
            Self::Unusable(_) => true,
        }
    }

    fn check(&self, part: Part<'_>, value: &Value) -> Result<(), Broken> {
        match self {
            Self::Schemas(schemas) => schemas.check(part, value),
            Self::Unusable(error) => {
                let wrong = format!("the owner cannot use this version of the type: {error}");
                Err(Broken { at: String::new(), wrong })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_cluster::fleet::DeviceType as Agreed;
    use pollux_cluster::meta::Meta;

    use super::*;

    fn agreed(version: u64, schemas: Option<&str>) -> Meta {
        let mut meta = Meta { version, ..Meta::default() };
        let schemas = schemas.map(str::to_owned);
        meta.fleet
            .types
            .insert("acme/pump".into(), Agreed { version, schemas, ..Agreed::default() });
        meta
    }

    #[test]
    fn the_newest_version_counts_and_one_that_is_gone_asks_nothing() {
        let book = TypeBook::default();
        let learn = |meta: Meta| {
            assert!(!book.knows(&meta.fleet));
            book.learn(&meta.fleet);
            assert!(book.knows(&meta.fleet));
        };
        let asked = |tenant: &str| {
            let named = book.of(tenant).named("pump");
            let value = Value::object();
            let asks = named.asks.map(|asks| asks.check(Part::Desired, &value).is_ok());
            (named.version, asks)
        };
        learn(agreed(1, Some(r#"{"desired":false}"#)));
        assert_eq!(asked("acme"), (1, Some(false)));
        assert_eq!(asked("other"), (0, None));
        learn(agreed(2, Some(r#"{"desired":true}"#)));
        assert_eq!(asked("acme"), (2, Some(true)));
        learn(agreed(3, None));
        assert_eq!(asked("acme"), (3, None));
        // It cannot come so far: doors look at it before.
        learn(agreed(4, Some("no JSON")));
        assert_eq!(asked("acme"), (4, Some(false)));
        learn(Meta::default());
        assert_eq!(asked("acme"), (0, None));
    }

    #[tokio::test]
    async fn what_is_agreed_on_is_learnt() {
        let told = |meta: Meta| MetaPicture { meta: meta.into(), ..MetaPicture::default() };
        let (tell, picture) = watch::channel(told(agreed(1, Some("{}"))));
        let book = TypeBook::follow(picture);
        assert_eq!(book.of("acme").named("pump").version, 1);
        tell.send_replace(told(agreed(2, Some("{}"))));
        book.has(2).await;
        assert_eq!(book.of("acme").named("pump").version, 2);
    }
}

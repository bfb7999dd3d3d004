//! The device types that the cluster agrees on, as this node knows them: compiled when they are first asked for,
//! and again when they have changed. What they ask is `query/`'s, which device is of which stands in its entry.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use pollux_cluster::fleet;
use pollux_cluster::meta::MetaPicture;
use pollux_query::Schemas;
use pollux_twin::Value;
use pollux_twin::types::{Broken, DeviceType, Named, Part, Types};
use tokio::sync::watch;

/// See the module.
pub(crate) struct TypeBook {
    picture: watch::Receiver<MetaPicture>,
    /// By tenant and name; as many as the cluster has.
    compiled: RwLock<HashMap<String, Compiled>>,
}

#[derive(Clone)]
struct Compiled {
    version: u64,
    asks: Arc<Asks>,
}

/// What a type asks here.
enum Asks {
    Schemas(Schemas),
    /// A program that knows other schemas than this one let the type in.
    Unusable(String),
}

impl TypeBook {
    /// The types of what the cluster agrees on.
    pub(crate) fn new(picture: watch::Receiver<MetaPicture>) -> Self {
        Self { picture, compiled: RwLock::default() }
    }

    /// The types of a tenant's devices.
    pub(crate) const fn of<'b>(&'b self, tenant: &'b str) -> TenantTypes<'b> {
        TenantTypes { book: self, tenant }
    }

    fn compiled(&self, key: String, version: u64, schemas: &str) -> Arc<Asks> {
        let known = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key).filter(|known| known.version == version) {
            return Arc::clone(&known.asks);
        }
        drop(known);
        let asks = Arc::new(Schemas::compile(schemas).map_or_else(
            |error| {
                tracing::error!(name = key, version, %error, "a device type cannot be used here");
                Asks::Unusable(error.to_string())
            },
            Asks::Schemas,
        ));
        let mut known = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, Compiled { version, asks: Arc::clone(&asks) });
        asks
    }
}

/// The types of one tenant.
pub(crate) struct TenantTypes<'b> {
    book: &'b TypeBook,
    tenant: &'b str,
}

impl Types for TenantTypes<'_> {
    fn named(&self, name: &str) -> Named {
        let meta = Arc::clone(&self.book.picture.borrow().meta);
        let Some(known) = meta.fleet.device_type(self.tenant, name) else {
            return Named { version: 0, asks: None };
        };
        let version = known.version;
        let key = || fleet::key(self.tenant, name);
        let asks = known.schemas.as_ref().map(|text| self.book.compiled(key(), version, text));
        Named { version, asks: asks.map(|asks| asks as Arc<dyn DeviceType>) }
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

    fn agreed(version: u64, schemas: Option<&str>) -> MetaPicture {
        let mut meta = Meta::default();
        let schemas = schemas.map(str::to_owned);
        meta.fleet
            .types
            .insert("acme/pump".into(), Agreed { version, schemas, ..Agreed::default() });
        MetaPicture { meta: meta.into(), ..MetaPicture::default() }
    }

    #[test]
    fn the_newest_version_counts_and_one_that_is_gone_asks_nothing() {
        let (tell, picture) = watch::channel(agreed(1, Some(r#"{"desired":false}"#)));
        let book = TypeBook::new(picture);
        let asked = |tenant: &str| {
            let named = book.of(tenant).named("pump");
            let value = Value::object();
            let asks = named.asks.map(|asks| asks.check(Part::Desired, &value).is_ok());
            (named.version, asks)
        };
        assert_eq!(asked("acme"), (1, Some(false)));
        assert_eq!(asked("other"), (0, None));
        tell.send_replace(agreed(2, Some(r#"{"desired":true}"#)));
        assert_eq!(asked("acme"), (2, Some(true)));
        tell.send_replace(agreed(3, None));
        assert_eq!(asked("acme"), (3, None));
        // It cannot come so far: doors look at it before.
        tell.send_replace(agreed(4, Some("no JSON")));
        assert_eq!(asked("acme"), (4, Some(false)));
    }
}

//! Which twins a policy is about. Owns the text form and what covers what; ids themselves are the twin's.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::ID_BYTES_MAX;

/// Twins by tenant and name. Written `*` (all, and the cluster itself), `acme/*`, `acme/pump-*` (those whose
/// names begin so) or `acme/pump-7`.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Selector {
    /// All twins of all tenants, and what is of the cluster.
    All,
    /// A tenant's twins whose names begin so; perhaps all.
    Fleet {
        /// The tenant.
        tenant: String,
        /// The beginning; may be empty.
        prefix: String,
    },
    /// One twin.
    Twin {
        /// The tenant.
        tenant: String,
        /// The device.
        device: String,
    },
}

impl Selector {
    /// Whether a twin is among them.
    #[must_use]
    pub fn has(&self, of: &str, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Fleet { tenant, prefix } => of == tenant && name.starts_with(prefix.as_str()),
            Self::Twin { tenant, device } => of == tenant && name == device,
        }
    }

    /// Whether all twins of a tenant whose names begin so are among them.
    #[must_use]
    pub fn covers(&self, of: &str, beginning: &str) -> bool {
        match self {
            Self::All => true,
            Self::Fleet { tenant, prefix } => {
                of == tenant && beginning.starts_with(prefix.as_str())
            }
            Self::Twin { .. } => false,
        }
    }

    /// Whether one of those could be among them.
    #[must_use]
    pub fn overlaps(&self, of: &str, beginning: &str) -> bool {
        match self {
            Self::All => true,
            Self::Fleet { tenant, prefix } => {
                of == tenant
                    && (beginning.starts_with(prefix.as_str()) || prefix.starts_with(beginning))
            }
            Self::Twin { tenant, device } => of == tenant && device.starts_with(beginning),
        }
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let (tenant, name) = match self {
            Self::All => return None,
            Self::Fleet { tenant, prefix } => (tenant, prefix),
            Self::Twin { tenant, device } => (tenant, device),
        };
        let good = |text: &str| {
            let fits = |b: u8| b.is_ascii_graphic() && !b"/+#$".contains(&b);
            text.len() <= ID_BYTES_MAX && text.bytes().all(fits)
        };
        let whole = matches!(self, Self::Twin { device, .. } if device.is_empty());
        let bad = tenant.is_empty() || whole || !good(tenant) || !good(name);
        bad.then(|| {
            format!("selector {self}: write `*`, `tenant/*`, `tenant/prefix*` or `tenant/device`")
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Fleet { tenant, prefix } => write!(f, "{tenant}/{prefix}*"),
            Self::Twin { tenant, device } => write!(f, "{tenant}/{device}"),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (tenant, name) = text.split_once('/').ok_or_else(|| {
            format!("selector {text:?}: write `*`, `tenant/*`, `tenant/prefix*` or `tenant/device`")
        })?;
        let tenant = tenant.to_owned();
        let selector = match name.strip_suffix('*') {
            Some(prefix) => Self::Fleet { tenant, prefix: prefix.to_owned() },
            None => Self::Twin { tenant, device: name.to_owned() },
        };
        selector.fault().map_or(Ok(selector), Err)
    }
}

//! Types for tests: `x` has versions, of which the odd ones want no member `c` and no command but `a` to `m`; `y` was
//! taken away, and nobody ever heard of others.

use std::sync::Arc;

use pollux_twin::Value;
use pollux_twin::types::{Broken, DeviceType, Named, Part, Types};

/// The version of `x` that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kinds(pub(crate) u64);

impl Kinds {
    /// As time passes, there are newer ones.
    pub(crate) const fn at(now_ms: u64) -> Self {
        Self(1 + now_ms / 200)
    }
}

impl Types for Kinds {
    fn named(&self, name: &str) -> Named {
        match name {
            "x" if self.0 > 0 => Named { version: self.0, asks: Some(Arc::new(Version(self.0))) },
            "y" => Named { version: 2, asks: None },
            _ => Named { version: 0, asks: None },
        }
    }
}

/// A version of `x`.
pub(crate) struct Version(pub(crate) u64);

impl DeviceType for Version {
    fn asks(&self, _: Part<'_>) -> bool {
        self.0 % 2 == 1
    }

    fn check(&self, part: Part<'_>, value: &Value) -> Result<(), Broken> {
        let broken = |at: &str, wrong: &str| Err(Broken { at: at.into(), wrong: wrong.into() });
        match part {
            Part::Command(name) if name > "m" => broken("", "no such command"),
            Part::Command(_) => Ok(()),
            _ if value.get("c").is_some() => broken("/c", "nobody wants it"),
            _ => Ok(()),
        }
    }
}

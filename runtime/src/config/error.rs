//! What can be wrong with a configuration, said so that the reader can put it right.

use thiserror::Error;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("configuration file {path} is not valid TOML: {reason}")]
    NotToml {
        /// The file.
        path: String,
        /// Line, column and what was expected there.
        reason: String,
    },
    /// No such key.
    #[error("unknown key {key} in {origin}; {}", known(nearest.as_deref()))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it was written.
        origin: String,
        /// The known key most like it, where one is like it.
        nearest: Option<String>,
    },
    /// The value has another type than the key.
    #[error("{key} in {origin} is {found}; it takes {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// Where it was written.
        origin: String,
        /// What was found.
        found: String,
        /// What it takes.
        wanted: String,
    },
    /// The value is of the right type and makes no sense.
    #[error("{key} in {origin} is {value}; {right}")]
    Impossible {
        /// The key.
        key: String,
        /// Where it was written.
        origin: String,
        /// The value.
        value: String,
        /// What would be right.
        right: String,
    },
}

fn known(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("the nearest known key is {nearest}"),
        None => "no known key is like it".into(),
    }
}

impl ConfigError {
    /// Whether what else would be said comes of this alone.
    pub(super) const fn hides_others(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NotToml { .. })
    }
}

/// Everything that is wrong with a configuration: at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

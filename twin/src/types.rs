//! What the type of a device asks of its twin: the words between the machine, which decides, and whoever knows
//! the types. Schemas are in `query/`, what there is of them the cluster agrees on; the driver brings both here.
//!
//! A trait, though the house has few: the machine is `no_std` and knows no schema language, and what it asks is
//! asked in the middle of a decision, of the content as it would be.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::value::Value;

/// What of a twin a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The desired section as it would be.
    Desired,
    /// The reported section as it would be.
    Reported,
    /// The values of one message, by name.
    Telemetry,
    /// What a command of this name is sent with.
    Command(&'a str),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desired => f.write_str("desired"),
            Self::Reported => f.write_str("reported"),
            Self::Telemetry => f.write_str("telemetry"),
            Self::Command(name) => write!(f, "command {name}"),
        }
    }
}

/// Where a value is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where in the value, as a JSON pointer (RFC 6901).
    pub at: String,
    /// What is wrong there.
    pub wrong: String,
}

/// One version of a type.
pub trait DeviceType {
    /// Whether it asks anything of this part.
    fn asks(&self, part: Part<'_>) -> bool;

    /// Whether a value is as the type has it.
    ///
    /// # Errors
    /// Where it is not.
    fn check(&self, part: Part<'_>, value: &Value) -> Result<(), Broken>;
}

/// What a node knows of a name.
#[derive(Clone)]
pub struct Named {
    /// The version of it that the node knows; 0 if it never heard of any.
    pub version: u64,
    /// What it asks; nothing if there is no such type, or no more.
    pub asks: Option<Arc<dyn DeviceType>>,
}

/// The types of one tenant's devices.
pub trait Types {
    /// The type of a name, at its newest.
    fn named(&self, name: &str) -> Named;
}

/// Where there are no types.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTypes;

impl Types for NoTypes {
    fn named(&self, _: &str) -> Named {
        Named { version: 0, asks: None }
    }
}

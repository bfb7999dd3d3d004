//! Flags of the verbs about types and groups of devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::services::ClientFlags;

/// Verbs about device types.
#[derive(Debug, Subcommand)]
pub(crate) enum TypeCommand {
    /// Add a type, or change it: each change of its schemas is a version of its own.
    #[command(after_help = "Examples:
  pollux type put pump pump.json
  generate-type | pollux type put acme/pump - --note 'from the works'
The file has JSON Schemas, all of which may be left out; they refer to nothing but places in themselves:
  {\"desired\": {…}, \"reported\": {…}, \"telemetry\": {…}, \"commands\": {\"restart\": {…}, \"*\": true}}
What is written from then on must be so. What is there already is not looked at.")]
    Put {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// The file; `-` is standard input.
        file: PathBuf,
        /// For people.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Print a type, with its schemas.
    Get(NamedThing),
    /// List types.
    List {
        /// Tenant.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take a type away: nothing is checked any more.
    Remove(NamedThing),
}

/// Verbs about groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Add a group, or change it: with a filter its twins are those for which it holds.
    #[command(after_help = "Examples:
  pollux group put north --note 'what stands in the north'
  pollux group put hot --filter 'reported.temperature > 40'
  pollux twin query 'group(\"hot\") && !group(\"north\")'")]
    Put {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// The filter; without one, devices are put in.
        #[arg(long, default_value = "")]
        filter: String,
        /// For people.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Print a group.
    Get(NamedThing),
    /// List groups.
    List {
        /// Tenant.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take a group away that no device is in.
    Remove(NamedThing),
    /// Put devices in a group.
    #[command(after_help = "Example:\n  pollux group add north pump-1 pump-2")]
    Add {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// The devices, of the group's tenant.
        #[arg(required = true)]
        devices: Vec<String>,
    },
    /// Take devices out of a group.
    TakeOut {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// The devices, of the group's tenant.
        #[arg(required = true)]
        devices: Vec<String>,
    },
    /// List the devices of a group.
    Members {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// At most so many, 1 to 10,000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Go on after an answer: the cursor that it printed.
        #[arg(long, default_value = "")]
        cursor: String,
    },
}

/// A type or a group, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct NamedThing {
    /// Its name: `tenant/name`, or `name` of the default tenant.
    pub(crate) name: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

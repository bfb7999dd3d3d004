//! Flags of the verbs about types and groups of devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::services::{ClientFlags, TenantFlags};

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
    List(TenantFlags),
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
    List(TenantFlags),
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

/// Verbs about enrolments.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrolmentCommand {
    /// Add an enrolment, or change it. A new one's key is printed this once.
    #[command(after_help = "Examples:
  pollux enrolment put spring --prefix pump- --type pump --most 5000 > spring.key
  pollux enrolment put spring --prefix pump- --disabled
  pollux enrolment put spring --prefix pump- --new-key > spring.key
What is not said is taken for nothing: say all of it each time.")]
    Put(EnrolmentArgs),
    /// Print an enrolment, without its key.
    Get(NamedThing),
    /// List enrolments.
    List(TenantFlags),
    /// Take an enrolment away; devices keep what they got by it.
    Remove(NamedThing),
    /// Make a certificate that a batch of devices shares, by the device CA that this node has.
    #[command(after_help = "Example:
  pollux enrolment claim-cert spring --out certs
  pollux enrolment put spring --prefix pump- --most 5000 --good-for 720h --claim-cert certs/default-spring-claim.pem
Run it on the first node of the cluster, which has the key of its device CA.")]
    ClaimCert(ClaimCertArgs),
    /// Print the key of one device, derived from the enrolment's: what goes into the device.
    #[command(after_help = "Example:\n  pollux enrolment device-key pump-7 --key-file spring.key")]
    DeviceKey {
        /// The device: `tenant/device`, or `device` of the default tenant.
        device: String,
        /// File with the enrolment's key.
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
}

/// Flags of `enrolment put`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EnrolmentArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) named: NamedThing,
    /// For devices whose names begin so.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// The type that they are of.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    pub(crate) of_type: String,
    /// A group that they are put in. May be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Merge patch for their tags.
    #[arg(long, value_name = "JSON")]
    pub(crate) tags: Option<String>,
    /// How long it is good for, such as 720h; without it: until it is removed.
    #[arg(long, value_parser = super::duration)]
    pub(crate) good_for: Option<std::time::Duration>,
    /// How many devices it may bring; 0: as many as come.
    #[arg(long, default_value_t = 0)]
    pub(crate) most: u64,
    /// Days that their credentials are good for; 0: tokens until they are revoked, certificates a year.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=36500))]
    pub(crate) days: u32,
    /// It brings nobody for now.
    #[arg(long)]
    pub(crate) disabled: bool,
    /// Make a new key; the old one is worth nothing from then on.
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Devices come by a certificate that they share: PEM file with the CA that issued it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_key", "claim_cert"])]
    pub(crate) claim_ca: Option<PathBuf>,
    /// Devices come by a certificate that they share: PEM file with it.
    #[arg(long, value_name = "FILE", conflicts_with = "new_key")]
    pub(crate) claim_cert: Option<PathBuf>,
    /// For people.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
}

/// Flags of `enrolment claim-cert`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClaimCertArgs {
    /// The enrolment: `tenant/name`, or `name` of the default tenant.
    pub(crate) name: String,
    /// The node's data directory.
    #[arg(long, value_name = "DIR", default_value = ".pollux-dev")]
    pub(crate) data_dir: PathBuf,
    /// Folder for the files.
    #[arg(long, default_value = "certs")]
    pub(crate) out: PathBuf,
    /// Days that the certificate is good for.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
}

/// A type, a group or an enrolment, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct NamedThing {
    /// Its name: `tenant/name`, or `name` of the default tenant.
    pub(crate) name: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

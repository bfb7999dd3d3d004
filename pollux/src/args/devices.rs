//! Flags of the verbs about devices: their certificates, and the registry.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::services::ClientFlags;

/// Verbs about devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Issue a client certificate for a device, signed by the node's own device CA.
    #[command(
        after_help = "Example:\n  pollux device cert acme/pump-7 --data-dir .pollux-dev --out ."
    )]
    Cert(DeviceCertArgs),
    /// Register a device, with what it should be and what it proves itself by. Safe to repeat.
    #[command(after_help = "Examples:
  pollux device register pump-7
  pollux device register pump-7 --tags '{\"site\":\"north\"}' --desired '{\"interval_s\":30}'
  pollux device register pump-7 --type pump --group north
  pollux device register acme/pump-7 --certificate field=pump-7.pem")]
    Register(RegisterArgs),
    /// Register very many devices from a file of JSON lines; it shows how far it is.
    #[command(after_help = "Examples:
  pollux device import fleet.jsonl
  pollux device import fleet.jsonl --all-or-nothing
  generate-fleet | pollux device import -
A line for each device; all but its name may be left out:
  {\"device\":\"pump-7\",\"tenant\":\"acme\",\"tags\":{},\"desired\":{},\"type\":\"pump\",
    \"groups\":[\"north\"],\"credentials\":[
    {\"name\":\"a\",\"token_sha256\":\"…\",\"certificate_sha256\":\"…\",\"expires_at_ms\":0}]}
A credential has one of the hashes. Bad lines are reported by their numbers.")]
    Import(ImportArgs),
    /// Print what the registry knows of a device.
    Get(OneDevice),
    /// List devices, with what the registry says of them.
    #[command(after_help = "Examples:
  pollux device list --standing disabled
  pollux device list --prefix pump- --limit 1000
  pollux device list --deleted")]
    List(ListDevicesArgs),
    /// Keep a device out, whatever it shows; if it is there, its session ends.
    #[command(after_help = "Example:\n  pollux device disable pump-7 --reason stolen")]
    Disable {
        /// Which, and how to reach a node.
        #[command(flatten)]
        one: OneDevice,
        /// Why: for people, and for the device.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a disabled device come again.
    Enable(OneDevice),
    /// Bring back what a deleted twin held: tags, desired, reported, and the registry's entry.
    #[command(after_help = "Example:
  pollux twin delete pump-7 && pollux device restore pump-7
It is kept for devices.restorable_ms, a week unless said otherwise. What was written since the deletion stays.")]
    Restore(OneDevice),
    /// Have a device that nobody registered come by an enrolment: it gets a credential of its own.
    #[command(after_help = "Examples:
  pollux device enroll pump-7 --enrolment spring --device-key-file pump-7.key > pump-7.token
  pollux device enroll pump-7 --enrolment spring --key-file spring.key --csr pump-7.csr --output json
  pollux device enroll pump-7 --enrolment spring --device-key-file pump-7.key --new-key pump-7.tls \
      --device-addr a.example:4433,b.example:4433 --server-ca server-ca.pem > pump-7.pem
It takes no token of a service. A device does the same by itself: see docs/provisioning.md.")]
    Enroll(EnrollArgs),
    /// What a device proves itself by.
    #[command(subcommand)]
    Credential(CredentialCommand),
}

/// Verbs about credentials. A device may have eight, so that a new one is given before the old one goes.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Make a token, give the device its hash, and print the token: nobody can tell it again.
    #[command(after_help = "Example:\n  pollux device credential token pump-7 autumn --days 90
Nodes take tokens with devices.tokens = true.")]
    Token {
        /// Which device, and how to reach a node.
        #[command(flatten)]
        one: OneDevice,
        /// The token's name among the device's credentials.
        name: String,
        /// Days that it is good for; without it: until it is revoked.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: Option<u32>,
    },
    /// Pin a certificate: the device comes by no other from then on.
    #[command(
        after_help = "Example:\n  pollux device credential certificate pump-7 field pump-7.pem"
    )]
    Certificate {
        /// Which device, and how to reach a node.
        #[command(flatten)]
        one: OneDevice,
        /// The certificate's name among the device's credentials.
        name: String,
        /// PEM file with the certificate.
        file: PathBuf,
    },
    /// Take a credential away; a session that was opened with it ends.
    #[command(after_help = "Example:\n  pollux device credential revoke pump-7 autumn")]
    Revoke {
        /// Which device, and how to reach a node.
        #[command(flatten)]
        one: OneDevice,
        /// The credential's name.
        name: String,
    },
}

/// A device, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct OneDevice {
    /// The device: `tenant/device`, or `device` of the default tenant.
    pub(crate) device: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// What the registry may say of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StandingName {
    /// Nobody registered it, and it came by its certificate.
    Unregistered,
    /// It may come.
    Enabled,
    /// It may not.
    Disabled,
}

/// Flags of `device list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListDevicesArgs {
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Only devices whose name begins so.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Only devices of which the registry says this.
    #[arg(long, value_enum)]
    pub(crate) standing: Option<StandingName>,
    /// Those whose twins were deleted and can be brought back, instead of those that are there.
    #[arg(long, conflicts_with = "standing")]
    pub(crate) deleted: bool,
    /// At most so many, 1 to 10,000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Go on after an answer: the cursor that it printed.
    #[arg(long, default_value = "")]
    pub(crate) cursor: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `device register`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegisterArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) one: OneDevice,
    /// Merge patch for its tags.
    #[arg(long, value_name = "JSON")]
    pub(crate) tags: Option<String>,
    /// Merge patch for its desired section.
    #[arg(long, value_name = "JSON")]
    pub(crate) desired: Option<String>,
    /// Pin a certificate: its name among the device's credentials, and a PEM file. May be given several times.
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) certificate: Vec<String>,
    /// The type that it is of; `-` takes its type away.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    pub(crate) of_type: String,
    /// Put it in this group. May be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
}

/// Flags of `device import`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArgs {
    /// The file; `-` is standard input.
    pub(crate) file: PathBuf,
    /// Register none if a line is bad. Otherwise the good ones are registered. Not from standard input.
    #[arg(long)]
    pub(crate) all_or_nothing: bool,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `device cert`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeviceCertArgs {
    /// The device: `tenant/device`, or `device` of the default tenant.
    pub(crate) device: String,
    /// Data directory of the node whose device CA signs.
    #[arg(long, value_name = "DIR", default_value = ".pollux-dev")]
    pub(crate) data_dir: PathBuf,
    /// Folder for the files: certificate, key, and the CA to know the node by.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Replace the files of that name, if there are some: the device's old key is lost then.
    #[arg(long)]
    pub(crate) force: bool,
    /// Days that the certificate is good for.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
}

/// Flags of `device enroll`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EnrollArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) one: OneDevice,
    /// The enrolment, of the device's tenant.
    #[arg(long)]
    pub(crate) enrolment: String,
    /// File with the device's own key.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub(crate) device_key_file: Option<PathBuf>,
    /// File with the enrolment's key, from which the device's is derived.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["device_key_file", "claim_cert"])]
    pub(crate) key_file: Option<PathBuf>,
    /// PEM file with the certificate that the batch shares, in place of a key.
    #[arg(long, value_name = "FILE", requires = "claim_key", conflicts_with_all = ["key_file", "device_key_file"])]
    pub(crate) claim_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "claim_cert")]
    pub(crate) claim_key: Option<PathBuf>,
    /// PEM file with a certificate signing request of the device's key; without it, it gets a token.
    #[arg(long, value_name = "FILE")]
    pub(crate) csr: Option<PathBuf>,
    /// Device endpoints of nodes, to come over QUIC as devices do: no endpoint for services is needed.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', requires = "server_ca")]
    pub(crate) device_addr: Vec<String>,
    /// PEM file with the CA of those endpoints.
    #[arg(long, value_name = "FILE", requires = "device_addr")]
    pub(crate) server_ca: Option<PathBuf>,
    /// Name in the nodes' certificates, if not the host that is dialled.
    #[arg(long, value_name = "NAME", requires = "device_addr")]
    pub(crate) server_name: Option<String>,
    /// Make a key, write it to this file, which must not be there yet, and get a certificate over it.
    #[arg(long, value_name = "FILE", requires = "device_addr", conflicts_with = "csr")]
    pub(crate) new_key: Option<PathBuf>,
}

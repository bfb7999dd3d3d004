//! Flags of the verbs about artifacts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::fleet::NamedThing;
use super::services::{ClientFlags, TenantFlags};

/// Verbs about artifacts.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactCommand {
    /// Bring an artifact: it is there once a majority of nodes has it on disk. Safe to repeat.
    #[command(after_help = "Examples:
  pollux artifact put pump-fw.bin --version 2.1.0
  pollux artifact put build/out.bin --name acme/pump-fw --version 2.1.0 --signature out.sig
An artifact never changes: what is brought under a name and version that are there has to be the same.")]
    Put(Box<PutArtifactArgs>),
    /// Fetch an artifact. A file that came in part is gone on with; it has its name once its digest is right.
    #[command(after_help = "Examples:
  pollux artifact get pump-fw@2.1.0
  pollux artifact get acme/pump-fw@2.1.0 --to fw.bin --verify release.pub")]
    Get(GetArtifactArgs),
    /// List artifacts.
    List(ListArtifactsArgs),
    /// Print what an artifact is.
    Show(OneArtifact),
    /// Take an artifact away that no running job needs.
    Remove(OneArtifact),
    /// Print the signature of a file as an artifact, made with an Ed25519 key.
    #[command(after_help = "Example:
  openssl genpkey -algorithm ed25519 -out release.pem
  openssl pkey -in release.pem -pubout -out release.pub
  pollux artifact key add release release.pub
  pollux artifact sign pump-fw.bin --version 2.1.0 --key release.pem > pump-fw.sig
  pollux artifact put pump-fw.bin --version 2.1.0 --signature pump-fw.sig
What is signed is a statement of name, version, size and SHA-256 (see docs/artifacts.md).")]
    Sign(SignArgs),
    /// Keys that artifacts of a tenant must be signed by, once it has one.
    #[command(subcommand)]
    Key(ArtifactKeyCommand),
}

/// Verbs about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactKeyCommand {
    /// Add an Ed25519 public key. From then on what comes must be signed by it, or by another of the tenant's.
    Add {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedThing,
        /// PEM file with the public key, as `openssl pkey -pubout` writes it.
        file: PathBuf,
        /// For people.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List keys.
    List(TenantFlags),
    /// Take a key away. What was signed by it stays.
    Remove(NamedThing),
}

/// Flags of `artifact put`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PutArtifactArgs {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its version: 1 to 64 letters, digits and - . _ +
    #[arg(long)]
    pub(crate) version: String,
    /// Its name: `tenant/name`, or `name` of the default tenant. Without it, the file's name up to its last dot.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it is.
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    pub(crate) media_type: String,
    /// File with its Ed25519 signature: 64 bytes, or those in base64, as `pollux artifact sign` prints them.
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// The key to check that by. Without it, any of the tenant's.
    #[arg(long, value_name = "NAME", requires = "signature")]
    pub(crate) key: Option<String>,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `artifact get`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GetArtifactArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) one: OneArtifact,
    /// Where to. Without it, NAME-VERSION in the present folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// PEM file with an Ed25519 public key that it must be signed by.
    #[arg(long, value_name = "FILE")]
    pub(crate) verify: Option<PathBuf>,
}

/// Flags of `artifact list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArtifactsArgs {
    /// Whose, and how to reach a node.
    #[command(flatten)]
    pub(crate) tenant: TenantFlags,
    /// Only those whose name begins so.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// At most so many.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) limit: usize,
}

/// Flags of `artifact sign`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SignArgs {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its version.
    #[arg(long)]
    pub(crate) version: String,
    /// Its name, without a tenant. Without it, the file's name up to its last dot.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// PEM file with the Ed25519 private key (PKCS #8), as `openssl genpkey` writes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

/// An artifact, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct OneArtifact {
    /// `name@version`, or `tenant/name@version`.
    pub(crate) artifact: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

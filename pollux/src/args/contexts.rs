//! Flags of the verbs about contexts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Verbs about contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Remember how a cluster is reached, by a name; what is not said stays as it was.
    #[command(after_help = "Examples:
  pollux context set plant --grpc https://node.example:4434 --grpc-ca ca.pem --token-file plant.token
  pollux context set plant --token-file other.token --use
Tokens themselves are not kept, only the file that each is in.")]
    Set(SetContextArgs),
    /// Reach this one from now on, unless told otherwise.
    Use {
        /// Which.
        name: String,
    },
    /// Reach none by name from now on: a node of this machine.
    Leave,
    /// List what is remembered.
    List,
    /// Forget one.
    Remove {
        /// Which.
        name: String,
    },
}

/// Flags of `context set`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SetContextArgs {
    /// Its name: letters, digits, dots, underscores and hyphens.
    pub(crate) name: String,
    /// Address of a node's gRPC endpoint; https:// for TLS.
    #[arg(long, value_name = "URL")]
    pub(crate) grpc: Option<String>,
    /// PEM file with the CA of that endpoint's certificate; empty for none.
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_ca: Option<PathBuf>,
    /// File with the token; empty for none.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// And reach it from now on.
    #[arg(long = "use")]
    pub(crate) and_use: bool,
}

//! A node's configuration: defaults, then a TOML file, then `POLLUX_*` variables, then flags.
//!
//! [`Layers`] puts them together and remembers where each value came from; [`Checked`] is what the
//! rest of the node sees: parsed, in range, typed. No value of it is a secret: keys and
//! certificates are named by their files, so all of it may be printed.

mod check;
mod checked;
mod error;
mod keys;
mod layers;
mod show;

pub use checked::{
    AccessConfig, AccessMode, Advertise, ArtifactsConfig, Checked, CheckpointConfig, ClusterConfig,
    DevicesConfig, IssuerConfig, KeySource, Listen, LogConfig, RaftConfig, ServiceConfig, TlsFiles,
    TraceConfig, TraceFormat, TwinsConfig,
};
pub use error::{ConfigError, ConfigErrors};
pub use keys::{
    AccessSection, AdvertiseSection, ArtifactsSection, CheckpointSection, ClusterSection,
    DevicesSection, LimitsSection, ListenSection, LogSection, NodeConfig, NodeSection,
    QuerySection, RaftSection, ServicesSection, TraceSection, TwinsSection, WatchSection,
};
pub use layers::{COMMAND_LINE_VARIABLES, Layers};
pub use show::show;

//! Puts a node's configuration together from flags, and `pollux config …`.

use pollux_runtime::config::{self, ConfigErrors, Layers};
use serde_json::json;

use crate::args::{ConfigCommand, NodeFlags, Output};
use crate::exit::{Exit, Failure};
use crate::print;

/// Carries out a verb.
pub(crate) fn run(output: Output, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(flags) => {
            layers(Layers::new(), &flags).check().map_err(wrong)?;
            print::result(output, "the configuration is good", &json!({"good": true}))
        }
        ConfigCommand::Show(flags) => {
            let merged = layers(Layers::new(), &flags).merged().map_err(wrong)?;
            let json =
                serde_json::to_value(&merged).map_err(|error| Failure::new(Exit::Failed, error))?;
            print::result(output, config::show(&merged).trim_end(), &json)
        }
    }
}

/// File, then variables, then flags, above what is there already.
pub(crate) fn layers(base: Layers, flags: &NodeFlags) -> Layers {
    let base = match &flags.config {
        Some(path) => base.file(path),
        None => base,
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    base.variables(variables)
        .flag("data_dir", flags.data_dir.clone(), "--data-dir")
        .flag("listen.devices", flags.devices_listen.clone(), "--devices-listen")
        .flag("listen.grpc", flags.grpc_listen.clone(), "--grpc-listen")
        .flag("listen.http", flags.http_listen.clone(), "--http-listen")
        .flag("listen.peers", flags.peers_listen.clone(), "--peers-listen")
        .flag("trace.filter", flags.trace.clone(), "--trace")
}

/// A configuration that cannot be used.
pub(crate) fn wrong(errors: ConfigErrors) -> Failure {
    Failure::new(Exit::Usage, errors)
        .next("see every key and what it takes with `pollux config show`")
}

//! Sets up tracing as configured: what is traced, and whether for people or machines.

use std::io::{self, IsTerminal};

use pollux_runtime::config::{TraceConfig, TraceFormat};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure};

/// Sends traces to standard error from here on.
pub(crate) fn set_up(config: &TraceConfig) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("trace.filter {:?} is no filter: {error}", config.filter))
            .next("use a level (error, warn, info, debug, trace) or target=level,…")
    })?;
    let on_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(on_terminal);
    let json = match config.format {
        TraceFormat::Json => true,
        TraceFormat::Human => false,
        TraceFormat::Auto => !on_terminal,
    };
    let set = match json {
        true => builder.json().flatten_event(true).try_init(),
        false => builder.try_init(),
    };
    set.map_err(|error| Failure::new(Exit::Failed, format!("set up tracing: {error}")))
}

/// Warnings only, for verbs that print results.
pub(crate) fn set_up_quiet() -> Result<(), Failure> {
    set_up(&TraceConfig { filter: "warn".into(), format: TraceFormat::Auto })
}

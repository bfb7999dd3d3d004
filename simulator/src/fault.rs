//! Why a run could not be made. What went wrong within a run is in its report.

/// A run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An option makes no sense.
    #[error("option {option}: {what}")]
    Options {
        /// Which.
        option: &'static str,
        /// What was wrong and what would be right.
        what: String,
    },
    /// A device certificate could not be made or read.
    #[error("device identities: {0}")]
    Identities(String),
    /// The SDK could not start a device.
    #[error("the device SDK failed: {0}")]
    Device(#[from] pollux_device::Fault),
    /// The devices did not get their sessions.
    #[error("{connected} of {devices} devices have a session; the last trouble: {trouble}")]
    Connect {
        /// Devices with a session.
        connected: u32,
        /// Devices of the run.
        devices: u32,
        /// Why another has none.
        trouble: String,
    },
    /// The services' address cannot be reached.
    #[error("services at {address}: {what}")]
    Services {
        /// Which address.
        address: String,
        /// What was wrong.
        what: String,
    },
    /// The echo server could not be started or reached.
    #[error("echo: {0}")]
    Echo(String),
}

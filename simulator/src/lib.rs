//! Fleets of simulated devices and services over real QUIC and gRPC, and the report of what they
//! saw. It knows a node only from outside: its addresses, its CAs and, for its use of CPU and
//! memory, its process id.

mod clock;
pub mod echo;
mod fault;
mod fleet;
mod html;
mod identities;
pub mod limits;
mod options;
mod process;
mod report;
mod run;
mod script;
mod services;
mod shape;
mod tally;
mod timeline;
mod unit;
mod verify;

pub use fault::Fault;
pub use identities::Identities;
pub use options::{Load, Options};
pub use pollux_device::Cause;
pub use process::Usage;
pub use report::{Done, Latency, Phase, Progress, Report, Second};
pub use run::{frame_bytes, greeting_bytes, run, run_with};
pub use script::{FaultStep, NodeFault, ScriptError, Target};
pub use shape::Shape;
pub use timeline::{Moment, MomentKind, Timeline};

//! The Pollux device SDK: connect, report, and be told what is desired and commanded.
//!
//! A thermostat in forty lines:
//!
//! ```no_run
//! use pollux_device::{Device, Endpoint, Identity, Options};
//! use pollux_twin::Value;
//!
//! # fn measure() -> f64 { 20.5 }
//! # fn restart() {}
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Who the device is: a certificate for `pollux:default/thermostat-7`, and the nodes' CA.
//!     let identity = Identity::from_pem(
//!         &std::fs::read("device.pem")?,
//!         &std::fs::read("device.key")?,
//!         &std::fs::read("ca.pem")?,
//!     )?;
//!     // Any nodes will do, all of them or a few: they redirect to the one that owns this device's
//!     // twin, and when that one is lost, the device finds the next by itself.
//!     let nodes = ["a.pollux.example:7701", "b.pollux.example:7701"];
//!     let options = Options::new(nodes, "thermostat-7", identity);
//!     let device = Device::connect(&Endpoint::open()?, options).await?;
//!
//!     // What services desire, now and whenever it changes; `Err` tells them why not.
//!     device.on_desired(|desired| async move {
//!         println!("version {}: {:?}", desired.version, desired.value);
//!         Ok(())
//!     });
//!     // One-time requests; each runs at most once.
//!     device.on_command(|command| async move {
//!         match command.name.as_str() {
//!             "restart" => {
//!                 restart();
//!                 Ok(Value::Null)
//!             }
//!             other => Err(format!("{other} is not something a thermostat does")),
//!         }
//!     });
//!     // What is so. It returns when a majority of the replicas have it on disk; without a
//!     // connection it waits in the queue, and goes out once when the device is back.
//!     loop {
//!         let celsius = [("celsius".to_owned(), Value::Float(measure()))];
//!         let acked = device.report(Value::Object(celsius.into())).await?;
//!         println!("reported, version {}", acked.version);
//!         tokio::time::sleep(std::time::Duration::from_secs(60)).await;
//!     }
//! }
//! ```
//!
//! Where the owner cannot be dialled, behind a firewall or address translation, a node that answers is asked
//! to relay, and the owner is tried again now and then; nothing has to be configured for it.
//!
//! Firmware and the like comes on a stream of its own, see [`Device::download`].
//!
//! A device that nobody registered gets its certificate or its token by an enrolment, see [`enrol`].
//!
//! [`session`] is the pure machine that decides; the rest drives it over QUIC, one small task a
//! device. Thousands of devices of one process share an [`Endpoint`].

mod clock;
mod device;
mod dial;
pub mod digest;
mod download;
mod driver;
pub mod enrol;
pub mod error;
pub mod limits;
mod options;
pub mod session;
mod shared;
pub mod store;
mod tls;
mod wire;

pub use device::{Acked, Command, Counts, Desired, Device, Online, Pending};
pub use dial::{Discovery, Endpoint, Transport};
pub use download::{Download, Downloaded};
pub use error::{DownloadError, EnrolError, Fault, QueueError};
pub use options::{Addresses, Options};
pub use session::{Cause, Message, Rehomed};
pub use tls::{Identity, Trust};

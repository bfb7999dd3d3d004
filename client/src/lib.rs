//! The service client of Pollux: twins of devices, over gRPC, at any node.
//!
//! ```no_run
//! use pollux_client::{Client, Event, NewDevice, Options, Section, Watch, v1};
//! use serde_json::json;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Any nodes will do; of several, another is asked where one does not answer.
//!     let options = Options::new(["https://a.pollux.example:4434", "https://b.pollux.example:4434"])
//!         .ca(std::fs::read("ca.pem")?)
//!         .token(std::fs::read_to_string("token")?.trim());
//!     let pollux = Client::connect(&options).await?;
//!
//!     let pump = NewDevice::new("pump-7").tags(&json!({"site": "Oslo"}));
//!     pollux.devices().register(pump).await?;
//!     let written = pollux.twins().patch("pump-7", Section::Desired, &json!({"interval_s": 10})).await?;
//!     println!("desired is at version {}", written.version);
//!
//!     let query = v1::QueryRequest {
//!         filter: "reported.temperature > 40.0 && tags.site == \"Oslo\"".into(),
//!         select: vec!["reported.temperature".into()],
//!         ..Default::default()
//!     };
//!     for row in pollux.twins().query(query).await?.rows {
//!         println!("{} {}", row.device, row.values_json[0]);
//!     }
//!
//!     // Goes on by itself when its node is lost, without a gap.
//!     let mut watching = pollux.twins().watch(&Watch::prefix("pump-").picture()).await?;
//!     loop {
//!         if let Event::Changed(changed) = watching.next().await? {
//!             println!("{} is at version {}", changed.device, changed.version);
//!         }
//!     }
//! }
//! ```
//!
//! A call is made again, at another node if there are several, where that cannot do its work twice: a read, a refusal
//! of which the node says that nothing was done, and a write, since each carries an idempotency key. It takes no longer
//! than [`Options::timeout`] in all. What a failure means for what was asked is its [`ErrorKind`].
//!
//! What is read are the messages of `pollux.v1` ([`v1`]), documented where they are defined, and so are requests that
//! are plain bags of fields. Where a message has a choice or JSON in it there is a small type: [`Write`], [`Watch`],
//! [`NewCommand`], [`NewDevice`], [`Event`]. Fields that end in `_json` hold JSON as text, so that integers of 64 bits
//! stay exact; [`value`] reads them. (`serde_json` itself makes null of NaN, and null removes in a merge patch.)
//!
//! Calls that there are only in the `.proto` files go to one [`Node`].

mod access;
mod artifacts;
mod attempts;
mod client;
mod clock;
mod cluster;
mod commands;
mod consumer;
mod devices;
mod download;
mod enrolments;
mod error;
mod fleet;
mod jobs;
mod limits;
mod node;
mod options;
mod outstanding;
mod resume;
mod search;
mod subscriptions;
mod tenants;
mod twins;
mod watching;

pub use access::Access;
pub use artifacts::Artifacts;
pub use client::Client;
pub use commands::{Commands, NewCommand};
pub use consumer::{Consumer, Delivery};
pub use devices::{Devices, NewDevice};
pub use enrolments::Enrolments;
pub use error::{Error, ErrorKind};
pub use fleet::{Groups, Types};
pub use jobs::{Following, Jobs};
pub use node::Node;
pub use options::Options;
pub use pollux_proto::v1;
pub use pollux_twin::Rejection;
pub use pollux_twin::change::Section;
pub use subscriptions::Subscriptions;
pub use tenants::Tenants;
pub use twins::{Answer, Twins, Write, Written};
pub use watching::{Event, Watch, Watching};

/// The value of a field that holds JSON; an empty one is null.
///
/// # Errors
/// When a node sent something else.
pub fn value(json: &str) -> Result<serde_json::Value, serde_json::Error> {
    if json.is_empty() { Ok(serde_json::Value::Null) } else { serde_json::from_str(json) }
}

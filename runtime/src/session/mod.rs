//! Devices on the wire: the QUIC endpoint, one session per connection, what waits for each device.

mod arrivals;
mod claims;
mod client_hello;
mod device_session;
mod downloads;
mod endpoint;
mod handshakes;
mod hello;
mod in_flight;
mod intake;
mod later_keys;
mod line;
mod outbox;
mod pushes;
mod rate;
mod relay;
mod tls;
mod transport;
mod valve;
mod window;

pub(crate) use arrivals::bound as bound_arrivals;
pub(crate) use endpoint::{Endpoint, EndpointOptions};
pub(crate) use handshakes::Bounds as HandshakeBounds;
pub(crate) use intake::{Intake, PacedSocket};
pub(crate) use outbox::Outbox;
pub(crate) use pushes::Pushes;
pub(crate) use rate::Rate;
pub(crate) use relay::Relaying;
pub(crate) use tls::{DeviceTls, QUIC_VERSION};
pub use transport::device_transport;
pub(crate) use valve::{State as ValveState, Valve};

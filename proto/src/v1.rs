//! `pollux.v1`: messages, clients and servers that `build.rs` makes of the files in `proto/pollux/v1`,
//! which is where to read about them. Conversions to and from what a twin says are in
//! [`crate::convert`].

/// The files in `proto/pollux/v1` in compiled form, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pollux.v1.bin"));

pub use crate::changes::Changes;
pub use generated::*;

#[expect(
    missing_docs,
    clippy::allow_attributes,
    unused_qualifications,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated: its text is in the .proto files, its style is the generator's"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/pollux.v1.rs"));
}

//! Compiles the `.proto` files with a compiler written in Rust, so that no `protoc` is needed, and
//! keeps their descriptors for reflection.

use std::path::PathBuf;
use std::{env, error::Error, fs};

const FILES: [&str; 11] = [
    "pollux/v1/types.proto",
    "pollux/v1/twins.proto",
    "pollux/v1/commands.proto",
    "pollux/v1/devices.proto",
    "pollux/v1/fleet.proto",
    "pollux/v1/tenants.proto",
    "pollux/v1/artifacts.proto",
    "pollux/v1/subscriptions.proto",
    "pollux/v1/jobs.proto",
    "pollux/v1/cluster.proto",
    "pollux/v1/access.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("pollux.v1.bin"), compiler.encode_file_descriptor_set())?;
    // No transport: which sockets a client or server uses is not this crate's business.
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".pollux.v1.Changes", "crate::changes::Changes")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

//! `pollux device cert`: what a device needs to prove itself and to know its node.

use std::path::PathBuf;

use pollux_runtime::clock::Clock;
use pollux_runtime::pki::{self, PkiError};
use serde_json::json;

use crate::args::{DeviceCertArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::print;

/// Issues a certificate and writes the device's three files.
pub(crate) fn cert(output: Output, args: &DeviceCertArgs) -> Result<(), Failure> {
    let key = client::key(&args.device)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("issue a certificate for {key}: {error}"))
    };
    let dir = args.data_dir.join(pki::PKI_DIR);
    if !dir.is_dir() {
        return Err(failed(&format_args!("{} is no folder", dir.display()))
            .next("start the node once, or name its data directory with --data-dir"));
    }
    let now = Clock::new().wall();
    let file = |extension: &str| -> PathBuf {
        args.out.join(format!("{}-{}.{extension}", key.tenant(), key.device()))
    };
    let (cert, private) = (file("pem"), file("key"));
    if let Some(there) = [&cert, &private].into_iter().find(|path| path.exists() && !args.force) {
        return Err(failed(&format_args!("{} exists already", there.display()))
            .next("name another folder with --out, or replace certificate and key with --force"));
    }
    let authority = pki::device_authority(&dir, now).map_err(|error| failed(&error))?;
    let identity = authority.issue_device(&key, now, args.days).map_err(|error| match error {
        PkiError::NoKey { .. } => failed(&error).next(
            "the first node of a cluster has the key of its device CA, in pki/ of its data directory: name \
             that with --data-dir, or copy its pki/device-ca.key",
        ),
        _ => failed(&error),
    })?;
    std::fs::create_dir_all(&args.out).map_err(|error| {
        failed(&format_args!("make the folder {}: {error}", args.out.display()))
            .next("name a folder that can be written with --out")
    })?;
    identity.write(&cert, &private).map_err(|error| failed(&error))?;
    let ca = args.out.join("server-ca.pem");
    std::fs::copy(pki::server_ca_path(&args.data_dir), &ca).map_err(|error| failed(&error))?;
    let text = format!(
        "certificate  {}\nprivate key  {}\nnode's CA    {}",
        cert.display(),
        private.display(),
        ca.display()
    );
    let json = json!({"certificate": cert, "key": private, "ca": ca});
    print::result(output, &text, &json)
}

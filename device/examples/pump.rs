//! A device of your own, to start from: it reports a number now and then, and prints what it is asked. Its
//! files are those that `pollux device cert NAME --out DIR` makes.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::path::PathBuf;
use std::time::Duration;

use pollux_device::{Device, Endpoint, Identity, Options};
use pollux_twin::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, name, node] = arguments.as_slice() else {
        return Err(
            "usage: pump DIR NAME HOST:PORT, as in: pump certs pump-1 localhost:4433".into()
        );
    };
    let file = |file: &str| std::fs::read(PathBuf::from(dir).join(file));
    let identity = Identity::from_pem(
        &file(&format!("default-{name}.pem"))?,
        &file(&format!("default-{name}.key"))?,
        &file("server-ca.pem")?,
    )?;
    let options = Options::new([node.as_str()], name, identity);
    let device = Device::connect(&Endpoint::open()?, options).await?;
    device.on_desired(|desired| async move {
        println!("desired, version {}: {:?}", desired.version, desired.value);
        Ok(())
    });
    device.on_command(|command| async move {
        println!("command {}", command.name);
        Ok(Value::Null)
    });
    for turns in 1_i64.. {
        let acked =
            device.report(Value::Object([("turns".to_owned(), Value::Int(turns))].into())).await?;
        println!("turns {turns} reported, version {}", acked.version);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    Ok(())
}

//! Certificates that prove nothing, and a protocol that the node does not speak.

use anyhow::Result;
use pollux_proto::device::ALPN;
use pollux_runtime::clock::Clock;
use pollux_runtime::pki;
use pollux_tests::node::{Ended, Raw};
use pollux_twin::TwinKey;
use quinn::{ClientConfig, ConnectionError};

use super::House;

/// The handshake must fail; what the node said about it, which a client sees with TLS 1.3 only
/// after its own part of the handshake is over.
async fn refused(address: &str, config: ClientConfig) -> Result<String> {
    let error = match Raw::connect(address, config).await {
        Err(error) => error,
        Ok(raw) => {
            let Ended { frames, error } = raw.ended().await?;
            assert!(frames.is_empty(), "the node spoke to a stranger: {frames:?}");
            error
        }
    };
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error:?}");
    Ok(format!("{error:?}"))
}

/// The code of a TLS alert within QUIC's own (RFC 9001, section 4.8).
fn alert(number: u16) -> String {
    format!("{:?}", quinn::TransportErrorCode::crypto(u8::try_from(number).expect("a byte")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_in_their_handshake() -> Result<()> {
    let mut house = House::open().await?;
    let elsewhere = tempfile::tempdir()?;
    let now = Clock::new().wall();
    let pump = TwinKey::parse("pump")?;
    let alike = pki::device_authority(elsewhere.path(), now)?.issue_device(&pump, now, 1)?;
    let other = pki::Authority::open_or_make(elsewhere.path(), "ca", "another CA", now, 9)?;
    let foreign = other.issue_device(&pump, now, 1)?;
    let expired = house.devices.issue("pump", 30)?;
    let good = house.devices.issue("pump", 0)?;
    let cases = [
        ("another CA", Some(&foreign), ALPN, 48),
        ("another CA of the same name", Some(&alike), ALPN, 51),
        ("expired", Some(&expired), ALPN, 45),
        ("none", None, ALPN, 116),
        ("another version", Some(&good), &b"pollux/3"[..], 120),
        ("another protocol", Some(&good), &b"h3"[..], 120),
    ];
    for (what, identity, alpn, number) in cases {
        let config = house.devices.client(identity, alpn)?;
        let said = refused(&house.node.devices, config).await?;
        assert!(said.contains(&alert(number)), "{what}: {said} is not {}", alert(number));
        house.witness.is_served().await?;
    }
    house.close(&["witness"]).await
}

/// A certificate of the right CA that names no device, or something that is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_without_a_name_are_refused() -> Result<()> {
    let mut house = House::open().await?;
    let authority =
        pki::device_authority(&house.node.data().join(pki::PKI_DIR), Clock::new().wall())?;
    // The device CA signs a server's certificate: no URI in it.
    let nameless = authority.issue_server(&[], Clock::new().wall(), 1)?;
    let config = house.devices.client(Some(&nameless), ALPN)?;
    let said = match Raw::connect(&house.node.devices, config).await {
        Err(error) => format!("{error:?}"),
        Ok(mut raw) => {
            raw.say(&pollux_tests::node::hello("pump")).await?;
            format!("{:?}", raw.ended().await?)
        }
    };
    assert!(said.contains("names 0 devices") || said.contains("crypto"), "{said}");
    house.witness.is_served().await?;
    house.close(&["witness"]).await
}

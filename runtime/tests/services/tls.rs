//! Both doors with TLS.

use std::os::unix::fs::PermissionsExt;

use pollux_proto::v1;
use pollux_proto::v1::twins_client::TwinsClient;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_both_doors_speak_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let house = House::open_with(&format!("[services]\ncert = {cert:?}\nkey = {key:?}\n")).await;

    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(made.cert.pem()))
        .domain_name("localhost");
    for address in [house.grpc, house.http] {
        let channel = Channel::from_shared(format!("https://{address}")).unwrap();
        let connected = channel.tls_config(tls.clone()).unwrap().connect().await;
        let connected = connected.unwrap_or_else(|error| panic!("{address}: {error:?}"));
        if address == house.grpc {
            let get = v1::GetTwinRequest { device: "none".into(), ..Default::default() };
            let status = TwinsClient::new(connected).get(get).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
        }
    }
    let plain = Channel::from_shared(format!("http://{}", house.grpc)).unwrap().connect().await;
    if let Ok(channel) = plain {
        let get = v1::GetTwinRequest { device: "none".into(), ..Default::default() };
        let status = TwinsClient::new(channel).get(get).await.unwrap_err();
        assert_ne!(status.code(), Code::NotFound, "plaintext must not be answered");
    }
    house.node.stop().await;
}

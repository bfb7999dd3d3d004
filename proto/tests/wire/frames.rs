//! One frame of every kind, by matches that a new kind breaks.

use pollux_proto::device::download::{Fetch, NoFetch, Offer, Signed};
use pollux_proto::device::enrolment::{Credential, Enrol, Enrolled};
use pollux_proto::device::{
    AckResult, Datagram, DeviceFrame, Limits, NodeFrame, RefusedReason, Replica,
};
use pollux_twin::change::Section;
use pollux_twin::{JsonLimits, Rejection, Time, Value};

fn value(json: &str) -> Value {
    Value::from_json(json, &JsonLimits::default()).expect("the test's own json is right")
}

fn document() -> Value {
    value(
        r#"{"bool":true,"float":-0.5,"int":-9223372036854775808,"list":[null,[],{}],"nested":
        {"a key longer than eight bytes":"a text longer than eight bytes"},
        "text":"ü","uint":18446744073709551615}"#,
    )
}

/// Every kind of frame of a device, some of them twice.
pub(crate) fn device_frames() -> Vec<DeviceFrame> {
    use DeviceFrame as F;
    let next = |frame: &F| {
        Some(match frame {
            F::Hello { .. } => {
                F::Report { seq: 1, patch: document(), observed_at: Some(Time::from_ms(1)) }
            }
            F::Report { .. } => F::Telemetry {
                seq: 2,
                values: vec![("rssi".to_owned(), Value::Int(-61))],
                observed_at: None,
            },
            F::Telemetry { .. } => {
                F::DesiredAck { seq: 3, version: 7, refused: Some("too fast".to_owned()) }
            }
            F::DesiredAck { .. } => {
                F::CommandResult { seq: 4, id: 5, result: Ok(value(r#"{"done":true}"#)) }
            }
            F::CommandResult { .. } => F::CommandUnknown { seq: 5, id: 6 },
            F::CommandUnknown { .. } => F::Get,
            F::Get => F::Ping { nonce: 0x0102_0304_0506_0708 },
            F::Ping { .. } => F::Relay { unreachable: vec!["192.0.2.1:4433".to_owned()] },
            F::Relay { .. } => return None,
        })
    };
    let hello = F::Hello {
        tenant: "default".to_owned(),
        device: "pump-in-hall-7".to_owned(),
        incarnation: u64::MAX,
        token: None,
    };
    let mut frames: Vec<_> = std::iter::successors(Some(hello), next).collect();
    frames.extend([
        F::Hello {
            tenant: String::new(),
            device: "p".to_owned(),
            incarnation: 1,
            token: Some("secret".to_owned()),
        },
        F::DesiredAck { seq: 3, version: 7, refused: None },
        F::CommandResult { seq: 4, id: 5, result: Err("no room".to_owned()) },
    ]);
    frames
}

/// Every kind of frame of a node, some of them twice.
pub(crate) fn node_frames() -> Vec<NodeFrame> {
    use NodeFrame as F;
    let next = |frame: &F| {
        Some(match frame {
            F::Welcome { .. } => F::Redirect { address: "b:1".to_owned(), epoch: (3, 2) },
            F::Redirect { .. } => F::Refused {
                reason: RefusedReason::Busy,
                message: "starting".to_owned(),
                retry_after_ms: Some(500),
            },
            F::Refused { .. } => F::Ack { seq: 1, result: AckResult::Done { version: 9 } },
            F::Ack { .. } => F::Nack { seq: 5, expected: Some(3), retry_after_ms: 0 },
            F::Nack { .. } => F::Desired { version: 2, desired: document() },
            F::Desired { .. } => F::Command {
                id: 1,
                name: "restart".to_owned(),
                payload: value("[1,2.5]"),
                deadline: Time::from_ms(1_700_000_000_000),
            },
            F::Command { .. } => F::CommandStatus { id: 1 },
            F::CommandStatus { .. } => F::PrepareMove { address: "c:1".to_owned() },
            F::PrepareMove { .. } => F::Moved { address: "c:1".to_owned(), epoch: (4, 3) },
            F::Moved { .. } => F::Bye { reason: "the node stops".to_owned(), reconnect: true },
            F::Bye { .. } => F::Pong { nonce: 1 },
            F::Pong { .. } => return None,
        })
    };
    let welcome = F::Welcome {
        session: 4,
        last_seq: 17,
        desired_version: 2,
        desired: value(r#"{"speed":3}"#),
        reported_version: 8,
        limits: Limits { frame_bytes_max: 131_072, in_flight_max: 64, section_bytes_max: 65_536 },
        replicas: vec![
            Replica { address: "a:1".to_owned() },
            Replica { address: "node-b.example.com:7600".to_owned() },
        ],
    };
    let mut frames: Vec<_> = std::iter::successors(Some(welcome), next).collect();
    frames.extend(
        rejections()
            .into_iter()
            .map(|rejection| F::Ack { seq: 6, result: AckResult::Rejected { rejection } }),
    );
    frames.extend(
        [RefusedReason::NotYou, RefusedReason::NotAllowed, RefusedReason::Invalid]
            .map(|reason| F::Refused { reason, message: String::new(), retry_after_ms: None }),
    );
    frames
}

/// A datagram.
pub(crate) fn datagrams() -> Vec<Datagram> {
    let values = vec![("vibration".to_owned(), Value::Float(0.25)), ("n".to_owned(), document())];
    vec![Datagram { session: 4, values, observed_at: Some(Time::from_ms(5)) }]
}

/// Every rejection.
pub(crate) fn rejections() -> Vec<Rejection> {
    use Rejection as R;
    let next = |rejection: &R| {
        Some(match rejection {
            R::NotFound => R::VersionMismatch {
                section: Some(Section::Desired),
                expected: 3,
                actual: u64::MAX,
            },
            R::VersionMismatch { .. } => R::NotAnObject,
            R::NotAnObject => R::TooLarge { bytes: 70_000, max: 65_536 },
            R::TooLarge { .. } => R::TooDeep { max: 16 },
            R::TooDeep { .. } => R::BadKey { key: "schlüssel \u{7f} \"🔑\"".to_owned() },
            R::BadKey { .. } => R::TooMany { what: "commands".to_owned(), max: 32 },
            R::TooMany { .. } => R::Invalid { reason: "name is empty; it takes 1 byte".to_owned() },
            R::Invalid { .. } => R::DeviceOffline,
            R::DeviceOffline => R::UnknownCommand,
            R::UnknownCommand => R::CommandOver,
            R::CommandOver => R::KeyReused,
            R::KeyReused => R::SessionOver,
            R::SessionOver => R::OutOfOrder { expected: 8 },
            R::OutOfOrder { .. } => R::Overloaded { retry_after_ms: 250 },
            R::Overloaded { .. } => R::OutOfSpace,
            R::OutOfSpace => R::Quarantined,
            R::Quarantined => R::NotOwner,
            R::NotOwner => R::Unknown,
            // The others are no answers to a message of a device.
            R::Unknown
            | R::Behind
            | R::NotRegistered
            | R::Disabled { .. }
            | R::BadCredential { .. }
            | R::UnknownCredential { .. }
            | R::LevelTooLow { .. }
            | R::Unauthenticated { .. }
            | R::Forbidden { .. }
            | R::SchemaViolated(_)
            | R::UnknownType { .. }
            | R::UnknownGroup { .. }
            | R::NotEnrolled { .. }
            | R::TookTooLong { .. } => return None,
        })
    };
    std::iter::successors(Some(R::NotFound), next).collect()
}

/// What devices ask under `pollux/2`.
pub(crate) fn fetches() -> Vec<Fetch> {
    let (name, version) = ("pump-fw".to_owned(), "2.1.0".to_owned());
    let fetch = Fetch { name, version, offset: 70_000, sha256: Some([0xab; 32]) };
    vec![Fetch { sha256: None, ..fetch.clone() }, fetch]
}

/// What nodes answer to that.
pub(crate) fn offers() -> Vec<Offer> {
    let media_type = "application/octet-stream".to_owned();
    let signed = Signed { key: "release".to_owned(), bytes: [7; 64] };
    let here = |signature| {
        let (size, sha256, media_type) = (1 << 33, [0xab; 32], media_type.clone());
        Offer::Here { size, sha256, signature, media_type }
    };
    let reasons = [NoFetch::NotFound, NoFetch::OtherContent, NoFetch::BadOffset, NoFetch::Busy];
    let refused = reasons.map(|reason| {
        let retry_after_ms = (reason == NoFetch::Busy).then_some(5_000);
        Offer::Refused { reason, message: "why".to_owned(), retry_after_ms }
    });
    [here(None), here(Some(signed))].into_iter().chain(refused).collect()
}

/// What devices ask that enrol.
pub(crate) fn enrols() -> Vec<Enrol> {
    let text = str::to_owned;
    let (tenant, enrolment, device) = (text("acme"), text("spring"), text("pump-7"));
    let (at_ms, hmac_sha256) = (1_796_000_000_000, Some([0xab; 32]));
    let by_key = Enrol { tenant, enrolment, device, at_ms, csr: None, hmac_sha256 };
    let csr = Some(text("-----BEGIN CERTIFICATE REQUEST-----"));
    vec![by_key.clone(), Enrol { csr, hmac_sha256: None, ..by_key }]
}

/// What nodes answer to that.
pub(crate) fn enrolled() -> Vec<Enrolled> {
    let (server_ca, message) = ("-----BEGIN CERTIFICATE-----".to_owned(), "why".to_owned());
    let credentials = [
        Credential::Token("0123456789abcdef".to_owned()),
        Credential::Certificate(server_ca.clone()),
    ];
    let given = credentials.map(|credential| {
        let expires_at_ms =
            matches!(credential, Credential::Certificate(_)).then_some(1_796_000_000_000);
        Enrolled::Given { credential, expires_at_ms, server_ca: server_ca.clone() }
    });
    let refused = [
        (RefusedReason::NotAllowed, Some("exhausted".to_owned()), None),
        (RefusedReason::Busy, None, Some(5_000)),
    ];
    let refused = refused.map(|(reason, why, retry_after_ms)| {
        let message = message.clone();
        Enrolled::Refused { reason, why, message, retry_after_ms }
    });
    given.into_iter().chain(refused).collect()
}

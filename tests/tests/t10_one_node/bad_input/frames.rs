//! What a device may send instead of frames, and frames where they make no sense.

use anyhow::{Context, Result};
use pollux_proto::device::{CloseCode, DeviceFrame, NodeFrame, RefusedReason};
use pollux_tests::node::{Ended, Raw, bytes_of, hello};
use pollux_twin::{Rejection, Value};

use super::House;

/// The node must close with `code`, and say `words` in its last frame and in the close.
#[track_caller]
fn closed(ended: &Ended, code: CloseCode, words: &str) {
    let (found, reason) = ended.close().unwrap_or_else(|| panic!("not closed: {ended:?}"));
    assert_eq!(CloseCode::from_code(found), Some(code), "{ended:?}");
    assert!(reason.contains(words), "{reason:?} has no {words:?}");
    match ended.frames.last() {
        Some(NodeFrame::Bye { reason, .. } | NodeFrame::Refused { message: reason, .. }) => {
            assert!(reason.contains(words), "{ended:?}");
        }
        // A stream that is cut off cannot always carry last words.
        Some(other) => panic!("{other:?}"),
        None => {}
    }
}

fn report(seq: u64, patch: Value) -> DeviceFrame {
    DeviceFrame::Report { seq, patch, observed_at: None }
}

/// A frame that the own check would not let out.
fn unchecked(frame: DeviceFrame) -> Result<Vec<u8>> {
    let archive = move || rkyv::to_bytes::<rkyv::rancor::Error>(&frame).map(|bytes| bytes.to_vec());
    // Serialising ten thousand levels recurses that deep.
    let made = std::thread::Builder::new().stack_size(256 << 20).spawn(archive)?;
    let body = made.join().map_err(|_| anyhow::anyhow!("the stack was too small"))??;
    let mut bytes = u32::try_from(body.len())?.to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
}

/// Pseudo-random bytes that are the same in every run.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_hello() -> Result<()> {
    let mut house = House::open().await?;
    let whole = bytes_of(&hello("pump"));
    let mut many = noise(2_000);
    // A length that could be, so that the bytes behind it are looked at.
    many[..4].copy_from_slice(&1_996_u32.to_le_bytes());
    let cases: [(&str, Vec<u8>, CloseCode, &str); 8] = [
        ("a gibibyte", (1_u32 << 30).to_le_bytes().to_vec(), CloseCode::FrameTooLong, "1073741824"),
        ("too long", 4_097_u32.to_le_bytes().to_vec(), CloseCode::FrameTooLong, "at most 4096"),
        ("noise", many, CloseCode::NotAFrame, "not a frame"),
        ("noise without a length", noise(64), CloseCode::FrameTooLong, "are allowed"),
        ("a report first", bytes_of(&report(1, nested(0))), CloseCode::Unexpected, "hello"),
        ("a ping first", bytes_of(&DeviceFrame::Ping { nonce: 1 }), CloseCode::Unexpected, "hello"),
        ("half a hello", whole[..whole.len() / 2].to_vec(), CloseCode::CutShort, "within a frame"),
        ("half a length", whole[..2].to_vec(), CloseCode::CutShort, "within a frame"),
    ];
    for (what, bytes, code, words) in cases {
        let mut raw = house.devices.raw(&house.node.devices, "pump").await?;
        raw.write(&bytes).await?;
        if code == CloseCode::CutShort {
            raw.finish()?;
        }
        closed(&raw.ended().await.context(what)?, code, words);
        house.witness.is_served().await?;
    }
    house.close(&["witness"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_session() -> Result<()> {
    let mut house = House::open().await?;
    let long = vec![Value::String("x".repeat(300_000))];
    let cases: [(&str, Vec<u8>, CloseCode, &str); 8] = [
        ("a gibibyte", (1_u32 << 30).to_le_bytes().to_vec(), CloseCode::FrameTooLong, "1073741824"),
        ("too long", unchecked(report(1, Value::Array(long)))?, CloseCode::FrameTooLong, "262144"),
        ("deep", unchecked(report(1, nested(10_000)))?, CloseCode::TooDeep, "too deep"),
        ("a bit too deep", unchecked(report(1, nested(33)))?, CloseCode::TooDeep, "too deep"),
        ("NaN", unchecked(report(1, Value::Float(f64::NAN)))?, CloseCode::BadNumber, "not finite"),
        ("a second hello", bytes_of(&hello("pump")), CloseCode::Unexpected, "second hello"),
        (
            "noise",
            [&200_u32.to_le_bytes()[..], &noise(200)].concat(),
            CloseCode::NotAFrame,
            "not a",
        ),
        (
            "half a frame",
            bytes_of(&report(1, nested(3)))[..9].to_vec(),
            CloseCode::CutShort,
            "more",
        ),
    ];
    for (session, (what, bytes, code, words)) in (1..).zip(cases) {
        let mut raw = house.devices.raw(&house.node.devices, "pump").await?;
        assert_eq!(raw.hello("pump").await.context(what)?, session, "{what}");
        // What is too long is refused while the rest is still on its way.
        let _refused_early = raw.write(&bytes).await;
        if code == CloseCode::CutShort {
            raw.finish()?;
        }
        closed(&raw.ended().await.context(what)?, code, words);
        house.witness.is_served().await?;
    }
    let pump = house.node.twin("pump")?;
    assert_eq!(pump["versions"]["reported"], 0, "nothing was taken: {pump}");
    house.close(&["pump", "witness"]).await
}

/// Good frames whose content the twin does not take: the session goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_a_twin_refuses() -> Result<()> {
    let mut house = House::open().await?;
    let mut raw = house.devices.raw(&house.node.devices, "pump").await?;
    let session = raw.hello("pump").await?;
    let object = |key: &str, value: Value| Value::Object([(key.to_owned(), value)].into());
    let refused = [
        (Value::Int(1), "NotAnObject"),
        (object("a", nested(20)), "TooDeep"),
        (object("a", Value::String("x".repeat(70_000))), "TooLarge"),
        (object(&"k".repeat(300), Value::Int(1)), "BadKey"),
    ];
    let count = refused.len() as u64;
    for (seq, (patch, expected)) in (1..).zip(refused) {
        raw.say(&report(seq, patch)).await?;
        let answer = format!("{:?}", raw.frame().await?);
        assert!(answer.contains("Rejected") && answer.contains(expected), "{answer}");
    }
    // A number out of turn uses nothing up, and neither does a frame that answers nothing.
    raw.say(&report(count + 7, object("a", Value::Int(1)))).await?;
    let NodeFrame::Nack { expected, .. } = raw.frame().await? else { panic!("not refused") };
    assert_eq!(expected, Some(count + 1));
    raw.say(&DeviceFrame::CommandResult { seq: count + 1, id: 9, result: Ok(Value::Null) }).await?;
    let answer = format!("{:?}", raw.frame().await?);
    assert!(answer.contains(&format!("{:?}", Rejection::UnknownCommand)), "{answer}");
    raw.say(&DeviceFrame::DesiredAck { seq: count + 2, version: 5, refused: None }).await?;
    let answer = format!("{:?}", raw.frame().await?);
    assert!(answer.contains("does not exist yet"), "{answer}");
    // Datagrams that are none, or of another session, are dropped and counted.
    for bytes in [noise(100), noise(0), bytes_of(&report(1, Value::Null))] {
        raw.datagram(&bytes)?;
    }
    raw.say(&report(count + 3, object("a", Value::Int(1)))).await?;
    let answer = format!("{:?}", raw.frame().await?);
    assert!(answer.contains("Done { version: 1 }"), "{answer}");
    assert_eq!(house.node.twin("pump")?["presence"]["session"], session);
    house.witness.is_served().await?;
    house.close(&["pump", "witness"]).await
}

/// A hello for a device that the certificate does not name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_for_another_device() -> Result<()> {
    let mut house = House::open().await?;
    let tenant = DeviceFrame::Hello {
        tenant: "acme".to_owned(),
        device: "pump".to_owned(),
        incarnation: 1,
        token: None,
    };
    let cases = [
        (hello("witness"), RefusedReason::NotYou, "names default/pump"),
        (tenant, RefusedReason::NotYou, "names acme/pump"),
        (hello(""), RefusedReason::Invalid, "1 to 256"),
        (hello("a/b"), RefusedReason::Invalid, "printable"),
    ];
    for (frame, expected, words) in cases {
        let mut raw: Raw = house.devices.raw(&house.node.devices, "pump").await?;
        raw.say(&frame).await?;
        let ended = raw.ended().await?;
        closed(&ended, CloseCode::Refused, words);
        let Some(NodeFrame::Refused { reason, .. }) = ended.frames.first() else {
            panic!("{ended:?}")
        };
        assert_eq!(*reason, expected, "{ended:?}");
        house.witness.is_served().await?;
    }
    house.close(&["witness"]).await
}

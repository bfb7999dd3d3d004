//! What the hot path of a report costs: encoding and decoding one of about 100 bytes of content, and
//! the acknowledgement that goes back.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use pollux_proto::device::convert::Received;
use pollux_proto::device::{AckResult, Decoder, DeviceFrame, NodeFrame, encode};
use pollux_twin::{JsonLimits, Time, Value};

/// A report as a sensor sends it: 100 bytes of JSON, three members.
fn report() -> DeviceFrame {
    let json = r#"{"temperature":21.53125,"status":"running, pressure within bounds of the plan","rpm":1480,"on":true}"#;
    let patch = Value::from_json(json, &JsonLimits::default()).expect("the json above is right");
    DeviceFrame::Report { seq: 41, patch, observed_at: Some(Time::from_ms(1_700_000_000_000)) }
}

fn bench(criterion: &mut Criterion) {
    let frame = report();
    let mut out = BytesMut::with_capacity(1 << 16);
    encode(&frame, &mut out).expect("within bounds");
    let bytes = out.split().freeze();
    criterion.bench_function(&format!("encode report, {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(black_box(&frame), &mut out).expect("within bounds");
        });
    });
    let mut decoder = Decoder::<DeviceFrame>::new();
    criterion.bench_function(&format!("decode report, {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| {
            decoder.push(black_box(&bytes));
            Received::from(decoder.poll().expect("a frame").expect("a whole frame"))
        });
    });
    let ack = NodeFrame::Ack { seq: 41, result: AckResult::Done { version: 9 } };
    criterion.bench_function("encode ack", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(black_box(&ack), &mut out).expect("within bounds");
        });
    });
    let bytes = out.split().freeze();
    let mut decoder = Decoder::<NodeFrame>::new();
    criterion.bench_function(&format!("decode ack, {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| {
            decoder.push(black_box(&bytes));
            decoder.poll().expect("a frame").expect("a whole frame")
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! Reading everything back: what was acknowledged must be there, once, and nothing older.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use pollux_proto::v1::Twin;

use crate::fleet::Fleet;
use crate::limits::{HISTORIES_MAX, READING_MAX};
use crate::services::{Services, Wish};
use crate::unit::{Book, Unit};

/// What reading back has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) went_back: u64,
    pub(crate) unread: u64,
    pub(crate) histories: Vec<String>,
}

impl Findings {
    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.went_back += other.went_back;
        self.unread += other.unread;
    }

    fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.went_back == 0
    }
}

/// A twin's two sections as far as they are checked.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    reported: u64,
    n: Option<u64>,
    desired: u64,
    value: Option<u64>,
}

/// What the devices themselves have noticed.
pub(crate) fn noticed(units: &[Arc<Unit>], findings: &mut Findings) {
    for unit in units {
        let book = unit.book();
        let own = Findings {
            lost: book.lost,
            doubled: book.doubled,
            went_back: book.went_back,
            ..Findings::default()
        };
        drop(book);
        record(unit, &own, findings);
    }
}

/// Reads all twins back and compares.
pub(crate) async fn verify(
    fleet: &Arc<Fleet>,
    services: &Arc<Services>,
    units: &[Arc<Unit>],
    wishes: &BTreeMap<u32, Wish>,
    findings: &mut Findings,
) {
    let mut judged = stream::iter(units.iter().cloned().enumerate())
        .map(|(turn, unit)| async move {
            let wish = wishes.get(&unit.index).copied();
            let own = match services.read(fleet, turn, unit.index).await {
                Ok(twin) => {
                    let read = twin.as_ref().map(read_of).unwrap_or_default();
                    let mut own = judge(&unit.book(), wish, &read);
                    if wish.is_some() && !saw(&unit, read.desired).await {
                        own.went_back += 1;
                    }
                    own
                }
                Err(_) => Findings { unread: 1, ..Findings::default() },
            };
            (unit, own)
        })
        .buffer_unordered(READING_MAX);
    while let Some((unit, own)) = judged.next().await {
        record(&unit, &own, findings);
    }
}

fn record(unit: &Unit, own: &Findings, findings: &mut Findings) {
    findings.add(own);
    if !own.is_clean() && findings.histories.len() < HISTORIES_MAX {
        let Findings { lost, doubled, went_back, .. } = own;
        let history = unit.history();
        findings
            .histories
            .push(format!("lost {lost}, doubled {doubled}, went back {went_back}: {history}"));
    }
}

/// Whether the device got the desired version that there is, given a little time.
async fn saw(unit: &Unit, version: u64) -> bool {
    for _ in 0..100 {
        if unit.device.desired().is_some_and(|desired| desired.version >= version) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

fn read_of(twin: &Twin) -> Read {
    let member = |json: &str, path: &str| {
        serde_json::from_str::<serde_json::Value>(json).ok()?.pointer(path)?.as_u64()
    };
    let reported = twin.reported.as_ref();
    let desired = twin.desired.as_ref();
    Read {
        reported: reported.map_or(0, |section| section.version),
        n: reported.and_then(|section| member(&section.json, "/n")),
        desired: desired.map_or(0, |section| section.version),
        value: desired.and_then(|section| member(&section.json, "/sim/value")),
    }
}

fn judge(book: &Book, wish: Option<Wish>, read: &Read) -> Findings {
    let mut findings = Findings::default();
    let (least, most) = book.versions();
    findings.lost += least.saturating_sub(read.reported);
    findings.doubled += read.reported.saturating_sub(most);
    if book.taken > 0 {
        let n = read.n.unwrap_or(0);
        if n < book.acked {
            findings.lost += book.acked - n;
        }
        if n > book.sent {
            findings.doubled += 1;
        }
    }
    if let Some(wish) = wish {
        let most = wish.version + u64::from(wish.unsure.is_some());
        findings.lost += wish.lost + wish.version.saturating_sub(read.desired);
        findings.doubled += wish.doubled + read.desired.saturating_sub(most);
        let expected = if read.desired > wish.version { wish.unsure } else { wish.value };
        if expected.is_some() && read.value != expected {
            findings.lost += 1;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(book: &Book, wish: Option<Wish>, read: Read, expected: (u64, u64)) {
        let findings = judge(book, wish, &read);
        assert_eq!((findings.lost, findings.doubled), expected, "{read:?}");
    }

    #[test]
    fn what_is_read_back_is_compared_with_what_was_acknowledged() {
        let mut book = Book::default();
        (book.base, book.sent, book.acked, book.taken, book.version) = (5, 8, 8, 3, 8);
        let read = |reported, n| Read { reported, n: Some(n), ..Read::default() };
        check(&book, None, read(8, 8), (0, 0));
        check(&book, None, read(7, 7), (2, 0));
        check(&book, None, read(9, 8), (0, 1));
        (book.in_flight, book.sent) = (1, 9);
        check(&book, None, read(9, 9), (0, 0));
        check(&book, None, read(8, 8), (0, 0));
        check(&book, None, read(10, 9), (0, 1));
    }

    #[test]
    fn desired_is_compared_with_what_services_were_told() {
        let book = Book::default();
        let read = |desired, value| Read { desired, value: Some(value), ..Read::default() };
        let wish = Wish { version: 2, value: Some(7), ..Wish::default() };
        check(&book, Some(wish), read(2, 7), (0, 0));
        check(&book, Some(wish), read(1, 6), (2, 0));
        check(&book, Some(wish), read(3, 7), (0, 1));
        let unsure = Wish { unsure: Some(9), ..wish };
        check(&book, Some(unsure), read(2, 7), (0, 0));
        check(&book, Some(unsure), read(3, 9), (0, 0));
        check(&book, Some(unsure), read(4, 9), (0, 1));
    }
}

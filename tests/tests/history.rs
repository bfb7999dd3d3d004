//! The checker of histories is checked: what is broken must be found, each rule by itself, and what is
//! sound must pass.

use pollux_tests::history::{Answer, At, Call, Event, History, Repeat, Section, Shown, What};

const TWIN: &str = "pump";

fn section(value: u64, version: u64) -> Section {
    Section { value, version }
}

fn shown(reported: (u64, u64), desired: (u64, u64)) -> Answer {
    Answer::Shown(Shown {
        reported: section(reported.0, reported.1),
        desired: section(desired.0, desired.1),
    })
}

fn write(value: u64) -> What {
    What::Write { value, expected: None }
}

fn expecting(value: u64, version: u64) -> What {
    What::Write { value, expected: Some(version) }
}

/// What was asked, when, and when and how it was answered.
type Told = (What, At, Option<(At, Answer)>);

/// A history of one twin.
fn history(calls: &[Told], last: Answer) -> History {
    let Answer::Shown(last) = last else { panic!("the last word is a read") };
    let mut history = History::default();
    for (what, begun, ended) in calls {
        let (twin, what, begun, ended) = (TWIN.to_owned(), *what, *begun, *ended);
        history.calls.push(Call { twin, what, begun, ended });
    }
    history.calls.sort_by_key(|call| call.begun);
    history.last.insert(TWIN.to_owned(), last);
    history
}

fn passes(history: &History) {
    if let Err(why) = history.check() {
        panic!("a sound history is refused: {why}");
    }
}

/// The rule must be the first to say it.
fn fails(rule: &str, history: &History) {
    let why = history.check().expect_err("a broken history passes");
    assert!(why.starts_with(rule), "{rule} should have found it, but: {why}");
}

fn done(at: At, version: u64) -> Option<(At, Answer)> {
    Some((at, Answer::Done(version)))
}

/// Reports, writes and reads of a good run, some at the same time.
fn good() -> Vec<Told> {
    vec![
        (What::Report(1), 0, done(10, 1)),
        (write(100), 5, done(30, 1)),
        (What::Read, 6, Some((9, shown((1, 1), (0, 0))))),
        (What::Read, 7, Some((40, shown((1, 1), (100, 1))))),
        (expecting(101, 1), 50, done(60, 2)),
        (expecting(102, 1), 50, Some((61, Answer::Mismatch(2)))),
        (What::Report(2), 55, done(70, 2)),
        (write(103), 60, Some((80, Answer::Refused))),
        (What::Read, 90, Some((95, shown((2, 2), (101, 2))))),
    ]
}

#[test]
fn a_sound_history_passes() {
    let mut history = history(&good(), shown((2, 2), (101, 2)));
    let events = [
        Event::Session(1),
        Event::Desired(section(100, 1)),
        Event::Session(4),
        Event::Desired(section(101, 2)),
        Event::Executed(7),
    ];
    history.events.insert(TWIN.to_owned(), events.to_vec());
    let (first, again) = (Answer::Done(2), Answer::Done(2));
    history.repeats.push(Repeat { twin: TWIN.to_owned(), value: 101, first, again });
    passes(&history);
    let summary = history.check().unwrap();
    assert_eq!((summary.answered, summary.unanswered), (9, 0));
    assert_eq!((summary.reports, summary.writes, summary.reads), (2, 4, 3));
}

#[test]
fn an_unanswered_call_may_have_had_its_effect_or_not() {
    for last in [(100, 1), (101, 2), (102, 2), (102, 3), (101, 3)] {
        let calls = [
            (write(100), 0, done(10, 1)),
            (write(101), 20, None),
            (write(102), 20, None),
            (What::Read, 900, Some((910, shown((0, 0), last)))),
        ];
        passes(&history(&calls, shown((0, 0), last)));
    }
    // Long after it began, and at once.
    let late = [
        (write(100), 0, None),
        (What::Read, 500, Some((510, shown((0, 0), (0, 0))))),
        (What::Read, 520, Some((530, shown((0, 0), (100, 1))))),
    ];
    passes(&history(&late, shown((0, 0), (100, 1))));
    // One that expects what never was had none.
    let never = [(expecting(100, 7), 0, None), (write(101), 5, done(9, 1))];
    passes(&history(&never, shown((0, 0), (101, 1))));
}

#[test]
fn many_unanswered_writes_do_not_stop_the_search() {
    let mut calls = Vec::new();
    for number in 0..60 {
        calls.push((write(1_000 + number), number, None));
    }
    // Thirty of them took effect, nobody saw which.
    for number in 0..40 {
        let (begun, version) = (100 + 10 * number, 31 + number);
        calls.push((write(2_000 + number), begun, done(begun + 5, version)));
    }
    passes(&history(&calls, shown((0, 0), (2_039, 70))));
}

#[test]
fn a_lost_report_and_a_lost_write_are_found() {
    let calls = [(What::Report(1), 0, done(10, 1)), (What::Report(2), 20, done(30, 2))];
    fails("lost", &history(&calls, shown((1, 1), (0, 0))));
    let calls = [(write(100), 0, done(10, 1)), (write(101), 20, done(30, 2))];
    fails("lost", &history(&calls, shown((0, 0), (100, 1))));
    // The version is there, but made by another write.
    let calls = [(write(100), 0, done(10, 1)), (write(101), 0, None)];
    fails("lost", &history(&calls, shown((0, 0), (101, 1))));
    let mut unread = history(&calls[..1], shown((0, 0), (100, 1)));
    unread.last.clear();
    fails("lost", &unread);
    let command = (What::Command(7), 0, Some((10, Answer::Executed)));
    fails("lost", &history(&[command], shown((0, 0), (0, 0))));
}

#[test]
fn what_is_applied_twice_is_found() {
    // A report, noticed by the version of the next.
    let calls = [(What::Report(1), 0, done(10, 1)), (What::Report(2), 20, done(30, 3))];
    fails("doubled", &history(&calls, shown((2, 3), (0, 0))));
    // A write, noticed at the end.
    let calls = [(write(100), 0, done(10, 1)), (write(101), 20, done(30, 2))];
    fails("doubled", &history(&calls, shown((0, 0), (100, 3))));
    // Two writes that both made one version.
    let calls = [(write(100), 0, done(10, 1)), (write(101), 0, done(10, 1))];
    fails("doubled", &history(&calls, shown((0, 0), (101, 2))));
    let mut repeated = history(&good(), shown((2, 2), (101, 2)));
    let (first, again) = (Answer::Done(2), Answer::Done(3));
    repeated.repeats.push(Repeat { twin: TWIN.to_owned(), value: 101, first, again });
    fails("doubled", &repeated);
    let mut executed = history(&good(), shown((2, 2), (101, 2)));
    executed.events.insert(TWIN.to_owned(), vec![Event::Executed(7), Event::Executed(7)]);
    fails("doubled", &executed);
}

#[test]
fn versions_that_go_back_are_found() {
    // A read that began after a newer one was answered: an old owner that answers on.
    let calls = [
        (write(100), 0, done(10, 1)),
        (write(101), 20, done(30, 2)),
        (What::Read, 40, Some((50, shown((0, 0), (100, 1))))),
    ];
    fails("backwards", &history(&calls, shown((0, 0), (101, 2))));
    // A write that makes a version which was known before it began.
    let calls = [
        (write(100), 0, None),
        (What::Read, 10, Some((20, shown((0, 0), (100, 1))))),
        (write(101), 30, done(40, 1)),
    ];
    fails("backwards", &history(&calls, shown((0, 0), (101, 2))));
    let mut told = history(&good(), shown((2, 2), (101, 2)));
    let events = [section(101, 2), section(100, 1)].map(Event::Desired);
    told.events.insert(TWIN.to_owned(), events.to_vec());
    fails("backwards", &told);
}

#[test]
fn two_owners_at_once_are_found() {
    // One version, two values: what a deposed owner decided was shown to somebody.
    let calls = [
        (write(100), 0, None),
        (write(101), 0, None),
        (What::Read, 0, Some((90, shown((0, 0), (100, 1))))),
        (What::Read, 0, Some((90, shown((0, 0), (101, 1))))),
    ];
    fails("one owner", &history(&calls, shown((0, 0), (101, 2))));
    let mut told = history(&good(), shown((2, 2), (101, 2)));
    told.events.insert(TWIN.to_owned(), vec![Event::Desired(section(102, 2))]);
    fails("one owner", &told);
    let mut sessions = history(&good(), shown((2, 2), (101, 2)));
    sessions.events.insert(TWIN.to_owned(), vec![Event::Session(3), Event::Session(3)]);
    fails("one owner", &sessions);
}

#[test]
fn answers_that_no_order_explains_are_found() {
    // Versions agree with the times; the write that made the second one began after it was read.
    let calls = [
        (write(100), 0, done(10, 1)),
        (What::Read, 20, Some((30, shown((0, 0), (101, 2))))),
        (write(101), 40, None),
    ];
    fails("linear", &history(&calls, shown((0, 0), (101, 2))));
    // A refusal for a version that was not there yet.
    let calls =
        [(expecting(100, 1), 0, Some((10, Answer::Mismatch(2)))), (write(101), 5, done(30, 1))];
    fails("linear", &history(&calls, shown((0, 0), (101, 1))));
    // It expected what was not there, and took effect all the same.
    let calls = [(write(100), 0, done(10, 1)), (expecting(101, 9), 20, done(30, 2))];
    fails("linear", &history(&calls, shown((0, 0), (101, 2))));
    // Each section is right by itself; the two together never were.
    let calls = [
        (What::Report(1), 0, done(10, 1)),
        (write(100), 20, done(30, 1)),
        (What::Report(2), 40, done(90, 2)),
        (What::Read, 0, Some((35, shown((0, 0), (100, 1))))),
    ];
    fails("linear", &history(&calls, shown((2, 2), (100, 1))));
    // A number from nowhere.
    let calls = [(What::Read, 0, Some((9, shown((0, 0), (5, 1)))))];
    fails("linear", &history(&calls, shown((0, 0), (0, 0))));
}

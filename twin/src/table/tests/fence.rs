//! Safety rules 1, 4 and 5: which entries take effect.

use super::*;

#[test]
fn only_the_direct_successor() {
    let mut table = opened(Options::default());
    let skips = |table: &mut Table, entry| {
        let applied = table.apply(table.index() + 1, entry).unwrap();
        assert!(applied.outcome == Outcome::Skipped && applied.events.is_empty());
    };
    skips(&mut table, batch(1, 2, &[("a", set(8))]));
    apply(&mut table, &[("a", set(1))]);
    skips(&mut table, batch(1, 1, &[("a", set(8))]));
    skips(&mut table, batch(1, 3, &[("a", set(8))]));
    skips(&mut table, batch(2, 2, &[("a", set(8))]));
    apply(&mut table, &[("a", set(2))]);
    assert_eq!(n(&table, "a"), Some(2));
    assert_eq!(table.fence().number, 2);
}

#[test]
fn an_opening_ends_the_generation_before() {
    let mut table = opened(Options::default());
    apply(&mut table, &[("a", set(1))]);
    table.apply(3, open(EPOCH, 2)).unwrap();
    let late = table.apply(4, batch(1, 2, &[("a", set(8))])).unwrap();
    assert_eq!(late.outcome, Outcome::Skipped);
    let first = table.apply(5, batch(2, 1, &[("a", set(3))])).unwrap();
    assert_eq!(first.outcome, Outcome::Took { time: Time::from_ms(11) });
    assert_eq!(n(&table, "a"), Some(3));
}

#[test]
fn openings_rise() {
    let mut table = opened(Options::default());
    let newer = Epoch { term: 3, leader: 0 };
    let outcomes = [
        (open(EPOCH, 1), false),
        (open(Epoch { term: 1, leader: 9 }, 9), false),
        (open(EPOCH, 3), true),
        (open(EPOCH, 2), false),
        (open(newer, 1), true),
        (open(EPOCH, 4), false),
    ];
    for (entry, took) in outcomes {
        let applied = table.apply(table.index() + 1, entry).unwrap();
        assert_eq!(applied.outcome != Outcome::Skipped, took);
    }
    assert_eq!(table.fence().epoch, newer);
}

#[test]
fn no_batch_before_an_opening() {
    let mut table = Table::new(Options::default());
    let entry = Entry::Batch {
        epoch: Epoch::default(),
        generation: 0,
        number: 1,
        time: Time::default(),
        changes: Vec::new(),
    };
    assert_eq!(table.apply(1, entry).unwrap().outcome, Outcome::Skipped);
}

#[test]
fn time_never_goes_back() {
    let mut table = opened(Options::default());
    apply(&mut table, &[]);
    let early = Entry::Open { epoch: EPOCH, generation: 2, time: Time::from_ms(1) };
    let outcome = table.apply(table.index() + 1, early).unwrap().outcome;
    assert_eq!(outcome, Outcome::Took { time: Time::from_ms(11) });
    assert_eq!(Outcome::from_bytes(&outcome.to_bytes()), Some(outcome));
    assert_eq!(Outcome::from_bytes(&Outcome::Skipped.to_bytes()), Some(Outcome::Skipped));
    assert_eq!(Outcome::from_bytes(&[7; 9]), None);
    assert_eq!(Outcome::from_bytes(&[]), None);
}

#[test]
#[should_panic(expected = "the log is applied in order")]
fn an_index_twice_is_a_broken_log() {
    let mut table = opened(Options::default());
    table.advance(1);
}

//! Pieces that come as they should, again, out of order, of others, or into a sink that fails.

use super::*;
use crate::ids::Position;
use crate::raft::types::log_id;

/// What became of the sinks that were begun.
#[derive(Default)]
struct Told {
    begun: u32,
    pushed: Vec<Bytes>,
    ended: Option<Position>,
    dropped: u32,
    installed: u32,
    /// The push that fails, of all.
    fails_at: Option<usize>,
    end_fails: bool,
}

type Shared = Arc<std::sync::Mutex<Told>>;

struct Sink(Shared);

impl SnapshotSink for Sink {
    fn push(&mut self, chunk: Bytes) -> Result<(), Fault> {
        let mut told = self.0.lock().unwrap();
        told.pushed.push(chunk);
        match told.fails_at {
            Some(at) if at == told.pushed.len() => Err(Fault::Closed("the disk")),
            _ => Ok(()),
        }
    }

    fn end(&mut self, position: Position) -> Result<(), Fault> {
        let mut told = self.0.lock().unwrap();
        told.ended = Some(position);
        if told.end_fails { Err(Fault::Closed("the disk")) } else { Ok(()) }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped += 1;
    }
}

/// The receiving end, with an installing that goes on until it is told to end.
struct Desk {
    incoming: Incoming,
    told: Shared,
    open: Arc<tokio::sync::Semaphore>,
}

fn desk() -> Desk {
    let told = Shared::default();
    let sinks = Arc::clone(&told);
    let sinks: Sinks = Arc::new(move || {
        sinks.lock().unwrap().begun += 1;
        Ok(Box::new(Sink(Arc::clone(&sinks))))
    });
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    Desk { incoming: Incoming::new(sinks), told, open }
}

const PLACE: Position = Position { term: 2, leader: 1, index: 9 };

fn piece(number: u32, bytes: Option<&'static str>) -> Piece {
    let meta = MetaC { last_log_id: Some(log_id(PLACE)), ..MetaC::default() };
    Piece { vote: VoteC::new_committed(2, 1), meta, number, bytes: bytes.map(Bytes::from) }
}

impl Desk {
    fn take(&mut self, piece: Piece) -> Result<Taken, CallFault> {
        let (told, open) = (Arc::clone(&self.told), Arc::clone(&self.open));
        self.incoming.take(piece, |snapshot| {
            assert!(matches!(snapshot.snapshot, SnapshotData::Come(_)));
            told.lock().unwrap().installed += 1;
            let end = async move {
                let _open = open.acquire().await.map_err(|_| CallFault::Failed)?;
                drop(snapshot);
                Ok(Bytes::from("installed"))
            };
            end.boxed().shared()
        })
    }

    /// Is taken, and is not the last one.
    fn taken(&mut self, piece: Piece) {
        assert!(matches!(self.take(piece), Ok(Taken::Piece)));
    }

    fn refused(&mut self, piece: Piece, with: CallFault) {
        assert_eq!(self.take(piece).map(|_| ()), Err(with));
    }

    fn last(&mut self, piece: Piece) -> Outcome {
        let Ok(Taken::Last(outcome)) = self.take(piece) else { panic!("it was not the last") };
        outcome
    }

    fn pushed(&self) -> Vec<Bytes> {
        self.told.lock().unwrap().pushed.clone()
    }
}

#[test]
fn pieces_that_come_again_are_taken_once() {
    let mut desk = desk();
    for again in 0..3 {
        for known in 0..=again {
            desk.taken(piece(known, Some(["a", "b", "c"][known as usize])));
        }
    }
    assert_eq!(desk.pushed(), ["a", "b", "c"]);
    let first = desk.last(piece(3, None));
    let again = desk.last(piece(3, None));
    desk.taken(piece(1, Some("b")));
    assert!(first.clone().now_or_never().is_none(), "it is still being installed");
    desk.open.add_permits(1);
    for outcome in [first, again, desk.last(piece(3, None))] {
        assert_eq!(outcome.now_or_never().unwrap(), Ok(Bytes::from("installed")));
    }
    let told = desk.told.lock().unwrap();
    assert_eq!((told.begun, told.installed, told.ended), (1, 1, Some(PLACE)));
}

#[test]
fn a_gap_is_refused_and_what_is_there_goes_on() {
    let mut desk = desk();
    desk.refused(piece(1, Some("b")), CallFault::Failed);
    desk.refused(piece(1, None), CallFault::Failed);
    desk.taken(piece(0, Some("a")));
    desk.refused(piece(2, Some("c")), CallFault::Failed);
    desk.taken(piece(1, Some("b")));
    assert_eq!(desk.pushed(), ["a", "b"]);
}

#[test]
fn pieces_of_another_snapshot_or_leader_are_refused_until_they_begin() {
    let mut other = piece(1, Some("b"));
    other.meta.last_log_id = Some(log_id(Position { index: 10, ..PLACE }));
    let leader = Piece { vote: VoteC::new_committed(3, 2), ..piece(1, Some("b")) };
    for foreign in [other, leader] {
        let mut desk = desk();
        desk.taken(piece(0, Some("a")));
        let first = |bytes| Piece {
            number: 0,
            bytes: Some(Bytes::from_static(bytes)),
            vote: foreign.vote,
            meta: foreign.meta.clone(),
        };
        let begins = first(b"a");
        desk.refused(foreign, CallFault::Failed);
        desk.taken(piece(1, Some("b")));
        desk.taken(begins);
        assert_eq!(desk.told.lock().unwrap().dropped, 1, "the older one is gone");
        desk.refused(piece(2, Some("c")), CallFault::Failed);
        assert_eq!(desk.pushed(), ["a", "b", "a"]);
    }
}

#[test]
fn an_older_snapshot_does_not_drop_a_newer_one() {
    let mut desk = desk();
    desk.taken(piece(0, Some("a")));
    let mut older = piece(0, Some("b"));
    older.meta.last_log_id = Some(log_id(Position { index: 8, ..PLACE }));
    desk.refused(older, CallFault::Failed);
    let before = Piece { vote: VoteC::new_committed(1, 3), ..piece(0, Some("b")) };
    desk.refused(before, CallFault::Failed);
    desk.taken(piece(1, Some("b")));
    assert_eq!(desk.told.lock().unwrap().begun, 1);
}

#[test]
fn a_snapshot_that_could_not_be_installed_may_come_again() {
    let mut desk = desk();
    for begun in 1..=2 {
        desk.taken(piece(0, Some("a")));
        let outcome = desk.last(piece(1, None));
        desk.open.close();
        assert_eq!(outcome.now_or_never().unwrap(), Err(CallFault::Failed));
        assert_eq!(desk.told.lock().unwrap().begun, begun);
    }
}

#[test]
fn the_outcome_of_one_leaders_snapshot_is_never_told_to_another() {
    let mut desk = desk();
    desk.taken(piece(0, Some("a")));
    drop(desk.last(piece(1, None)));
    desk.open.add_permits(1);
    let vote = VoteC::new_committed(3, 2);
    desk.refused(Piece { vote, ..piece(1, None) }, CallFault::Failed);
    desk.taken(Piece { vote, ..piece(0, Some("a")) });
    drop(desk.last(Piece { vote, ..piece(1, None) }));
    assert_eq!(desk.told.lock().unwrap().installed, 2);
}

#[test]
fn another_cut_of_the_same_state_begins_anew() {
    let mut desk = desk();
    desk.taken(piece(0, Some("a")));
    desk.taken(piece(1, Some("b")));
    desk.taken(piece(0, Some("b")));
    desk.taken(piece(1, Some("a")));
    desk.refused(piece(1, Some("c")), CallFault::Failed);
    desk.refused(piece(2, Some("d")), CallFault::Failed);
    assert_eq!(desk.pushed(), ["a", "b", "b", "a"]);
    let told = desk.told.lock().unwrap();
    assert_eq!((told.begun, told.dropped), (2, 2));
}

#[test]
fn nothing_begins_while_a_snapshot_is_installed() {
    let mut desk = desk();
    desk.taken(piece(0, Some("a")));
    drop(desk.last(piece(1, None)));
    desk.refused(piece(0, Some("b")), CallFault::Unreachable);
    assert_eq!(desk.told.lock().unwrap().begun, 1);
    desk.open.add_permits(1);
    desk.taken(piece(0, Some("b")));
    assert_eq!(desk.told.lock().unwrap().begun, 2);
}

#[test]
fn a_sink_that_fails_ends_the_transfer_and_nothing_is_installed() {
    let mut desk = desk();
    desk.told.lock().unwrap().fails_at = Some(2);
    desk.taken(piece(0, Some("a")));
    desk.refused(piece(1, Some("b")), CallFault::Failed);
    desk.refused(piece(1, Some("b")), CallFault::Failed);
    assert_eq!(desk.told.lock().unwrap().dropped, 1);
    desk.told.lock().unwrap().end_fails = true;
    desk.taken(piece(0, Some("a")));
    desk.refused(piece(1, None), CallFault::Failed);
    desk.refused(piece(1, None), CallFault::Failed);
    let told = desk.told.lock().unwrap();
    assert_eq!((told.begun, told.dropped, told.installed), (2, 2, 0));
}

#[test]
fn a_closed_end_keeps_and_takes_nothing() {
    let mut desk = desk();
    desk.taken(piece(0, Some("a")));
    desk.incoming.close();
    assert_eq!(desk.told.lock().unwrap().dropped, 1);
    desk.refused(piece(0, Some("a")), CallFault::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_does_not_go_on_is_dropped() {
    let Desk { mut incoming, told, .. } = desk();
    let nothing = |_: SnapshotC<SnapshotData>| unreachable!("it never ends");
    incoming.take(piece(0, Some("a")), nothing).map(|_| ()).unwrap();
    let shared = Arc::new(Mutex::new(incoming));
    watch(&shared, &mut *shared.lock().await);
    let idle = Duration::from_millis(SNAPSHOT_IDLE_MS_MAX);
    C::sleep(idle + idle / 2).await;
    shared.lock().await.take(piece(1, Some("b")), nothing).map(|_| ()).unwrap();
    C::sleep(idle).await;
    assert_eq!(told.lock().unwrap().dropped, 0, "it went on");
    C::sleep(idle).await;
    assert_eq!(told.lock().unwrap().dropped, 1);
    assert!(!shared.lock().await.watched);
}

//! The way to an owner, by scripts: redirects, silences, races, moves, refusals, takeovers.

use super::*;
use crate::limits::{
    DIAL_EVERY_MS, DIALS_BURST, PING_MS, RACE_MAX, REDIRECTS_MAX, RIVAL_MS, SILENCE_MS, STALL_MS,
};
use crate::session::backoff::ms;
use pollux_proto::device::convert::{SUPERSEDED, TAKEN_OVER};

fn redirect(address: &str, epoch: u64) -> NodeFrame {
    NodeFrame::Redirect { address: address.to_owned(), epoch: (epoch, 1) }
}

fn taken_over() -> NodeFrame {
    NodeFrame::Bye { reason: TAKEN_OVER.to_owned(), reconnect: false }
}

fn welcome_as(session: u64, replicas: &[&str]) -> NodeFrame {
    let mut frame = welcome(0);
    if let NodeFrame::Welcome { session: epoch, replicas: named, .. } = &mut frame {
        *epoch = session;
        *named = replicas.iter().map(|to| Replica { address: (*to).to_owned() }).collect();
    }
    frame
}

impl Desk {
    fn answer(&mut self, attempt: u64, frame: NodeFrame) -> Vec<Output<u32>> {
        self.input(Input::Frame { attempt, frame })
    }

    /// A session at a:1 with replicas c:1 and d:1, one report unanswered, and the owner silent for
    /// too long.
    fn silent() -> (Self, u64) {
        let mut desk = Self::new();
        let owner = desk.attempt();
        desk.connect(owner);
        desk.answer(owner, welcome_as(1, &["c:1", "d:1"]));
        desk.report(1);
        assert_eq!(seqs(&desk.sent()), [1]);
        assert!(desk.pass().is_empty());
        assert!(matches!(desk.sent()[..], [DeviceFrame::Ping { .. }]));
        assert_eq!(dialled(&desk.pass()), ["c:1"], "at once");
        assert_eq!(desk.now_ms, SILENCE_MS);
        (desk, owner)
    }
}

#[test]
fn redirects_are_followed_three_times() {
    let mut desk = Desk::new();
    let first = desk.dialling()[0].to_owned();
    for hop in 0..=REDIRECTS_MAX {
        let attempt = desk.attempt();
        desk.connect(attempt);
        let outputs = desk.frame(redirect(&format!("x:{hop}"), 1));
        assert_eq!(outputs[0], Output::Hangup { attempt });
        assert_eq!(dialled(&outputs).len(), usize::from(hop < REDIRECTS_MAX));
    }
    assert_ne!(desk.pass_to_dial(), [first], "another one that was configured");
}

#[test]
fn the_others_are_raced_when_the_owner_is_silent_and_the_first_welcome_wins() {
    let (mut desk, owner) = Desk::silent();
    assert_eq!(desk.pass_to_dial(), ["d:1"], "nobody answers: another one beside");
    assert_eq!(desk.dialling(), ["a:1", "c:1", "d:1"]);
    let (c, d) = (desk.to("c:1"), desk.to("d:1"));
    assert!(matches!(desk.connect(d)[..], [DeviceFrame::Hello { .. }]));
    assert!(matches!(desk.connect(c)[..], [DeviceFrame::Hello { .. }]));
    let outputs = desk.answer(d, welcome_as(2, &["a:1", "c:1"]));
    for attempt in [owner, c] {
        assert!(outputs.contains(&Output::Hangup { attempt }), "{outputs:?}");
    }
    assert_eq!((desk.session.attempt(), desk.session.epoch()), (Some(d), Some(2)));
    assert_eq!(seqs(&desk.sent()), [1], "under the same number");
    let outputs = desk.frame(ack(1));
    let Output::Event(Event::Rehomed(rehomed)) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!((&*rehomed.from, &*rehomed.to, rehomed.cause), ("a:1", "d:1", Cause::Lost));
    assert_eq!(rehomed.took, desk.now(), "from when the report went out");
    assert!(matches!(outputs[1], Output::Event(Event::Answered { token: 1, .. })));
}

#[test]
fn an_owner_that_speaks_again_is_kept() {
    let (mut desk, owner) = Desk::silent();
    let c = desk.to("c:1");
    let outputs = desk.answer(owner, ack(1));
    assert!(outputs.contains(&Output::Hangup { attempt: c }), "{outputs:?}");
    assert_eq!(desk.session.attempt(), Some(owner));
    desk.report(2);
    desk.sent();
    let began = desk.now_ms;
    desk.pass();
    desk.pass();
    assert!(desk.now_ms - began >= 2 * SILENCE_MS, "it is given more time now");
}

#[test]
fn a_node_that_was_greeted_may_still_welcome_after_the_owner_spoke() {
    let (mut desk, owner) = Desk::silent();
    let c = desk.to("c:1");
    desk.connect(c);
    desk.answer(owner, NodeFrame::Pong { nonce: 0 });
    assert_eq!(desk.session.attempt(), Some(owner));
    desk.answer(c, welcome_as(2, &[]));
    assert_eq!(desk.session.attempt(), Some(c), "its session is newer");
    let (mut desk, owner) = Desk::silent();
    let c = desk.to("c:1");
    desk.connect(c);
    desk.answer(owner, NodeFrame::Pong { nonce: 0 });
    desk.answer(c, welcome_as(1, &[]));
    assert_eq!(desk.session.attempt(), Some(owner), "its session is older");
}

#[test]
fn who_still_names_the_silent_owner_is_asked_again() {
    let (mut desk, _) = Desk::silent();
    let c = desk.to("c:1");
    desk.connect(c);
    let outputs = desk.answer(c, redirect("a:1", 4));
    assert!(dialled(&outputs).is_empty(), "nobody dials the one that is silent: {outputs:?}");
    let mut asked = Vec::new();
    while asked.last().is_none_or(|last| last != "c:1") {
        asked.extend(desk.pass_to_dial());
        if asked.last().is_some_and(|last| last == "d:1") {
            let d = desk.to("d:1");
            desk.connect(d);
            desk.answer(d, redirect("a:1", 4));
        }
    }
    assert!(desk.now_ms < 2_000, "{asked:?} at {}", desk.now_ms);
    let c = desk.to("c:1");
    desk.connect(c);
    let outputs = desk.answer(c, redirect("d:1", 5));
    assert_eq!(dialled(&outputs), ["d:1"]);
}

#[test]
fn an_idle_node_is_pinged_and_left_when_it_is_gone() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.pass();
    assert!((PING_MS * 7 / 8..=PING_MS).contains(&desk.now_ms), "{}", desk.now_ms);
    assert!(matches!(desk.sent()[..], [DeviceFrame::Ping { .. }]));
    desk.frame(NodeFrame::Pong { nonce: 0 });
    desk.pass();
    desk.sent();
    let pinged = desk.now_ms;
    assert_eq!(dialled(&desk.pass()), ["c:1"]);
    assert_eq!(desk.now_ms - pinged, SILENCE_MS / 2);
}

#[test]
fn a_timer_that_rings_late_blames_nobody() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.report(1);
    desk.sent();
    desk.pass();
    desk.sent();
    desk.now_ms += 60_000;
    desk.session.handle_deadline(desk.now());
    assert!(dialled(&desk.outputs()).is_empty(), "this machine was asleep");
    assert!(matches!(desk.sent()[..], [DeviceFrame::Ping { .. }]));
    assert_eq!(desk.pass_to_dial(), ["c:1"]);
}

#[test]
fn the_only_node_is_given_time() {
    let mut options = options();
    options.addresses = Arc::from([Arc::from("a:1")]);
    let mut desk = Desk::with(options);
    let attempt = desk.attempt();
    desk.connect(attempt);
    desk.answer(attempt, welcome_as(1, &[]));
    desk.report(1);
    desk.sent();
    assert_eq!(desk.pass_to_dial(), ["a:1"]);
    assert_eq!(desk.now_ms, STALL_MS);
    assert!(desk.session.epoch().is_some(), "and kept until there is better");
}

#[test]
fn a_node_that_lives_and_takes_nothing_is_left_too() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.report(1);
    desk.sent();
    let owner = desk.attempt();
    while desk.dialling().len() == 1 {
        desk.pass();
        desk.sent_to(owner);
        desk.answer(owner, NodeFrame::Pong { nonce: 0 });
    }
    assert_eq!(desk.now_ms, STALL_MS);
}

#[test]
fn a_move_goes_on_over_the_connection_made_ahead() {
    let mut desk = Desk::new();
    desk.report(1);
    desk.open(0);
    let owner = desk.attempt();
    desk.sent();
    desk.frame(NodeFrame::PrepareMove { address: "n:1".to_owned() });
    while desk.dialling().len() == 1 {
        desk.pass();
        desk.answer(owner, NodeFrame::Pong { nonce: 0 });
    }
    let spare = desk.to("n:1");
    assert!(desk.connect(spare).is_empty(), "the hello is held back");
    assert_eq!(desk.session.attempt(), Some(owner));
    let moved = NodeFrame::Moved { address: "n:1".to_owned(), epoch: (2, 1) };
    let outputs = desk.answer(owner, moved);
    assert!(dialled(&outputs).is_empty(), "{outputs:?}");
    assert!(matches!(desk.sent_to(spare)[..], [DeviceFrame::Hello { .. }]), "at once");
    desk.answer(spare, welcome_as(2, &[]));
    assert_eq!(seqs(&desk.sent()), [1]);
    let outputs = desk.frame(ack(1));
    let Output::Event(Event::Rehomed(rehomed)) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!((rehomed.cause, &*rehomed.to), (Cause::Moved, "n:1"));
    assert_eq!(desk.session.ways().moves, 1);
}

#[test]
fn old_moves_and_redirects_are_not_followed() {
    let mut desk = Desk::new();
    let owner = desk.attempt();
    desk.open(0);
    desk.answer(owner, NodeFrame::Moved { address: "n:1".to_owned(), epoch: (5, 1) });
    let next = desk.to("n:1");
    desk.connect(next);
    desk.answer(next, welcome_as(2, &["c:1"]));
    let outputs = desk.frame(NodeFrame::Moved { address: "o:1".to_owned(), epoch: (4, 9) });
    assert!(outputs.is_empty(), "{outputs:?}");
    assert_eq!(desk.session.attempt(), Some(next));
    desk.lose();
    desk.pass_to_dial();
    let c = desk.to("c:1");
    desk.connect(c);
    let outputs = desk.answer(c, redirect("o:1", 4));
    assert!(!dialled(&outputs).contains(&"o:1"), "{outputs:?}");
}

#[test]
fn a_takeover_by_an_own_older_attempt_is_undone() {
    let (mut desk, _) = Desk::silent();
    let c = desk.to("c:1");
    desk.connect(c);
    desk.pass_to_dial();
    let d = desk.to("d:1");
    desk.connect(d);
    desk.answer(d, welcome_as(2, &["c:1"]));
    // The hello at c:1 reached an owner after the one at d:1.
    desk.answer(d, taken_over());
    assert!(desk.session.ended().is_none());
    assert_eq!(desk.pass_to_dial(), ["d:1"], "to the owner again");
    desk.open(0);
    desk.now_ms += RIVAL_MS;
    desk.frame(taken_over());
    assert!(desk.session.ended().is_some(), "that was somebody else");
}

#[test]
fn a_session_that_an_own_connection_superseded_goes_on_at_its_owner() {
    let mut desk = Desk::new();
    let owner = desk.dialling()[0].to_owned();
    desk.open(0);
    desk.frame(NodeFrame::Bye { reason: SUPERSEDED.to_owned(), reconnect: true });
    assert_eq!(desk.pass_to_dial(), [owner]);
}

#[test]
fn a_takeover_by_somebody_else_ends_it() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.frame(taken_over());
    assert!(desk.session.ended().is_some());
}

#[test]
fn who_has_no_room_is_given_time() {
    let mut options = options();
    options.addresses = Arc::from([Arc::from("a:1")]);
    for (retry_after_ms, loss, least) in
        [(Some(700), None, 700), (None, None, 250), (None, Some(Loss::Overload), 250)]
    {
        let mut desk = Desk::with(options.clone());
        let mut waits = Vec::new();
        for _ in 0..8 {
            let attempt = desk.attempt();
            match loss {
                Some(loss) => drop(desk.lose_one(attempt, loss)),
                None => {
                    desk.connect(attempt);
                    let (reason, message) = (RefusedReason::Busy, String::new());
                    let refused = NodeFrame::Refused { reason, message, retry_after_ms };
                    desk.answer(attempt, refused);
                }
            }
            let before = desk.now_ms;
            desk.pass_to_dial();
            waits.push(desk.now_ms - before);
        }
        assert!(waits.iter().all(|wait| *wait >= least), "{waits:?}");
        assert!(waits[7] > 4_000 && waits[7] < 60_000, "it waits longer and longer: {waits:?}");
    }
}

#[test]
fn one_that_is_busy_for_long_does_not_keep_the_device_from_others() {
    let mut desk = Desk::new();
    let attempt = desk.attempt();
    let busy = desk.dialling()[0].to_owned();
    desk.connect(attempt);
    let (reason, message) = (RefusedReason::Busy, String::new());
    desk.frame(NodeFrame::Refused { reason, message, retry_after_ms: Some(60_000) });
    assert_ne!(desk.pass_to_dial(), [busy]);
    assert!(desk.now_ms < 1_000, "{}", desk.now_ms);
}

#[test]
fn a_device_that_rests_is_not_without_an_owner() {
    let mut desk = Desk::new();
    desk.open(0);
    desk.lose();
    desk.pass_to_dial();
    desk.open(0);
    desk.now_ms += 5_000;
    desk.report(1);
    desk.sent();
    desk.now_ms += 7;
    let outputs = desk.frame(ack(1));
    let Output::Event(Event::Rehomed(rehomed)) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(rehomed.took, ms(7), "only the report has waited");
}

#[test]
fn a_slow_owner_is_not_searched_for_all_the_time() {
    let mut desk = Desk::new();
    let owner = desk.attempt();
    desk.connect(owner);
    desk.answer(owner, welcome_as(1, &["c:1", "d:1"]));
    for seq in 1..=60 {
        desk.report(u32::try_from(seq).unwrap());
        desk.sent_to(owner);
        let answers_at = desk.now_ms + 900;
        while let Some(due) = desk.session.next_deadline().filter(|due| *due <= ms(answers_at)) {
            desk.now_ms = u64::try_from(due.as_millis()).unwrap();
            desk.pass();
            desk.sent_to(owner);
            // The others answer at once that it owns the shard still.
            for (attempt, _) in desk.lines.clone().into_iter().filter(|(line, _)| *line != owner) {
                desk.connect(attempt);
                desk.answer(attempt, redirect("a:1", 3));
            }
        }
        desk.now_ms = answers_at;
        desk.answer(owner, ack(seq));
        assert_eq!(desk.session.attempt(), Some(owner));
    }
    let ways = desk.session.ways();
    assert!(ways.silences <= 2 && ways.dials <= 10, "{ways:?} in a minute");
}

/// Nodes that send each other's devices around, as fast as they can.
#[test]
fn nodes_gone_mad_do_not_make_a_device_spin() {
    let mut desk = Desk::new();
    let mut epoch = 0;
    for _ in 0..2_000 {
        desk.outputs();
        assert!(desk.lines.len() <= RACE_MAX + 1, "{:?}", desk.lines);
        let Some((attempt, _)) = desk.lines.last().cloned() else {
            desk.pass();
            continue;
        };
        desk.connect(attempt);
        epoch += 1;
        let to = format!("x:{}", epoch % 5);
        let frame = match epoch % 4 {
            0 => welcome_as(epoch, &["c:1", "d:1"]),
            1 => NodeFrame::Moved { address: to, epoch: (epoch, 1) },
            2 => redirect(&to, epoch),
            _ => NodeFrame::Bye { reason: "mad".to_owned(), reconnect: true },
        };
        desk.answer(attempt, frame);
        let allowed = DIALS_BURST + desk.now_ms / DIAL_EVERY_MS + 1;
        assert!(desk.session.ways().dials <= allowed, "at {} ms", desk.now_ms);
    }
    assert!(desk.now_ms > 10_000);
}

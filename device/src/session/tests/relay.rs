//! Owners that cannot be dialled, by scripts: when a node is asked to relay, what its answers lead to, and
//! how the device comes back to its owner.

use super::*;
use crate::limits::{UNREACHABLE_MS, UNREACHABLE_MS_MAX};

const OWNER: &str = "x:1";

fn to_owner() -> NodeFrame {
    NodeFrame::Redirect { address: OWNER.to_owned(), epoch: (1, 1) }
}

fn asks(address: &str) -> DeviceFrame {
    DeviceFrame::Relay { unreachable: vec![address.to_owned()] }
}

fn welcome_as(session: u64) -> NodeFrame {
    let mut frame = welcome(0);
    if let NodeFrame::Welcome { session: epoch, replicas, .. } = &mut frame {
        (*epoch, *replicas) = (session, Vec::new());
    }
    frame
}

fn refused() -> NodeFrame {
    let (message, retry_after_ms) = ("bytes are not a frame of this protocol".to_owned(), None);
    NodeFrame::Refused { reason: RefusedReason::Invalid, message, retry_after_ms }
}

impl Desk {
    /// a:1 has sent the device to its owner, who did not answer.
    fn sent_in_vain() -> Self {
        let mut desk = Self::new();
        let first = desk.attempt();
        assert!(matches!(desk.connect(first)[..], [DeviceFrame::Hello { .. }]));
        assert_eq!(dialled(&desk.frame(to_owner())), [OWNER]);
        let owner = desk.to(OWNER);
        desk.lose_one(owner, Loss::Broken);
        desk
    }

    /// The next node that is dialled stands: who it is, and what is said to it.
    fn next(&mut self) -> (String, Vec<DeviceFrame>) {
        let address = self.pass_to_dial().remove(0);
        let attempt = self.to(&address);
        (address, self.connect(attempt))
    }

    /// The session is relayed.
    fn relayed() -> Self {
        let mut desk = Self::sent_in_vain();
        let (_, said) = desk.next();
        assert!(matches!(&said[..], [first, DeviceFrame::Hello { .. }] if *first == asks(OWNER)));
        desk.frame(welcome_as(1));
        assert_eq!(desk.session.epoch(), Some(1));
        desk
    }

    /// Lets time pass until the owner is dialled beside the session, which stays alive.
    fn pass_to_owner(&mut self) -> u64 {
        for _ in 0..2_000 {
            if dialled(&self.pass()) == [OWNER] {
                return self.to(OWNER);
            }
            let carrier = self.attempt();
            self.sent();
            self.input(Input::Frame { attempt: carrier, frame: NodeFrame::Pong { nonce: 0 } });
        }
        panic!("the owner is not dialled again");
    }
}

#[test]
fn a_node_is_asked_to_relay_when_the_owner_did_not_answer() {
    let mut desk = Desk::relayed();
    desk.report(1);
    assert_eq!(seqs(&desk.sent()), [1]);
    // The next time at once, whoever is asked.
    desk.lose();
    let (address, said) = desk.next();
    assert_ne!(address, OWNER);
    assert!(said.contains(&asks(OWNER)), "{said:?}");
}

#[test]
fn an_owner_that_takes_too_long_is_one_that_does_not_answer() {
    let mut desk = Desk::new();
    desk.connect(1);
    desk.frame(to_owner());
    let mut said = Vec::new();
    while said.is_empty() {
        for address in desk.pass_to_dial() {
            let attempt = desk.to(&address);
            if address != OWNER {
                said = desk.connect(attempt);
                said.retain(|frame| matches!(frame, DeviceFrame::Relay { .. }));
                desk.input(Input::Frame { attempt, frame: to_owner() });
            }
        }
        assert!(desk.now_ms < 3 * DIAL_MS, "nobody is asked to relay");
    }
    assert_eq!(said, [asks(OWNER)]);
    assert!(desk.now_ms >= DIAL_MS);
}

#[test]
fn who_was_dialled_by_itself_is_not_asked_for() {
    let mut desk = Desk::new();
    desk.lose();
    let (_, said) = desk.next();
    assert!(matches!(said[..], [DeviceFrame::Hello { .. }]), "{said:?}");
}

#[test]
fn a_node_that_knows_nothing_of_relaying_is_greeted_as_before() {
    let mut desk = Desk::sent_in_vain();
    let (mut asked, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let (address, said) = desk.next();
        if address == OWNER {
            assert_eq!(plain, asked, "each was greeted without it");
            return;
        }
        let answer = if said.contains(&asks(OWNER)) {
            asked.push(address);
            refused()
        } else {
            plain.push(address);
            to_owner()
        };
        let outputs = desk.frame(answer);
        let ended = |output: &_| matches!(output, Output::Event(Event::Ended { .. }));
        assert!(!outputs.iter().any(ended), "{outputs:?}");
    }
    panic!("the owner is not tried again: {asked:?}, {plain:?}");
}

#[test]
fn a_refusal_that_is_lost_on_the_way_means_the_same() {
    let mut desk = Desk::sent_in_vain();
    let (address, _) = desk.next();
    let attempt = desk.to(&address);
    desk.lose_one(attempt, Loss::Protocol);
    let mut asked = Vec::new();
    while !asked.contains(&address) {
        let (next, said) = desk.next();
        assert_eq!(said.contains(&asks(OWNER)), next != address);
        asked.push(next);
        assert!(asked.len() < 4, "{address} is not greeted again: {asked:?}");
    }
}

#[test]
fn a_node_that_does_not_relay_is_left_for_one_that_does() {
    let mut desk = Desk::sent_in_vain();
    let (first, _) = desk.next();
    desk.frame(to_owner());
    let (second, said) = desk.next();
    assert!(
        second != first && second != OWNER && said.contains(&asks(OWNER)),
        "{second}: {said:?}"
    );
    let mut dialled = Vec::new();
    while dialled.last().is_none_or(|last| last != OWNER) {
        desk.frame(to_owner());
        dialled.push(desk.next().0);
        assert!(dialled.len() < 6, "nobody relays, and the owner is not tried again: {dialled:?}");
    }
}

#[test]
fn an_owner_that_can_be_dialled_again_takes_the_session() {
    let mut desk = Desk::relayed();
    let relay = desk.attempt();
    let probe = desk.pass_to_owner();
    assert!((UNREACHABLE_MS / 2..=2 * UNREACHABLE_MS).contains(&desk.now_ms), "{}", desk.now_ms);
    assert_eq!(desk.session.attempt(), Some(relay), "the session goes on meanwhile");
    assert!(matches!(desk.connect(probe)[..], [DeviceFrame::Hello { .. }]));
    let outputs = desk.input(Input::Frame { attempt: probe, frame: welcome_as(2) });
    assert!(outputs.contains(&Output::Hangup { attempt: relay }), "{outputs:?}");
    assert_eq!(desk.session.attempt(), Some(probe));
    desk.lose();
    let (_, said) = desk.next();
    assert!(matches!(said[..], [DeviceFrame::Hello { .. }]), "it is forgotten: {said:?}");
}

#[test]
fn an_owner_that_stays_unreachable_is_dialled_ever_less_often() {
    let mut desk = Desk::relayed();
    let relay = desk.attempt();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let began = desk.now_ms;
        let probe = desk.pass_to_owner();
        waits.push(desk.now_ms - began);
        desk.lose_one(probe, Loss::Broken);
        assert_eq!(desk.session.attempt(), Some(relay));
    }
    assert!(waits[7] >= UNREACHABLE_MS_MAX / 2 && waits[7] <= 2 * UNREACHABLE_MS_MAX, "{waits:?}");
}

#[test]
fn an_owner_that_owns_no_more_only_says_so() {
    let mut desk = Desk::relayed();
    let relay = desk.attempt();
    let probe = desk.pass_to_owner();
    desk.connect(probe);
    let elsewhere = NodeFrame::Redirect { address: "b:1".to_owned(), epoch: (2, 1) };
    let outputs = desk.input(Input::Frame { attempt: probe, frame: elsewhere });
    assert_eq!(outputs, [Output::Hangup { attempt: probe }]);
    assert_eq!(desk.session.attempt(), Some(relay));
}

#[test]
fn a_move_to_where_nobody_answers_is_followed_through_the_node_that_is_there() {
    let mut desk = Desk::relayed();
    let here = desk.dialling()[0].to_owned();
    assert!(desk.frame(NodeFrame::PrepareMove { address: OWNER.to_owned() }).is_empty());
    let outputs = desk.frame(NodeFrame::Moved { address: OWNER.to_owned(), epoch: (2, 1) });
    assert_eq!(dialled(&outputs), [&*here], "at once");
    let attempt = desk.to(&here);
    assert!(desk.connect(attempt).contains(&asks(OWNER)));
}

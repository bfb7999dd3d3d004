//! Whole states for replicas that the log no longer reaches: the table's picture, taken a little at a
//! time while entries are applied, sent, and put in the place of what there was.

use std::sync::Arc;

use pollux_runtime::watch::Ring;
use pollux_twin::TwinKey;
use pollux_twin::table::{Fence, Header, PictureId};

use super::World;
use super::consensus::{Message, Place};
use super::host::number;
use super::judge::Seen;
use super::mutant::Mutant;
use super::node::RING_BYTES;
use super::sim::Event;
use super::store::restore;

/// Bytes taken of a picture in one go: an image or two.
const PIECE_BYTES: usize = 600;

/// A state as it goes over the wire.
pub(super) type State = (Place, [u8; Header::BYTES], super::consensus::Images);

/// A state that is being taken, to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    picture: PictureId,
    place: Place,
    images: Vec<(TwinKey, Arc<[u8]>)>,
}

impl World {
    /// The log no longer reaches a follower: it will get a state.
    pub(super) fn begin_state(&mut self, host: usize, to: usize) {
        let own = &mut self.hosts[host];
        let Some(node) = &mut own.node else { return };
        if node.states.contains_key(&to) {
            return;
        }
        let Some(place) = own.log.place(node.table.index()) else { return };
        let Some(picture) = node.table.begin_picture() else { return };
        node.states.insert(to, Outgoing { picture, place, images: Vec::new() });
        let boot = node.boot;
        self.sim.after(1, Event::StateGoesOn { host, boot, to });
    }

    /// The next images of a state; it is sent when it has all.
    pub(super) fn state_goes_on(&mut self, host: usize, boot: u64, to: usize) {
        let pause = self.sim.chance.between(1, 12);
        let mislabels = self.mutant == Mutant::MislabelsState;
        let Some(node) = self.running(host, boot) else { return };
        let Some(state) = node.states.get_mut(&to) else { return };
        match node.table.take_picture(state.picture, PIECE_BYTES) {
            Ok(Some(images)) => {
                state.images.extend(images);
                return self.sim.after(pause, Event::StateGoesOn { host, boot, to });
            }
            Ok(None) => {}
            // Another state took this one's place in between.
            Err(_) => {
                node.states.remove(&to);
                return;
            }
        }
        let Some(mut state) = node.states.remove(&to) else { return };
        let mut header = node.table.end_picture(state.picture).expect("it was taken to its end");
        if mislabels && let Some(place) = self.hosts[host].log.place(self.applied(host)) {
            state.place = place;
            (header.index, header.fence) = (place.index, self.fence(host));
        }
        let Outgoing { place, images, .. } = state;
        let Some(node) = self.running(host, boot) else { return };
        let term = node.consensus.ballot.term;
        if node.consensus.leads() {
            let (header, images) = (header.to_bytes(), Arc::new(images));
            self.post(host, number(to), Message::State { term, place, header, images });
        }
    }

    fn applied(&self, host: usize) -> u64 {
        self.hosts[host].node.as_ref().map_or(0, |node| node.table.index())
    }

    fn fence(&self, host: usize) -> Fence {
        self.hosts[host].node.as_ref().map_or_else(Fence::default, |node| node.table.fence())
    }

    /// A state arrives; writing it takes its time.
    pub(super) fn state_arrives(&mut self, host: usize, state: State) {
        let Some(node) = &self.hosts[host].node else { return };
        let boot = node.boot;
        let takes = self.sim.chance.between(1, 80);
        self.sim.after(takes, Event::StateIsIn { host, boot, state });
    }

    /// A state is on the disk, as a whole: it takes the place of what there was.
    pub(super) fn state_is_in(&mut self, host: usize, boot: u64, state: State) {
        let (place, header, images) = state;
        let own = &mut self.hosts[host];
        let Some(node) = own.node.as_mut().filter(|node| node.boot == boot) else { return };
        let known = own.log.place(place.index) == Some(place);
        if known || place.index <= node.consensus.commit || node.consensus.leads() {
            return;
        }
        let header = Header::from_bytes(&header).expect("the network harms nothing");
        let images = images.iter().cloned().collect();
        node.table = restore(&header, &images);
        node.ring = Ring::new(place.index, RING_BYTES);
        node.states.clear();
        node.cutting = None;
        node.applying = place.index;
        node.was_whole = false;
        own.log.reset(place);
        node.consensus.installed(place.index, &own.log);
        own.store.replace(header, images);
        self.installs += 1;
        let images = &own.store.images;
        self.judge.see(&Seen::Checkpointed { header, images });
        self.pump(host);
    }
}

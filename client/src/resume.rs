//! How a watch goes on after its stream broke: where, and which of the events that come again were told already.
//!
//! Nodes tell events at least once: what followed the last position comes again. Which that is is known here, because
//! the events of a device come in the same order each time.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use pollux_proto::v1;
use pollux_proto::v1::watch_response::Event;
use prost::Message;

use crate::limits::REMEMBERED_MAX;

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) position: String,
    pub(crate) picture: bool,
}

/// What a stream that was opened has to tell before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Nothing.
    Goes,
    /// What was told before is no whole picture, or nobody can say what came in between: forget it, the whole
    /// picture follows.
    Anew,
}

/// Tenant and device.
type Whose = (String, String);
/// Events by a hash of each, in order.
type Told = HashMap<Whose, VecDeque<u64>>;

/// The place of one watch.
#[derive(Debug)]
pub(crate) struct Resume {
    position: String,
    picture: bool,
    opened: bool,
    /// A picture is due or under way: a part of one is nothing to go on from.
    drawing: bool,
    /// Told since the last position, and of them, what the new stream is to tell again.
    told: Told,
    again: Told,
    count: usize,
}

impl Resume {
    pub(crate) fn new(position: String, picture: bool) -> Self {
        let drawing = picture && position.is_empty();
        let (told, again) = Default::default();
        Self { position, picture, opened: false, drawing, told, again, count: 0 }
    }

    /// Where to go on after what was told; empty while that is not known.
    pub(crate) fn position(&self) -> &str {
        &self.position
    }

    /// What to ask a node for now.
    pub(crate) fn opening(&self) -> Opening {
        if self.opened && !self.goes_on() {
            return Opening { position: String::new(), picture: true };
        }
        Opening { position: self.position.clone(), picture: self.picture }
    }

    /// The node agreed.
    pub(crate) fn opened(&mut self) -> Opened {
        if !std::mem::replace(&mut self.opened, true) {
            return Opened::Goes;
        }
        if !self.goes_on() {
            self.forget();
            self.drawing = true;
            return Opened::Anew;
        }
        for (whose, mut told) in std::mem::take(&mut self.told) {
            told.extend(self.again.remove(&whose).unwrap_or_default());
            self.again.insert(whose, told);
        }
        Opened::Goes
    }

    /// Takes an event that came; whether it is news.
    pub(crate) fn take(&mut self, response: &v1::WatchResponse) -> bool {
        let news = match &response.event {
            Some(Event::PositionLost(_)) => {
                self.forget();
                self.drawing = true;
                true
            }
            Some(Event::PictureComplete(_)) => {
                self.drawing = false;
                true
            }
            Some(Event::Changed(changed)) => self.change(changed, response.position.is_empty()),
            _ => true,
        };
        if !response.position.is_empty() && !self.drawing {
            self.position.clone_from(&response.position);
            self.told.clear();
            self.count = self.again.values().map(VecDeque::len).sum();
        }
        news
    }

    fn change(&mut self, changed: &v1::Changed, keep: bool) -> bool {
        let whose = (changed.tenant.clone(), changed.device.clone());
        let mut hasher = DefaultHasher::new();
        changed.encode_to_vec().hash(&mut hasher);
        let print = hasher.finish();
        let mut news = true;
        if let Some(again) = self.again.get_mut(&whose) {
            match again.front() {
                Some(first) if *first == print => {
                    again.pop_front();
                    self.count -= 1;
                    news = false;
                }
                // Not as it was told: rather twice than not at all.
                Some(_) => {
                    self.count -= again.len();
                    self.again.remove(&whose);
                }
                None => drop(self.again.remove(&whose)),
            }
        }
        if keep && self.count < REMEMBERED_MAX {
            self.told.entry(whose).or_default().push_back(print);
            self.count += 1;
        }
        news
    }

    const fn goes_on(&self) -> bool {
        !self.position.is_empty() && !self.drawing
    }

    fn forget(&mut self) {
        self.told.clear();
        self.again.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(position: &str, event: Event) -> v1::WatchResponse {
        v1::WatchResponse { position: position.into(), event: Some(event), shard: None }
    }

    fn change(device: &str, version: u64, position: &str) -> v1::WatchResponse {
        let changed = v1::Changed { device: device.into(), version, ..Default::default() };
        response(position, Event::Changed(changed))
    }

    fn progress(position: &str) -> v1::WatchResponse {
        response(position, Event::Progress(v1::Progress {}))
    }

    /// The changes among these that are news.
    fn news(resume: &mut Resume, events: &[v1::WatchResponse]) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for event in events {
            if resume.take(event)
                && let Some(Event::Changed(changed)) = &event.event
            {
                found.push((changed.device.clone(), changed.version));
            }
        }
        found
    }

    fn of(all: &[(&str, u64)]) -> Vec<(String, u64)> {
        all.iter().map(|(device, version)| ((*device).to_owned(), *version)).collect()
    }

    fn reopen(resume: &mut Resume) -> String {
        let opening = resume.opening();
        assert_eq!(resume.opened(), Opened::Goes);
        opening.position
    }

    #[test]
    fn what_comes_again_after_a_break_is_told_once() {
        let mut resume = Resume::new(String::new(), false);
        assert_eq!(reopen(&mut resume), "");
        let first = [progress("p1"), change("a", 1, ""), change("b", 1, ""), change("a", 2, "")];
        assert_eq!(news(&mut resume, &first), of(&[("a", 1), ("b", 1), ("a", 2)]));
        assert_eq!(reopen(&mut resume), "p1");
        // Another order across devices, and a break in the middle.
        assert_eq!(news(&mut resume, &[change("b", 1, ""), change("a", 1, "p2")]), of(&[]));
        assert_eq!(reopen(&mut resume), "p2");
        let rest = [change("a", 2, ""), change("b", 2, ""), change("a", 3, "")];
        assert_eq!(news(&mut resume, &rest), of(&[("b", 2), ("a", 3)]));
    }

    #[test]
    fn breaks_one_after_the_other_forget_nothing() {
        let mut resume = Resume::new("p0".into(), false);
        reopen(&mut resume);
        let three = [change("a", 1, ""), change("a", 2, ""), change("a", 3, "")];
        assert_eq!(news(&mut resume, &three).len(), 3);
        reopen(&mut resume);
        assert_eq!(news(&mut resume, &three[..1]), of(&[]));
        reopen(&mut resume);
        reopen(&mut resume);
        assert_eq!(news(&mut resume, &three), of(&[]));
        assert_eq!(news(&mut resume, &[change("a", 4, "")]), of(&[("a", 4)]));
    }

    #[test]
    fn another_order_of_one_device_is_told_rather_twice_than_not() {
        let mut resume = Resume::new("p0".into(), false);
        reopen(&mut resume);
        news(&mut resume, &[change("a", 1, ""), change("a", 2, "")]);
        reopen(&mut resume);
        let other = [change("a", 2, ""), change("a", 3, "")];
        assert_eq!(news(&mut resume, &other), of(&[("a", 2), ("a", 3)]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut resume = Resume::new("p0".into(), false);
        reopen(&mut resume);
        let most = REMEMBERED_MAX as u64;
        let all: Vec<_> = (0..most + 2).map(|version| change("a", version, "")).collect();
        news(&mut resume, &all);
        assert_eq!(resume.count, REMEMBERED_MAX);
        reopen(&mut resume);
        assert_eq!(news(&mut resume, &all), of(&[("a", most), ("a", most + 1)]));
    }

    #[test]
    fn half_a_picture_begins_anew_and_says_so() {
        let mut resume = Resume::new(String::new(), true);
        let picture = Opening { position: String::new(), picture: true };
        assert_eq!((resume.opening(), resume.opened()), (picture.clone(), Opened::Goes));
        let part = response("", Event::Twin(v1::Twin::default()));
        assert!(resume.take(&part));
        assert_eq!((resume.opening(), resume.opened()), (picture, Opened::Anew));
        let done = response("p1", Event::PictureComplete(v1::PictureComplete {}));
        assert!(resume.take(&part) && resume.take(&done));
        assert_eq!(reopen(&mut resume), "p1");
    }

    #[test]
    fn a_watch_without_a_place_to_go_on_from_shows_everything() {
        let mut resume = Resume::new(String::new(), false);
        assert_eq!(resume.opening(), resume.opening(), "an opening that failed is none");
        reopen(&mut resume);
        assert!(resume.opening().picture);
        assert_eq!(resume.opened(), Opened::Anew);
    }

    #[test]
    fn a_lost_position_forgets_what_was_told() {
        let mut resume = Resume::new("p0".into(), false);
        reopen(&mut resume);
        news(&mut resume, &[change("a", 1, "")]);
        reopen(&mut resume);
        let lost = response("", Event::PositionLost(v1::PositionLost {}));
        assert_eq!(news(&mut resume, &[lost, change("a", 1, "")]), of(&[("a", 1)]));
        assert!(resume.opening().picture);
    }
}

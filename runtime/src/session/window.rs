//! How many devices may be about to answer at once, by how those before them answered: as congestion control has it for
//! one connection, but for all of a node. Pure.

use crate::limits::{
    PUSH_ANSWERS, PUSHES_FIRST_PER_CORE, PUSHES_LEAST_PER_CORE, PUSHES_MOST_PER_CORE,
};

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The device answered in time.
    Answered,
    /// It did not.
    Late,
    /// It left before.
    Left,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    least: usize,
    most: usize,
    /// Of a turn, in parts of [`PUSH_ANSWERS`].
    max: usize,
    under_way: usize,
}

impl Window {
    /// For a machine with so many cores.
    pub(super) fn new(cores: usize) -> Self {
        let turns = |per_core: usize| cores.saturating_mul(per_core).saturating_mul(PUSH_ANSWERS);
        Self {
            least: turns(PUSHES_LEAST_PER_CORE),
            most: turns(PUSHES_MOST_PER_CORE),
            max: turns(PUSHES_FIRST_PER_CORE),
            under_way: 0,
        }
    }

    /// Whether one more turn may begin; it is counted then.
    pub(super) const fn begin(&mut self) -> bool {
        let room = self.under_way < self.max / PUSH_ANSWERS;
        if room {
            self.under_way += 1;
        }
        room
    }

    /// A turn is over.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.under_way = self.under_way.saturating_sub(1);
        self.max = match outcome {
            Outcome::Answered => (self.max + 1).min(self.most),
            Outcome::Late => self.max.saturating_sub(PUSH_ANSWERS).max(self.least),
            Outcome::Left => self.max,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins what may begin: how much was that?
    fn fill(window: &mut Window) -> usize {
        std::iter::from_fn(|| window.begin().then_some(())).count()
    }

    fn end(window: &mut Window, count: usize, outcome: Outcome) {
        (0..count).for_each(|_| window.end(outcome));
    }

    #[test]
    fn it_widens_with_answers_and_narrows_without() {
        let mut window = Window::new(1);
        let mut turns = fill(&mut window);
        assert_eq!(turns, PUSHES_FIRST_PER_CORE);
        for _ in 0..100 {
            end(&mut window, turns, Outcome::Answered);
            let more = fill(&mut window);
            assert!((turns..=turns + turns / PUSH_ANSWERS + 1).contains(&more), "{turns} {more}");
            turns = more;
        }
        assert_eq!(turns, PUSHES_MOST_PER_CORE);
        end(&mut window, turns, Outcome::Left);
        assert_eq!(fill(&mut window), turns, "who leaves says nothing");
        end(&mut window, turns, Outcome::Late);
        assert_eq!(fill(&mut window), PUSHES_LEAST_PER_CORE);
    }

    #[test]
    fn a_few_silent_devices_do_not_narrow_it() {
        let mut window = Window::new(1);
        let turns = fill(&mut window);
        for _ in 0..20 {
            end(&mut window, turns / 16, Outcome::Late);
            end(&mut window, turns - turns / 16, Outcome::Answered);
            assert!(fill(&mut window) >= turns);
            let more = window.under_way - turns;
            end(&mut window, more, Outcome::Left);
        }
    }
}

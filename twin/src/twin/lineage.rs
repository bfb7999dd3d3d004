//! A twin in the next life of its cluster: what may have been given and lost is not given again.

use super::Twin;
use crate::change::CommandState;

impl Twin {
    /// The twin of a device that nobody spoke of in this lineage, whose numbers begin above `floor`.
    pub fn absent_above(floor: u64) -> Self {
        let mut twin = Self::absent();
        twin.raise(floor);
        twin
    }

    /// The twin goes on where changes after it may have been acknowledged and lost. Its numbers jump, so
    /// that no version, session or command id stands for two things. A command that waits for its device
    /// may have been pushed in what is lost: it is asked about and not pushed again (safety rule 14).
    pub fn next_life(&mut self, jump: u64) {
        self.raise(jump);
        // What the cluster agreed on of types may be lost with it.
        if let Some(known) = self.registration.as_mut().and_then(|entry| entry.of_type.as_mut()) {
            known.version = 0;
        }
        let session = self.session.epoch;
        for command in &mut self.commands {
            if command.state == CommandState::Queued {
                command.state = CommandState::Delivering { session };
            }
        }
    }

    fn raise(&mut self, by: u64) {
        self.wake();
        let document = &mut self.document;
        let acked = self.desired_acked.as_mut().map(|acked| &mut acked.version);
        let numbers = [
            &mut self.version,
            &mut document.tags.version,
            &mut document.desired.version,
            &mut document.reported.version,
            &mut self.session.epoch,
            &mut self.command_last,
        ];
        for number in numbers.into_iter().chain(acked) {
            *number = number.saturating_add(by);
        }
    }
}

//! The connections that are made for a session or ahead of a move, until one of them carries it.
//! Which to make, and what their answers mean, is the session's.

use std::sync::Arc;
use std::time::Duration;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection is being made, since then.
    Dialling { since: Duration },
    /// It stands, and the hello is held back: the shard has not moved yet.
    Standing,
    /// It stands, and the hello is to be written.
    Hello,
    /// The hello is out.
    Greeting,
}

/// What a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A session now.
    Session,
    /// A session after a move.
    Move,
    /// To see whether an owner can be dialled again, while a session is open.
    Probe,
}

#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) address: Arc<str>,
    pub(crate) purpose: Purpose,
    pub(crate) stage: Stage,
    /// When it has taken too long.
    pub(crate) until: Duration,
    /// Whether its hello asks to be relayed.
    pub(crate) asked: bool,
}

impl Attempt {
    /// Whether a node may act on its hello without us hearing of it.
    pub(crate) const fn is_greeting(&self) -> bool {
        matches!(self.stage, Stage::Greeting)
    }

    /// Whether nobody has answered yet.
    pub(crate) const fn is_dialling(&self) -> bool {
        matches!(self.stage, Stage::Dialling { .. })
    }
}

/// All attempts under way: bounded by the race, one ahead of a move, and redirects.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    all: Vec<Attempt>,
    made: u64,
}

impl Attempts {
    /// Begins an attempt; returns its number.
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        address: &Arc<str>,
        purpose: Purpose,
        until: Duration,
    ) -> u64 {
        self.made += 1;
        let (id, address) = (self.made, Arc::clone(address));
        let stage = Stage::Dialling { since: now };
        self.all.push(Attempt { id, address, purpose, stage, until, asked: false });
        id
    }

    pub(crate) fn find(&mut self, id: u64) -> Option<&mut Attempt> {
        self.all.iter_mut().find(|attempt| attempt.id == id)
    }

    pub(crate) fn to(&mut self, address: &str) -> Option<&mut Attempt> {
        self.all.iter_mut().find(|attempt| *attempt.address == *address)
    }

    /// Whether an attempt for a session now goes there.
    pub(crate) fn races(&self, address: &str) -> bool {
        let for_session = |attempt: &Attempt| attempt.purpose == Purpose::Session;
        self.all.iter().any(|attempt| for_session(attempt) && *attempt.address == *address)
    }

    /// Where a connection was made ahead of a move.
    pub(crate) fn prepared(&self) -> Option<&Arc<str>> {
        let ahead = self.all.iter().find(|attempt| attempt.purpose == Purpose::Move);
        ahead.map(|attempt| &attempt.address)
    }

    pub(crate) fn has(&self, address: &str) -> bool {
        self.all.iter().any(|attempt| *attempt.address == *address)
    }

    pub(crate) fn take(&mut self, id: u64) -> Option<Attempt> {
        let at = self.all.iter().position(|attempt| attempt.id == id)?;
        let taken = self.all.swap_remove(at);
        self.shrink();
        Some(taken)
    }

    /// Takes those for which `ends` holds.
    pub(crate) fn take_if(&mut self, ends: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        let taken = self.all.extract_if(.., |attempt| ends(attempt)).collect();
        self.shrink();
        taken
    }

    /// Whether a hello is out whose answer is still to come.
    pub(crate) fn any_greeting(&self) -> bool {
        self.all.iter().any(Attempt::is_greeting)
    }

    /// The hello of an attempt is written.
    pub(crate) fn greeted(&mut self, id: u64) -> bool {
        match self.find(id) {
            Some(attempt) if attempt.stage == Stage::Hello => {
                attempt.stage = Stage::Greeting;
                true
            }
            _ => false,
        }
    }

    /// Attempts for a session now.
    pub(crate) fn racing(&self) -> usize {
        self.all.iter().filter(|attempt| attempt.purpose == Purpose::Session).count()
    }

    /// Whether a node has the hello, or will at once.
    pub(crate) fn any_held(&self) -> bool {
        self.all.iter().any(|attempt| matches!(attempt.stage, Stage::Hello | Stage::Greeting))
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.all.iter().map(|attempt| attempt.until).min()
    }

    /// An idle device keeps no room for them: there are very many of them.
    fn shrink(&mut self) {
        if self.all.is_empty() {
            self.all = Vec::new();
        }
    }
}

//! The end of a session whose device came by a credential that has expired. Who comes is asked in `register`.

use super::Twin;
use crate::output::ByeReason;
use crate::registration::Credential;
use crate::rejection::Rejection;
use crate::time::Time;

impl Twin {
    /// When the credential by which the device of the current session came expires.
    pub(super) fn session_expires(&self) -> Option<Time> {
        self.session_credential()?.expires
    }

    /// Ends the session if it is past that: it lasts no longer than a new one would be let in.
    pub(super) fn expire_session(&mut self, now: Time) {
        let Some(session) = self.live_session() else { return };
        let Some(credential) = self.session_credential() else { return };
        if credential.expires.is_none_or(|end| end > now) {
            return;
        }
        let reason = match self.local.shown {
            Some(_) => {
                let expired = Some(credential.name.clone());
                ByeReason::Refused(Rejection::BadCredential { expired })
            }
            None => ByeReason::ProveAgain,
        };
        self.end_session(now, session, reason);
    }

    /// The credential by which the device of the current session came. Where another actor opened the session it may
    /// have been any, so it is the one that expires first of those that did not before.
    fn session_credential(&self) -> Option<&Credential> {
        self.live_session()?;
        let entry = self.registration()?;
        match self.local.shown {
            Some(shown) => entry.credential(shown),
            None => {
                let since = self.session.since;
                let later = |one: &&Credential| one.expires.is_some_and(|end| end > since);
                entry.credentials.iter().filter(later).min_by_key(|one| one.expires)
            }
        }
    }
}

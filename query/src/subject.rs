//! The twin that an expression is evaluated on.

use std::rc::Rc;

use pollux_twin::change::Section;
use pollux_twin::image::{Glance, ImageError};
use pollux_twin::patch::delta;
use pollux_twin::value::Object;
use pollux_twin::{Time, TwinKey};

use crate::expr::{Meta, Of, Presence, Root};
use crate::value::Val;

/// A living twin, as its image shows it.
pub struct Subject<'a> {
    tenant: &'a str,
    device: &'a str,
    glance: Glance<'a>,
    moment: Moment,
}

/// What is the same for all twins that one query looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moment {
    now: Time,
    opened: Time,
}

impl<'a> Subject<'a> {
    /// Looks at a twin. `now` is the expression's `now`; a session that was last heard of before
    /// `opened`, when the shard's owner began, may be gone.
    pub fn of(
        key: &'a TwinKey,
        image: &'a [u8],
        now: Time,
        opened: Time,
    ) -> Result<Self, ImageError> {
        let moment = Moment { now, opened };
        let (tenant, device) = (key.tenant(), key.device());
        Ok(Self { tenant, device, glance: Glance::of(image)?, moment })
    }

    /// What a path begins with, and whether it goes on from there by name.
    pub(crate) fn root(&self, root: Root) -> Option<Val<'a>> {
        let time = |time: Time| Val::Time(i64::try_from(time.ms).unwrap_or(i64::MAX));
        let content = |which| Some(Val::Object(self.glance.section(which)?.content));
        Some(match root {
            Root::Id => Val::text(self.device),
            Root::Tenant => Val::text(self.tenant),
            Root::Version => Val::uint(self.glance.version()),
            Root::Tags => content(Section::Tags)?,
            Root::Desired => content(Section::Desired)?,
            Root::Reported => content(Section::Reported)?,
            Root::Telemetry => return None,
            Root::Now => time(self.moment.now),
            Root::Quarantined => Val::Bool(self.glance.flags().is_quarantined()),
            Root::Standing => Val::text(self.glance.standing().name()),
            Root::Type => Val::text(self.glance.of_type()?.0),
            Root::TypeVersion => Val::uint(self.glance.of_type()?.1),
            Root::Groups => Val::List(Rc::new(self.glance.groups().map(Val::text).collect())),
            Root::InSync => Val::Bool(self.is_in_sync()?),
            Root::Meta(of, what) => {
                let section = self.glance.section(of.section())?;
                match what {
                    Meta::Version => Val::uint(section.version),
                    Meta::At if section.version == 0 => return None,
                    Meta::At => time(section.at),
                    Meta::By => Val::text(section.by),
                }
            }
            Root::Presence(what) => {
                let presence = self.glance.presence();
                let connected = presence.session.is_some();
                let ever = presence.since != Time::default();
                match what {
                    Presence::Connected => Val::Bool(connected),
                    Presence::Unknown => Val::Bool(connected && presence.seen < self.moment.opened),
                    Presence::Node | Presence::Since | Presence::Seen if !ever => return None,
                    Presence::Node => Val::uint(presence.node),
                    Presence::Since => time(presence.since),
                    Presence::Seen => time(presence.seen),
                }
            }
        })
    }

    /// The latest value of this name.
    pub(crate) fn telemetry(&self, name: &str) -> Option<Val<'a>> {
        self.glance.telemetry().find(|(at, _)| *at == name).map(|(_, value)| value.into())
    }

    /// Whether `reported` shows all that `desired` asks.
    fn is_in_sync(&self) -> Option<bool> {
        let content = |which| Some(self.glance.section(which)?.content);
        let desired = content(Section::Desired)?;
        if desired.is_empty() {
            return Some(true);
        }
        let missing = delta(&desired.to_value(), &content(Section::Reported)?.to_value());
        Some(missing.as_object().is_none_or(Object::is_empty))
    }

    /// Whether the twin is there: neither absent nor deleted.
    pub fn is_alive(&self) -> bool {
        self.glance.flags().is_alive()
    }
}

impl Of {
    const fn section(self) -> Section {
        match self {
            Self::Tags => Section::Tags,
            Self::Desired => Section::Desired,
            Self::Reported => Section::Reported,
        }
    }
}

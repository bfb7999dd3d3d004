//! A look into an image without unpacking it: what a query asks of very many twins.

use core::cell::OnceCell;

use rkyv::rancor::Error;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;

use super::header::{HEADER_LEN, VERSION_FIRST, VERSION_KEYED, VERSION_REGISTERED};
use super::{
    ArchivedBuried, ArchivedBuriedImage, ArchivedImage, ArchivedKeyedImage,
    ArchivedRegisteredImage, DEPTH_MAX, Flags, ImageError, header,
};
use crate::change::Section;
use crate::index::{IndexPath, Scalar};
use crate::registration::{ArchivedRegistration, ArchivedStanding, Standing};
use crate::time::Time;
use crate::tree::codec::{Packed, PackedObject, ReadError, Reader, plain, section};
use crate::twin::Presence;

/// A twin as its image shows it.
pub struct Glance<'a> {
    flags: Flags,
    image: &'a ArchivedImage,
    registration: Option<&'a ArchivedRegistration>,
    buried: Option<&'a ArchivedBuried>,
    sections: [OnceCell<Option<SectionGlance<'a>>>; 3],
}

/// A section as an image shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectionGlance<'a> {
    /// Goes up by one with each change.
    pub version: u64,
    /// When it last changed.
    pub at: Time,
    /// Who changed it last.
    pub by: &'a str,
    /// The content.
    pub content: PackedObject<'a>,
    /// What follows it.
    rest: &'a [u8],
}

impl<'a> Glance<'a> {
    /// Looks into an image. Its checksum is not compared: it was when the image came here.
    pub fn of(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let flags = header(bytes)?.flags;
        let body = &bytes[HEADER_LEN..];
        let unsound = |_: Error| ImageError::Content;
        let (image, registration, buried) = match bytes[0] {
            VERSION_FIRST => (access!(ArchivedImage, body).map_err(unsound)?, None, None),
            VERSION_KEYED => {
                (&access!(ArchivedKeyedImage, body).map_err(unsound)?.image, None, None)
            }
            VERSION_REGISTERED => {
                let registered = access!(ArchivedRegisteredImage, body).map_err(unsound)?;
                (&registered.keyed.image, Some(&registered.registration), None)
            }
            _ => {
                let read = access!(ArchivedBuriedImage, body).map_err(unsound)?;
                (&read.keyed.image, read.registration.as_ref(), Some(&read.buried))
            }
        };
        Ok(Self { flags, image, registration, buried, sections: Default::default() })
    }

    /// What the twin is.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// Version of the whole.
    pub const fn version(&self) -> u64 {
        self.image.version.to_native()
    }

    /// The device's connection, as the log knows it.
    pub fn presence(&self) -> Presence {
        let session = &self.image.session;
        Presence {
            session: session.connected.then(|| session.epoch.to_native()),
            unknown: false,
            node: session.node.to_native(),
            since: Time::from_ms(session.since.ms.to_native()),
            seen: Time::from_ms(session.seen.ms.to_native()),
        }
    }

    /// Whether the device may come.
    pub fn standing(&self) -> Standing {
        self.registration.map_or(Standing::Unregistered, |entry| match entry.standing {
            ArchivedStanding::Unregistered => Standing::Unregistered,
            ArchivedStanding::Enabled => Standing::Enabled,
            ArchivedStanding::Disabled => Standing::Disabled,
        })
    }

    /// Until when what was deleted can be brought back, if anything can.
    pub fn restorable_until(&self) -> Option<Time> {
        self.buried.map(|buried| Time::from_ms(buried.until.ms.to_native()))
    }

    /// The device's type, and the version by which the twin was checked last, if it has one.
    pub fn of_type(&self) -> Option<(&'a str, u64)> {
        let known = self.registration?.of_type.as_ref()?;
        Some((known.name.as_str(), known.version.to_native()))
    }

    /// The groups that the device was put in.
    pub fn groups(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let groups = self.registration.map(|entry| entry.groups.as_slice());
        groups.unwrap_or_default().iter().map(|group| group.as_str())
    }

    /// One section; `None` if the image is unsound.
    pub fn section(&self, which: Section) -> Option<SectionGlance<'a>> {
        let (at, before) = match which {
            Section::Tags => (0, None),
            Section::Desired => (1, Some(Section::Tags)),
            Section::Reported => (2, Some(Section::Desired)),
        };
        *self.sections[at].get_or_init(|| {
            let bytes = match before {
                None => self.image.document.as_slice(),
                Some(before) => self.section(before)?.rest,
            };
            read(bytes).ok()
        })
    }

    /// What stands at a path into a section, if it is a scalar; an error if the image is unsound.
    pub fn scalar(&self, path: &IndexPath) -> Result<Option<Scalar>, ImageError> {
        let section = self.section(path.section).ok_or(ImageError::Content)?;
        let mut value = Packed::Object(section.content);
        for name in &path.names {
            let member = value.as_object().and_then(|object| object.find(name));
            let Some(member) = member else { return Ok(None) };
            value = member;
        }
        Ok(Scalar::of(value))
    }

    /// The latest logged telemetry, by name.
    pub fn telemetry(&self) -> impl Iterator<Item = (&'a str, Packed<'a>)> + use<'a> {
        let rest = self.section(Section::Reported).map_or(&[][..], |reported| reported.rest);
        let mut reader = Reader::new(rest);
        let count = reader.count(4).unwrap_or(0);
        (0..count).map_while(move |_| one(&mut reader).ok())
    }
}

fn one<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Packed<'a>), ReadError> {
    let (name, value) = (reader.str()?, plain(reader)?);
    reader.uint()?;
    reader.option()?;
    Ok((name, value))
}

fn read(bytes: &[u8]) -> Result<SectionGlance<'_>, ReadError> {
    let mut reader = Reader::new(bytes);
    let version = reader.uint()?;
    let at = Time::from_ms(reader.uint()?);
    let (by, content) = (reader.str()?, section(&mut reader)?);
    Ok(SectionGlance { version, at, by, content, rest: reader.rest() })
}

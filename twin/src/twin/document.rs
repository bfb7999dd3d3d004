//! The sections and the latest telemetry, and their bytes at rest.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::change::Section;
use crate::time::Time;
use crate::tree::Tree;
use crate::tree::codec::{
    ReadError, Reader, write_option, write_str, write_tree, write_uint, write_value,
};
use crate::value::Value;

/// The three sections and the latest telemetry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) tags: SectionState,
    pub(crate) desired: SectionState,
    pub(crate) reported: SectionState,
    pub(crate) telemetry: BTreeMap<String, Latest>,
}

impl Document {
    pub(crate) const fn section(&self, section: Section) -> &SectionState {
        match section {
            Section::Tags => &self.tags,
            Section::Desired => &self.desired,
            Section::Reported => &self.reported,
        }
    }

    pub(crate) const fn section_mut(&mut self, section: Section) -> &mut SectionState {
        match section {
            Section::Tags => &mut self.tags,
            Section::Desired => &mut self.desired,
            Section::Reported => &mut self.reported,
        }
    }
}

/// One section.
#[derive(Clone, Debug, Default)]
pub(crate) struct SectionState {
    /// Goes up by one with each accepted change; never back, not even by a deletion.
    pub(crate) version: u64,
    pub(crate) at: Time,
    pub(crate) by: String,
    pub(crate) tree: Tree,
}

/// The latest value of one telemetry name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latest {
    pub(crate) value: Value,
    pub(crate) at: Time,
    pub(crate) observed_at: Option<Time>,
}

impl Document {
    /// The document as few bytes; the same document has the same bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { tags, desired, reported, telemetry } = self;
        let mut out = Vec::with_capacity(64 + tags.tree.json_len() + desired.tree.json_len());
        for section in [tags, desired, reported] {
            write_uint(&mut out, section.version);
            write_uint(&mut out, section.at.ms);
            write_str(&mut out, &section.by);
            write_tree(&mut out, &section.tree, section.at.ms);
        }
        write_uint(&mut out, u64::try_from(telemetry.len()).expect("a count fits 64 bits"));
        for (name, latest) in telemetry {
            write_str(&mut out, name);
            write_value(&mut out, &latest.value);
            write_uint(&mut out, latest.at.ms);
            write_option(&mut out, latest.observed_at.map(|time| time.ms));
        }
        out
    }

    /// The document that has these bytes, which may be anything.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let tags = read_section(&mut reader)?;
        let desired = read_section(&mut reader)?;
        let reported = read_section(&mut reader)?;
        let mut telemetry = BTreeMap::new();
        for _ in 0..reader.count(4)? {
            let name = String::from(reader.str()?);
            let value = reader.value()?;
            let at = Time::from_ms(reader.uint()?);
            let observed_at = reader.option()?.map(Time::from_ms);
            telemetry.insert(name, Latest { value, at, observed_at });
        }
        reader.finish()?;
        Ok(Self { tags, desired, reported, telemetry })
    }
}

fn read_section(reader: &mut Reader<'_>) -> Result<SectionState, ReadError> {
    let version = reader.uint()?;
    let at = Time::from_ms(reader.uint()?);
    let by = reader.str()?.into();
    let tree = reader.tree(at.ms)?;
    Ok(SectionState { version, at, by, tree })
}

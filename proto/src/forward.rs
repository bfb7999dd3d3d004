//! What one node passes on to another for its callers: a call to a twin whose owner is there, and pages
//! of twins whose tables are there. Archived like frames, and checked like them before use.
use bytes::{Bytes, BytesMut};
use pollux_twin::input::Request;
use pollux_twin::limits::{CREDENTIALS_MAX, GROUPS_MAX};
use pollux_twin::output::Answer;
use pollux_twin::registration::RegistryRequest;
use pollux_twin::twin::Restorable;
use pollux_twin::{Rejection, Time, View};
use rkyv::{Archive, Deserialize, Serialize};

use crate::device::check::{Check, text, value};
use crate::device::{FrameError, Wire, archive};
use crate::limits::{FORWARDED_PAGE_MAX, TEXT_BYTES_MAX};

/// A call to one twin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Call {
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// Who asks.
    pub caller: String,
    /// Makes a retry recognisable.
    pub idempotency_key: Option<String>,
    /// What is asked.
    pub request: Request,
    /// How long the caller still waits.
    pub timeout_ms: u64,
}

/// A call to which the node that it came to gave a key (safety rule 15): only where the cluster's level
/// allows it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct EntryCall {
    /// The call, without a key of its own.
    pub call: Call,
    /// The key.
    pub id: u128,
    /// An attempt before this one may have been carried out, at this time of the shard or later.
    pub again: Option<Time>,
}

/// Something that one node asks of another for a principal that proved to it who it is: the other one checks by
/// its own policies that the principal may. Only where the cluster's level has principals.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Guarded {
    /// The principal.
    pub principal: String,
    /// The kind of what is asked.
    pub kind: u16,
    /// What is asked.
    pub payload: Vec<u8>,
}

/// What came of a [`Call`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Called {
    /// The owner's word.
    pub result: Result<Answer, Rejection>,
}

/// A page of twins from tables.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct List {
    /// The shards to look into, and the place in its log that the table of each must have come to.
    pub shards: Vec<(u16, u64)>,
    /// What every key must begin with.
    pub beginning: String,
    /// Only keys after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// What came of a [`List`], in the order of keys; shards that are not there are left out.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Listed {
    /// The shards that were looked into.
    pub shards: Vec<u16>,
    /// Key and state of each twin.
    pub items: Vec<(String, View)>,
}

/// What came of a [`List`] of twins that were deleted and can be brought back, as [`Listed`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RestorableListed {
    /// The shards that were looked into.
    pub shards: Vec<u16>,
    /// Key of each, and what is known of it.
    pub items: Vec<(String, Restorable)>,
}

impl Wire for Call {}
impl Wire for EntryCall {}
impl Wire for Guarded {}
impl Wire for Called {}
impl Wire for List {}
impl Wire for Listed {}
impl Wire for RestorableListed {}

/// The bytes of one of these.
///
/// # Errors
/// When its content is beyond the wire's bounds.
pub fn encode<W: Wire>(message: &W) -> Result<Bytes, FrameError> {
    let mut out = BytesMut::new();
    archive::write(message, &mut out)?;
    Ok(out.freeze())
}

/// One of these from bytes that a peer sent.
///
/// # Errors
/// When they are none, or beyond the wire's bounds.
pub fn decode<W: Wire>(bytes: &[u8]) -> Result<W, FrameError> {
    archive::read(bytes)
}

impl Check for Call {
    fn check(&self) -> Result<(), FrameError> {
        text("key", &self.key, TEXT_BYTES_MAX)?;
        text("caller", &self.caller, TEXT_BYTES_MAX)?;
        let key = self.idempotency_key.as_deref().unwrap_or_default();
        text("idempotency key", key, TEXT_BYTES_MAX)?;
        match &self.request {
            Request::Patch { patch, .. } => value(patch),
            Request::Command { name, payload, .. } => {
                text("command name", name, TEXT_BYTES_MAX)?;
                value(payload)
            }
            Request::Registry(request) => registry(request),
            Request::Get
            | Request::Delete { .. }
            | Request::CancelCommand { .. }
            | Request::GetCommand { .. } => Ok(()),
        }
    }
}

fn registry(request: &RegistryRequest) -> Result<(), FrameError> {
    match request {
        RegistryRequest::Register { tags, desired, credentials, of_type, groups } => {
            count("credentials", credentials.len(), CREDENTIALS_MAX)?;
            credentials.iter().try_for_each(|(name, ..)| credential(name))?;
            let of_type = of_type.as_ref().map_or("", |asked| asked.name.as_str());
            text("name of the type", of_type, TEXT_BYTES_MAX)?;
            count("groups", groups.len(), GROUPS_MAX)?;
            groups.iter().try_for_each(|name| group(name))?;
            [tags, desired].into_iter().flatten().try_for_each(value)
        }
        RegistryRequest::Enrol { enrolment, tags, of_type, groups, .. } => {
            text("enrolment", enrolment, TEXT_BYTES_MAX)?;
            let of_type = of_type.as_ref().map_or("", |asked| asked.name.as_str());
            text("name of the type", of_type, TEXT_BYTES_MAX)?;
            count("groups", groups.len(), GROUPS_MAX)?;
            groups.iter().try_for_each(|name| group(name))?;
            tags.iter().try_for_each(value)
        }
        RegistryRequest::Disable { reason } => text("reason", reason, TEXT_BYTES_MAX),
        RegistryRequest::Give { name, .. } | RegistryRequest::Revoke { name } => credential(name),
        RegistryRequest::Join { group: name } | RegistryRequest::Leave { group: name } => {
            group(name)
        }
        RegistryRequest::Get
        | RegistryRequest::Enable
        | RegistryRequest::Delete { .. }
        | RegistryRequest::Restore => Ok(()),
    }
}

fn group(name: &str) -> Result<(), FrameError> {
    text("name of the group", name, TEXT_BYTES_MAX)
}

fn credential(name: &str) -> Result<(), FrameError> {
    text("name of the credential", name, TEXT_BYTES_MAX)
}

fn count(what: &'static str, items: usize, max: usize) -> Result<(), FrameError> {
    if items > max { Err(FrameError::TooMany { what, items, max }) } else { Ok(()) }
}

impl Check for EntryCall {
    fn check(&self) -> Result<(), FrameError> {
        self.call.check()
    }
}

impl Check for Guarded {
    fn check(&self) -> Result<(), FrameError> {
        text("principal", &self.principal, TEXT_BYTES_MAX)
    }
}

impl Check for Called {
    fn check(&self) -> Result<(), FrameError> {
        match &self.result {
            Ok(Answer::Twin(seen)) => view(seen),
            Ok(Answer::Command(command)) => value(&command.payload),
            Ok(Answer::Registration(entry)) => {
                count("credentials", entry.credentials.len(), CREDENTIALS_MAX)?;
                count("groups", entry.groups.len(), GROUPS_MAX)
            }
            Ok(Answer::Written { .. } | Answer::Deleted { .. }) | Err(_) => Ok(()),
        }
    }
}

impl Check for List {
    fn check(&self) -> Result<(), FrameError> {
        text("beginning", &self.beginning, TEXT_BYTES_MAX)?;
        text("key", self.after.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)
    }
}

impl Check for RestorableListed {
    fn check(&self) -> Result<(), FrameError> {
        count("twins", self.items.len(), FORWARDED_PAGE_MAX)?;
        self.items.iter().try_for_each(|(key, found)| {
            text("key", key, TEXT_BYTES_MAX)?;
            let by = found.deleted.as_ref().map_or("", |(_, by)| by.as_str());
            text("caller", by, TEXT_BYTES_MAX)
        })
    }
}

impl Check for Listed {
    fn check(&self) -> Result<(), FrameError> {
        if self.items.len() > FORWARDED_PAGE_MAX {
            let (items, max) = (self.items.len(), FORWARDED_PAGE_MAX);
            return Err(FrameError::TooMany { what: "twins", items, max });
        }
        self.items.iter().try_for_each(|(key, seen)| {
            text("key", key, TEXT_BYTES_MAX)?;
            view(seen)
        })
    }
}

pub(crate) fn view(view: &View) -> Result<(), FrameError> {
    for section in [&view.tags, &view.desired, &view.reported] {
        value(&section.value)?;
    }
    value(&view.delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_twin::Value;
    use pollux_twin::change::Section;

    fn call() -> Call {
        let patch = Value::from_json("{\"a\":[1,{\"b\":-2.5}]}", &Default::default()).unwrap();
        let request =
            Request::Patch { section: Section::Desired, patch, whole: false, expected: Some(3) };
        Call {
            key: "acme/pump".into(),
            caller: "billing".into(),
            idempotency_key: Some("k".into()),
            request,
            timeout_ms: 500,
        }
    }

    #[test]
    fn calls_and_answers_come_back() {
        let bytes = encode(&call()).unwrap();
        assert_eq!(decode::<Call>(&bytes).unwrap(), call());
        let entry = EntryCall { call: call(), id: u128::MAX - 1, again: Some(Time::from_ms(5)) };
        assert_eq!(decode::<EntryCall>(&encode(&entry).unwrap()).unwrap(), entry);
        let payload = bytes.to_vec();
        let guarded = Guarded { principal: "billing".into(), kind: 1, payload };
        assert_eq!(decode::<Guarded>(&encode(&guarded).unwrap()).unwrap(), guarded);
        let answer = Answer::Written { section: Section::Tags, version: 7 };
        for result in [Ok(answer), Err(Rejection::KeyReused)] {
            let called = Called { result };
            assert_eq!(decode::<Called>(&encode(&called).unwrap()).unwrap(), called);
        }
        let listed = Listed { shards: vec![1], items: vec![("a/b".into(), View::default())] };
        assert_eq!(decode::<Listed>(&encode(&listed).unwrap()).unwrap(), listed);
        let gone = |deleted| Restorable { until: Time::from_ms(9), deleted };
        let items = [None, Some((Time::from_ms(5), "shop".to_owned()))];
        let items = items.map(|deleted| ("a/b".to_owned(), gone(deleted))).to_vec();
        let listed = RestorableListed { shards: vec![1], items };
        assert_eq!(decode::<RestorableListed>(&encode(&listed).unwrap()).unwrap(), listed);
        let shards = vec![(1, 0), (2, u64::MAX)];
        let list = List { shards, beginning: "a/".into(), after: None, limit: 9 };
        assert_eq!(decode::<List>(&encode(&list).unwrap()).unwrap(), list);
    }

    #[test]
    fn what_is_cut_or_flipped_never_panics_and_a_cut_is_refused() {
        let bytes = encode(&call()).unwrap();
        for end in 0..bytes.len() {
            let _ = decode::<Call>(&bytes[..end]);
            let mut flipped = bytes.to_vec();
            flipped[end] ^= 0x80;
            let _ = decode::<Call>(&flipped);
        }
        assert!(decode::<Call>(&bytes[..8]).is_err());
        assert!(decode::<Listed>(b"").is_err());
    }

    #[test]
    fn bounds_hold_before_sending() {
        let long = Call { caller: "x".repeat(TEXT_BYTES_MAX + 1), ..call() };
        assert!(matches!(encode(&long), Err(FrameError::TextTooLong { what: "caller", .. })));
        let items = vec![("a".to_owned(), View::default()); FORWARDED_PAGE_MAX + 1];
        let listed = Listed { shards: vec![], items };
        assert!(matches!(encode(&listed), Err(FrameError::TooMany { .. })));
    }
}

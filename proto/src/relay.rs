//! What the node that relays a device and the owner of its shard say to each other. The relaying node opens
//! a stream of items at the owner, naming the device ([`Relay`]); the owner opens one back ([`Relayed`]). On
//! the first come [`Down`]s, on the second [`Up`]s: what goes to the device and what comes from it, as it is.

use bytes::{BufMut, Bytes, BytesMut};
use rkyv::{Archive, Deserialize, Serialize};

use crate::device::check::{Check, text};
use crate::device::{FrameError, Wire};
use crate::limits::{
    ADDRESS_BYTES_MAX, DATAGRAM_BYTES_MAX, RELAYED_BYTES_MAX, RELAYED_REASON_BYTES_MAX,
    TEXT_BYTES_MAX,
};

/// A device that a node relays: the relaying node has checked who it is.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The relaying node's number for it.
    pub id: u64,
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// The incarnation that its hello named.
    pub incarnation: u64,
    /// Where it is, as the relaying node sees it: for people.
    pub address: String,
}

/// Asks for what a relayed device says.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The relaying node's number for it.
    pub id: u64,
}

/// From the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// Bytes of its stream.
    Bytes(Bytes),
    /// A datagram.
    Datagram(Bytes),
}

/// To the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// Bytes of its stream.
    Bytes(Bytes),
    /// There is no session: the node that was asked does not own the shard. Nothing follows.
    NotOwner,
    /// The session is over. Nothing follows.
    Close {
        /// The code to close the connection with.
        code: u32,
        /// The reason to close it with.
        reason: Bytes,
    },
}

// The first byte of an item.
const BYTES: u8 = 0;
const DATAGRAM: u8 = 1;
const NOT_OWNER: u8 = 1;
const CLOSE: u8 = 2;

impl Up {
    /// As an item.
    pub fn to_item(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => item(BYTES, bytes),
            Self::Datagram(bytes) => item(DATAGRAM, bytes),
        }
    }

    /// From an item of another node.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub fn from_item(item: &Bytes) -> Result<Self, FrameError> {
        match item.first() {
            Some(&BYTES) => rest(item, RELAYED_BYTES_MAX).map(Self::Bytes),
            Some(&DATAGRAM) => rest(item, DATAGRAM_BYTES_MAX).map(Self::Datagram),
            _ => Err(FrameError::NotAFrame),
        }
    }
}

impl Down {
    /// As an item.
    pub fn to_item(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => item(BYTES, bytes),
            Self::NotOwner => item(NOT_OWNER, b""),
            Self::Close { code, reason } => {
                let mut body = BytesMut::with_capacity(4 + reason.len());
                body.put_u32_le(*code);
                body.put_slice(reason);
                item(CLOSE, &body)
            }
        }
    }

    /// From an item of another node.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub fn from_item(item: &Bytes) -> Result<Self, FrameError> {
        match item.first() {
            Some(&BYTES) => rest(item, RELAYED_BYTES_MAX).map(Self::Bytes),
            Some(&NOT_OWNER) if item.len() == 1 => Ok(Self::NotOwner),
            Some(&CLOSE) => {
                let body = rest(item, 4 + RELAYED_REASON_BYTES_MAX)?;
                let code = body.first_chunk::<4>().ok_or(FrameError::NotAFrame)?;
                Ok(Self::Close { code: u32::from_le_bytes(*code), reason: body.slice(4..) })
            }
            _ => Err(FrameError::NotAFrame),
        }
    }
}

fn item(kind: u8, body: &[u8]) -> Bytes {
    let mut item = BytesMut::with_capacity(1 + body.len());
    item.put_u8(kind);
    item.put_slice(body);
    item.freeze()
}

/// What comes after the first byte.
fn rest(item: &Bytes, max: usize) -> Result<Bytes, FrameError> {
    let bytes = item.len() - 1;
    if bytes > max { Err(FrameError::TooLong { bytes, max }) } else { Ok(item.slice(1..)) }
}

impl Wire for Relay {}
impl Wire for Relayed {}

impl Check for Relay {
    fn check(&self) -> Result<(), FrameError> {
        text("key", &self.key, TEXT_BYTES_MAX)?;
        text("address", &self.address, ADDRESS_BYTES_MAX)
    }
}

impl Check for Relayed {
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{decode, encode};
    use crate::hex::hex;

    fn relay() -> Relay {
        let (key, address) = ("default/pump".to_owned(), "10.0.0.7:51000".to_owned());
        Relay { id: 7, key, incarnation: 9, address }
    }

    /// Two nodes of different versions relay for each other: a change needs a new kind of stream.
    #[test]
    fn the_bytes_have_not_changed() {
        let golden = "64656661756c742f70756d7031302e302e302e373a3531303030\
                      07000000000000008c000000deffffff09000000000000008e000000daffffff";
        let bytes = encode(&relay()).unwrap();
        assert_eq!(hex(&bytes), golden);
        assert_eq!(decode::<Relay>(&bytes).unwrap(), relay());
        assert_eq!(hex(&encode(&Relayed { id: 7 }).unwrap()), "0700000000000000");
        let bytes = Bytes::from_static(b"ab");
        for (up, golden) in
            [(Up::Bytes(bytes.clone()), "006162"), (Up::Datagram(bytes.clone()), "016162")]
        {
            assert_eq!(hex(&up.to_item()), golden);
            assert_eq!(Up::from_item(&up.to_item()), Ok(up));
        }
        let close = Down::Close { code: 3, reason: bytes.clone() };
        for (down, golden) in
            [(Down::Bytes(bytes), "006162"), (Down::NotOwner, "01"), (close, "02030000006162")]
        {
            assert_eq!(hex(&down.to_item()), golden);
            assert_eq!(Down::from_item(&down.to_item()), Ok(down));
        }
    }

    #[test]
    fn what_is_no_item_is_refused() {
        let item = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        for wrong in [&b""[..], b"\x02", b"\xff"] {
            assert_eq!(Up::from_item(&item(wrong)), Err(FrameError::NotAFrame));
        }
        for wrong in [&b""[..], b"\x01x", b"\x02\0\0\0", b"\x03"] {
            assert_eq!(Down::from_item(&item(wrong)), Err(FrameError::NotAFrame));
        }
        let long = item(&vec![0; RELAYED_BYTES_MAX + 2]);
        assert!(matches!(Up::from_item(&long), Err(FrameError::TooLong { .. })));
        assert!(matches!(Down::from_item(&long), Err(FrameError::TooLong { .. })));
        let long = item(&vec![1; DATAGRAM_BYTES_MAX + 2]);
        assert!(matches!(Up::from_item(&long), Err(FrameError::TooLong { .. })));
        assert!(decode::<Relay>(b"").is_err());
        let bytes = encode(&relay()).unwrap();
        for end in 0..bytes.len() {
            let _ = decode::<Relay>(&bytes[..end]);
            let mut flipped = bytes.to_vec();
            flipped[end] ^= 0x80;
            let _ = decode::<Relay>(&flipped);
        }
    }
}

//! Bounds on the content of peer frames that their form alone does not ensure.

use crate::device::FrameError;
use crate::device::check::Check;
use crate::device::framing::Frame;
use crate::device::{Wire, check::text};
use crate::limits::{
    GREETING_BYTES_MAX, JOIN_FRAME_BYTES_MAX, JOIN_PAYLOAD_BYTES_MAX, PEER_MESSAGE_TEXT_BYTES_MAX,
};
use crate::peer::frame::{Greeting, JoinFrame, PeerHead};

impl Check for Greeting {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Hello(_) | Self::Welcome(_) | Self::Lane(_) => Ok(()),
            Self::Refused { message, .. } => text("message", message, PEER_MESSAGE_TEXT_BYTES_MAX),
        }
    }
}

impl Check for PeerHead {
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }
}

impl Check for JoinFrame {
    fn check(&self) -> Result<(), FrameError> {
        let max = JOIN_PAYLOAD_BYTES_MAX;
        match self {
            Self::Request { payload } | Self::Reply { payload } if payload.len() > max => {
                Err(FrameError::TooLong { bytes: payload.len(), max })
            }
            Self::Request { .. } | Self::Reply { .. } => Ok(()),
            Self::Refused { message } => text("message", message, PEER_MESSAGE_TEXT_BYTES_MAX),
        }
    }
}

impl Wire for Greeting {}
impl Wire for PeerHead {}
impl Wire for JoinFrame {}

impl Frame for Greeting {
    const BYTES_MAX: usize = GREETING_BYTES_MAX;
}

impl Frame for JoinFrame {
    const BYTES_MAX: usize = JOIN_FRAME_BYTES_MAX;
}

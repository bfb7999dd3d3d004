//! What can be wrong with a frame, and the codes that a connection is closed with.

use thiserror::Error;

/// Why bytes are not a frame that may be used. All end the connection; nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length prefix, or the frame to be sent, is larger than allowed.
    #[error("frame has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Bytes claimed.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The stream ended within a frame.
    #[error("stream ended within a frame; at least {missing} more bytes were expected")]
    CutShort {
        /// Bytes that are missing at least.
        missing: usize,
    },
    /// The bytes are no frame of this protocol version.
    #[error("bytes are not a frame of this protocol")]
    NotAFrame,
    /// Values nest deeper than allowed.
    #[error("value nests too deep; at most {max} levels are allowed")]
    TooDeep {
        /// Levels allowed.
        max: usize,
    },
    /// A floating-point number is NaN or infinite.
    #[error("number is not finite; NaN and infinity cannot be sent")]
    NotFinite,
    /// An unsigned integer that must be written as a signed one.
    #[error("integer {value} is sent as unsigned; up to 9223372036854775807 it must be signed")]
    NotCanonical {
        /// The integer.
        value: u64,
    },
    /// A text beside values is longer than allowed.
    #[error("{what} has {bytes} bytes; at most {max} are allowed")]
    TextTooLong {
        /// Which text.
        what: &'static str,
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A list of a frame has more items than allowed.
    #[error("frame names {items} {what}; at most {max} are allowed")]
    TooMany {
        /// Items of what, in the plural.
        what: &'static str,
        /// Items there are.
        items: usize,
        /// Items allowed.
        max: usize,
    },
    /// A frame that makes no sense where it stands, such as a report before the hello.
    #[error("unexpected {found}; expected {expected}")]
    Unexpected {
        /// Which frame came.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

impl FrameError {
    /// The code that the connection is closed with.
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLong { .. } | Self::TextTooLong { .. } | Self::TooMany { .. } => {
                CloseCode::FrameTooLong
            }
            Self::CutShort { .. } => CloseCode::CutShort,
            Self::NotAFrame => CloseCode::NotAFrame,
            Self::TooDeep { .. } => CloseCode::TooDeep,
            Self::NotFinite | Self::NotCanonical { .. } => CloseCode::BadNumber,
            Self::Unexpected { .. } => CloseCode::Unexpected,
        }
    }
}

/// Application error codes of QUIC `CONNECTION_CLOSE`; part of `pollux/1`, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// Nothing wrong: the closing side is done.
    Done = 0,
    /// The hello was refused; the `Refused` frame says why.
    Refused = 1,
    /// A `Bye` was sent; it says why.
    Bye = 2,
    /// The device was redirected, or its shard has moved.
    Moved = 3,
    /// The hello did not come in time.
    HelloTimeout = 4,
    /// Overloaded: too many connections or too much unread; come back later.
    Overloaded = 5,
    /// The node has a fault of its own; come back.
    Fault = 6,
    /// A frame, or a part of it, is larger than allowed.
    FrameTooLong = 16,
    /// The stream ended within a frame.
    CutShort = 17,
    /// Bytes are not a frame.
    NotAFrame = 18,
    /// A value nests deeper than allowed.
    TooDeep = 19,
    /// A number is NaN, infinite or in the wrong form.
    BadNumber = 20,
    /// A frame that makes no sense where it stands.
    Unexpected = 21,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Refused,
        Self::Bye,
        Self::Moved,
        Self::HelloTimeout,
        Self::Overloaded,
        Self::Fault,
        Self::FrameTooLong,
        Self::CutShort,
        Self::NotAFrame,
        Self::TooDeep,
        Self::BadNumber,
        Self::Unexpected,
    ];

    /// As QUIC carries it.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The code that a peer sent, if this version knows it.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.code()) == code)
    }

    /// Whether the same bytes sent again would be refused again, so that reconnecting and sending
    /// them once more makes no sense.
    pub const fn is_protocol_error(self) -> bool {
        self.code() >= Self::FrameTooLong.code()
    }
}

//! The lengths of frames in bytes that are passed on as they come, for a node that relays them: whether each
//! is within its bound, and whether what has passed ends between two. What is in them is not its business.

use crate::device::error::FrameError;
use crate::device::framing::PREFIX_BYTES;

/// Follows one direction of a stream. Holds no more than a length.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    bytes_max: usize,
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the length that have passed.
    known: usize,
    /// Bytes of the frame that are still to pass.
    left: usize,
}

impl Lengths {
    /// At the beginning of a frame.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, prefix: [0; PREFIX_BYTES], known: 0, left: 0 }
    }

    /// Looks at bytes before they are passed on.
    ///
    /// # Errors
    /// When a frame is longer than allowed: nothing of these bytes is to be passed on.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passes = self.left.min(bytes.len());
                self.left -= passes;
                bytes = &bytes[passes..];
                continue;
            }
            self.prefix[self.known] = *first;
            self.known += 1;
            bytes = rest;
            if self.known == PREFIX_BYTES {
                self.known = 0;
                let claimed = u32::from_le_bytes(self.prefix) as usize;
                if claimed > self.bytes_max {
                    return Err(FrameError::TooLong { bytes: claimed, max: self.bytes_max });
                }
                self.left = claimed;
            }
        }
        Ok(())
    }

    /// Whether a frame of another may come next.
    pub const fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<u8> {
        let frame = |bytes: u32| [&bytes.to_le_bytes()[..], &vec![7; bytes as usize]].concat();
        [frame(5), frame(0), frame(9)].concat()
    }

    #[test]
    fn however_the_bytes_are_cut_the_ends_of_frames_are_known() {
        let (frames, ends) = (frames(), [9, 13, 26]);
        for piece in 1..=frames.len() {
            let mut lengths = Lengths::new(9);
            let mut passed = 0;
            for bytes in frames.chunks(piece) {
                lengths.follow(bytes).unwrap();
                passed += bytes.len();
                assert_eq!(lengths.is_between(), ends.contains(&passed), "{piece}: {passed}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_noticed_by_its_length() {
        for piece in 1..=4 {
            let mut lengths = Lengths::new(8);
            let mut pieces =
                frames().chunks(piece).map(|bytes| lengths.follow(bytes)).collect::<Vec<_>>();
            let at = 17_usize.div_ceil(piece) - 1;
            assert_eq!(pieces.swap_remove(at), Err(FrameError::TooLong { bytes: 9, max: 8 }));
        }
    }
}

//! Bytes as hexadecimal digits: how digests, keys and tokens are written everywhere.

use std::fmt::Write as _;

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The bytes that hexadecimal digits stand for, if it is as many as that.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_and_nothing_else_is_taken_for_one() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(from_hex("000aFF"), Some([0, 10, 255]));
        for bad in ["", "000af", "000aff0", "000ag0", "+00aff", "ää"] {
            assert_eq!(from_hex::<3>(bad), None, "{bad}");
        }
    }
}

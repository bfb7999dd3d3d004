//! What both ends of an artifact's way must write alike: the statement that is signed, and a digest as text.

use std::fmt::Write as _;

/// What an Ed25519 signature of an artifact signs: not only its content but also what it is called, so that an old
/// release cannot be passed off as a newer one.
pub fn statement(name: &str, version: &str, size: u64, sha256: &[u8; 32]) -> String {
    format!("pollux-artifact-1\n{name}\n{version}\n{size}\n{}\n", hex(sha256))
}

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

    #[test]
    fn what_is_signed_names_all_that_must_not_be_exchanged() {
        let statement = statement("fw", "1.2", 3, &[0xab; 32]);
        assert_eq!(statement, format!("pollux-artifact-1\nfw\n1.2\n3\n{}\n", "ab".repeat(32)));
    }
}

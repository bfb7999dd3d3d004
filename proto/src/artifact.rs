//! What both ends of an artifact's way must write alike: the statement that is signed.

use crate::hex::hex;

/// What an Ed25519 signature of an artifact signs: not only its content but also what it is called, so that an old
/// release cannot be passed off as a newer one.
pub fn statement(name: &str, version: &str, size: u64, sha256: &[u8; 32]) -> String {
    format!("pollux-artifact-1\n{name}\n{version}\n{size}\n{}\n", hex(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_names_all_that_must_not_be_exchanged() {
        let statement = statement("fw", "1.2", 3, &[0xab; 32]);
        assert_eq!(statement, format!("pollux-artifact-1\nfw\n1.2\n3\n{}\n", "ab".repeat(32)));
    }
}

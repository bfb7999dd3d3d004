//! The way in for those who have a node's disk: a secret in the data directory, made where access is enforced, and
//! good at this node from its own machine only.
//!
//! So nobody is locked out, at first or by a policy gone wrong, and nothing secret is printed or sent anywhere. It
//! gives no more than the disk does, which has the keys by which one can be a node.

use std::path::Path;

use super::secret::Secret;
use crate::fault::Fault;
use crate::node::internal;
use crate::pki::{read_private, write_private};

/// Its name in the data directory.
pub const ROOT_TOKEN_FILE: &str = "root.token";

/// Reads it, or makes it at the first start: a removed file is a way to replace it.
pub(super) fn open(data_dir: &Path) -> Result<Secret, Fault> {
    let path = data_dir.join(ROOT_TOKEN_FILE);
    if !path.exists() {
        let secret = Secret::random(None)?;
        write_private(&path, &format!("{}\n", secret.reveal()))?;
        return Ok(secret);
    }
    let text = read_private(&path)?;
    let secret = text.trim().parse::<Secret>().ok().filter(|secret| secret.id.is_none());
    secret.ok_or_else(|| {
        let problem = format!("{} is damaged: remove it, and a new one is made", path.display());
        internal("the node's root token", &problem)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_others_must_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        assert!(open(dir.path()).unwrap() == first);
        let path = dir.path().join(ROOT_TOKEN_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("chmod 600"));
        std::fs::remove_file(&path).unwrap();
        assert!(open(dir.path()).unwrap() != first, "a removed one is replaced");
        std::fs::write(&path, "nonsense").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(open(dir.path()).unwrap_err().to_string().contains("remove it"));
    }
}

//! The cluster CA while one replaces another: files of which every step leaves a set that works, however
//! it is cut short. A node accepts all CAs that are here and issues with the current one; when all nodes
//! have taken a step, the cluster may take the next (see `cluster::authorities`).
//!
//! `cluster-ca` issues. `cluster-ca-next` is accepted too and issues next; `cluster-ca-before` issued
//! before and is accepted still.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pollux_twin::Time;
use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::error::PkiError;
use super::expiry::unfit;
use super::{CA_DAYS, CLUSTER_CA, files};

/// File name (before `.pem` and `.key`) of the CA that issues next.
pub(super) const NEXT: &str = "cluster-ca-next";
/// File name (before `.pem`) of the CA that issued before.
pub(super) const BEFORE: &str = "cluster-ca-before";
const NAME: &str = "Pollux cluster CA";

/// The CAs by which nodes know each other.
#[derive(Debug)]
pub(crate) struct ClusterCas {
    dir: PathBuf,
    pub(crate) current: Authority,
    pub(crate) next: Option<CertificateDer<'static>>,
    pub(crate) before: Option<CertificateDer<'static>>,
}

impl ClusterCas {
    /// The CAs of a `pki/` folder; the current one is made if missing. Ends a step that was cut short.
    pub(crate) fn open(dir: &Path, now: Time) -> Result<Self, PkiError> {
        let next_key = dir.join(format!("{NEXT}.key"));
        if certificate(dir, NEXT)?.is_some() && !next_key.exists() {
            // The key is moved first, so it is the current one already.
            shift(dir, NEXT, "pem")?;
        }
        let current = Authority::open_or_make(dir, CLUSTER_CA, NAME, now, CA_DAYS)?;
        let (next, before) = (certificate(dir, NEXT)?, certificate(dir, BEFORE)?);
        Ok(Self { dir: dir.into(), current, next, before })
    }

    /// What the files hold now, if that is something else. Makes no CA: one that is gone stays missed. What would leave
    /// the node alone is not taken: others do not know a CA that took no step of a rotation, nor one that has ended.
    pub(crate) fn again(&self, now: Time) -> Result<Option<Self>, PkiError> {
        super::certificate_of(&self.dir.join(format!("{CLUSTER_CA}.pem")))?;
        let found = Self::open(&self.dir, now)?;
        let (roots, before) = (found.roots(), self.roots());
        if roots == before {
            return Ok(None);
        }
        let refused = |why: &str| {
            let path = self.dir.join(format!("{CLUSTER_CA}.pem"));
            Err(PkiError::Content {
                path,
                wanted: "a cluster CA to go on with",
                reason: why.into(),
            })
        };
        if let Some(why) = unfit(found.current.certificate(), now)? {
            return refused(&format!("{why}; put the one before back"));
        }
        if !roots.iter().any(|root| before.contains(root)) {
            return refused(
                "no CA is here by which this node and others know each other now; put the one before back, and \
                 use `pollux cluster ca rotate`",
            );
        }
        Ok(Some(found))
    }

    /// All whose certificates are accepted, the one that issues first.
    pub(crate) fn roots(&self) -> Vec<CertificateDer<'static>> {
        let current = self.current.certificate().clone();
        [current].into_iter().chain(self.next.clone()).chain(self.before.clone()).collect()
    }

    /// Makes a CA that may issue next, and nothing of it counts yet: certificate and key as PEM.
    pub(crate) fn make_next(now: Time) -> Result<(String, String), PkiError> {
        super::authority::make_ca(NAME, now, CA_DAYS)
    }

    /// The one that issues next as PEM, to be given to others.
    pub(crate) fn next_pem(&self) -> Result<(String, String), PkiError> {
        self.pem(NEXT)
    }

    /// The one that issues as PEM.
    pub(crate) fn current_pem(&self) -> Result<(String, String), PkiError> {
        self.pem(CLUSTER_CA)
    }

    /// From now on a further CA is accepted, durably. It must not be in the place of another.
    pub(crate) fn accept(&mut self, pem: &str, key: &str, now: Time) -> Result<(), PkiError> {
        let path = self.dir.join(format!("{NEXT}.pem"));
        files::write_private(&self.dir.join(format!("{NEXT}.key")), key)?;
        files::write_public(&path, pem)?;
        *self = Self::open(&self.dir, now)?;
        Ok(())
    }

    /// From now on the next one issues, and the current one is accepted still; durably.
    pub(crate) fn promote(&mut self, now: Time) -> Result<(), PkiError> {
        let (pem, _) = self.current_pem()?;
        files::write_public(&self.dir.join(format!("{BEFORE}.pem")), &pem)?;
        shift(&self.dir, NEXT, "key")?;
        shift(&self.dir, NEXT, "pem")?;
        *self = Self::open(&self.dir, now)?;
        Ok(())
    }

    /// From now on the one before is not accepted any more.
    pub(crate) fn forget_before(&mut self) -> Result<(), PkiError> {
        let path = self.dir.join(format!("{BEFORE}.pem"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(files::file(&path, error));
            }
            _ => self.before = None,
        }
        Ok(())
    }

    fn pem(&self, stem: &str) -> Result<(String, String), PkiError> {
        let path = self.dir.join(format!("{stem}.pem"));
        let text = fs::read_to_string(&path).map_err(|error| files::file(&path, error))?;
        Ok((text, files::read_private(&self.dir.join(format!("{stem}.key")))?))
    }
}

/// Moves a file of a CA to that of the current one.
fn shift(dir: &Path, stem: &str, extension: &str) -> Result<(), PkiError> {
    let from = dir.join(format!("{stem}.{extension}"));
    let to = dir.join(format!("{CLUSTER_CA}.{extension}"));
    let moved = fs::rename(&from, &to).and_then(|()| fs::File::open(dir)?.sync_all());
    moved.map_err(|error| files::file(&from, error))
}

fn certificate(dir: &Path, stem: &str) -> Result<Option<CertificateDer<'static>>, PkiError> {
    let path = dir.join(format!("{stem}.pem"));
    if !path.exists() {
        return Ok(None);
    }
    Ok(files::read_chain(&path)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    fn open(dir: &Path) -> ClusterCas {
        ClusterCas::open(dir, NOW).unwrap()
    }

    #[test]
    fn one_takes_the_place_of_another_in_three_steps() {
        let dir = tempfile::tempdir().unwrap();
        let mut cas = open(dir.path());
        let old = cas.current.certificate().clone();
        let (pem, key) = ClusterCas::make_next(NOW).unwrap();
        cas.accept(&pem, &key, NOW).unwrap();
        let new = cas.next.clone().unwrap();
        assert_eq!(
            (open(dir.path()).roots(), cas.next_pem().unwrap()),
            (vec![old.clone(), new.clone()], (pem, key))
        );
        cas.promote(NOW).unwrap();
        assert_eq!(open(dir.path()).roots(), [new.clone(), old]);
        // It issues: its key is the one that belongs to it.
        let issued =
            cas.current.issue_node(pollux_cluster::Uuid(1), pollux_cluster::NodeId(1), NOW, 1);
        assert_eq!(issued.unwrap().chain()[1], new);
        cas.forget_before().unwrap();
        cas.forget_before().unwrap();
        assert_eq!(open(dir.path()).roots(), [new]);
    }

    #[test]
    fn a_promotion_cut_short_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut cas = open(dir.path());
        let (pem, key) = ClusterCas::make_next(NOW).unwrap();
        cas.accept(&pem, &key, NOW).unwrap();
        let roots = cas.roots();
        let (old, _) = cas.current_pem().unwrap();
        fs::write(dir.path().join("cluster-ca-before.pem"), old).unwrap();
        assert_eq!(open(dir.path()).current.certificate(), &roots[0], "the key was not moved yet");
        shift(dir.path(), NEXT, "key").unwrap();
        let ended = open(dir.path());
        assert_eq!(ended.roots(), [roots[1].clone(), roots[0].clone()]);
        assert!(ended.next.is_none());
    }

    #[test]
    fn what_others_wrote_is_seen_and_what_is_gone_is_missed() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [ours, theirs] = [0, 1].map(|n| open(dirs[n].path()));
        assert!(ours.again(NOW).unwrap().is_none());
        let before = ours.current_pem().unwrap();
        let copy = |name: &str| {
            fs::copy(dirs[1].path().join(name), dirs[0].path().join(name)).unwrap();
        };
        copy("cluster-ca.pem");
        assert!(ours.again(NOW).is_err(), "the key is another one's");
        copy("cluster-ca.key");
        // Nobody would know this node by it.
        let error = ours.again(NOW).unwrap_err().to_string();
        assert!(error.contains("no CA is here by which this node and others know"), "{error}");
        let (own, _) = before;
        fs::write(dirs[0].path().join("cluster-ca-before.pem"), own).unwrap();
        let roots = [theirs.current.certificate().clone(), ours.current.certificate().clone()];
        assert_eq!(ours.again(NOW).unwrap().unwrap().roots(), roots);
        let late = Time::from_ms(NOW.ms + (u64::from(CA_DAYS) + 2) * 24 * 3600 * 1000);
        let error = ours.again(late).unwrap_err().to_string();
        assert!(error.contains("it ended 2 days ago; put the one before back"), "{error}");
        fs::remove_file(dirs[0].path().join("cluster-ca.pem")).unwrap();
        assert!(ours.again(NOW).is_err() && !dirs[0].path().join("cluster-ca.pem").exists());
    }
}

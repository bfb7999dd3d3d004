//! An artifact's bytes, passed on to where they are to go: further from where a stream broke, and checked against what
//! they should be.

use std::future::Future;
use std::time::Duration;

use pollux_proto::hex::hex;
use pollux_proto::v1;
use pollux_proto::v1::get_artifact_response::Part;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::Context;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use crate::artifacts::Artifacts;
use crate::error::Error;
use crate::search::Search;

impl Artifacts<'_> {
    /// Writes an artifact's bytes, for as long as it takes while some come; gives what it is. Where the stream breaks
    /// it goes on, at another node if there is one. Its length and SHA-256 are known only in the end: where this fails,
    /// what was written is worth nothing.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound);
    /// [`Unreachable`](crate::ErrorKind::Unreachable) when no node gave a byte for as long as the options say of
    /// watches; [`Damaged`](crate::ErrorKind::Damaged) where what came has another length or SHA-256, and
    /// [`Unwritten`](crate::ErrorKind::Unwritten) where `to` does not take it.
    pub async fn download<W>(
        &self,
        asked: v1::DescribeArtifactRequest,
        to: &mut W,
    ) -> Result<v1::Artifact, Error>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let artifact = self.describe(asked).await?;
        let mut taken = Taken::new(&artifact);
        let mut search = Search::new(self.client.clone());
        while taken.is_missing_some() {
            let node = search.node().await;
            let mut artifacts = node.artifacts();
            let opened = in_time(self.client.resume(), artifacts.get(node.request(taken.rest())));
            let ended = match opened.await.map(Response::into_inner) {
                Ok(stream) => {
                    pass_on(stream, &mut taken, (&mut search, self.client.resume()), to).await?
                }
                Err(status) => status,
            };
            if taken.is_missing_some() {
                search.failed(ended)?;
            }
        }
        taken.check()?;
        to.flush().await.map_err(Error::unwritten)?;
        Ok(artifact)
    }
}

/// Writes what a stream brings, and tells how it ended.
async fn pass_on<W: AsyncWrite + Unpin + ?Sized>(
    mut stream: Streaming<v1::GetArtifactResponse>,
    taken: &mut Taken<'_>,
    (search, patience): (&mut Search, Duration),
    to: &mut W,
) -> Result<Status, Error> {
    loop {
        let message = match in_time(patience, stream.message()).await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Status::unavailable("the node ended the artifact")),
            Err(status) => return Ok(status),
        };
        // What it is comes first, and is no progress.
        if let Some(Part::Data(piece)) = message.part
            && !piece.is_empty()
        {
            taken.take(&piece)?;
            to.write_all(&piece).await.map_err(Error::unwritten)?;
            search.found();
        }
    }
}

/// What a node says within a time: one that lives and gives nothing is left.
async fn in_time<T>(
    patience: Duration,
    says: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let nothing = |_| Err(Status::unavailable("the node gives nothing of the artifact"));
    timeout(patience, says).await.unwrap_or_else(nothing)
}

/// What has come of an artifact.
struct Taken<'a> {
    of: &'a v1::Artifact,
    size: u64,
    digest: Box<dyn Context>,
}

impl<'a> Taken<'a> {
    fn new(of: &'a v1::Artifact) -> Self {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = suite.tls13().expect("it is a suite of TLS 1.3");
        Self { of, size: 0, digest: suite.common.hash_provider.start() }
    }

    const fn is_missing_some(&self) -> bool {
        self.size < self.of.size
    }

    /// What is asked for what is missing.
    fn rest(&self) -> v1::GetArtifactRequest {
        let v1::Artifact { tenant, name, version, .. } = self.of.clone();
        v1::GetArtifactRequest { tenant, name, version, offset: self.size }
    }

    /// Counts what came next, before it is written: no more is than there should be.
    fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.size += piece.len() as u64;
        if self.size > self.of.size {
            let v1::Artifact { name, version, size, .. } = self.of;
            let message = format!("more came of artifact {name}@{version} than its {size} bytes");
            return Err(Error::damaged(message));
        }
        self.digest.update(piece);
        Ok(())
    }

    /// Whether all that came is what it should be.
    fn check(self) -> Result<(), Error> {
        let v1::Artifact { name, version, sha256, .. } = self.of;
        let came = self.digest.finish();
        match came.as_ref() == sha256.as_slice() {
            true => Ok(()),
            false => Err(Error::damaged(format!(
                "what came of artifact {name}@{version} has SHA-256 {}, not {}",
                hex(came.as_ref()),
                hex(sha256)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// SHA-256 of `abc`, as FIPS 180-2 has it.
    const ABC: [u8; 32] = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,
        0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
        0x15, 0xad,
    ];

    fn check(pieces: &[&str], expected: Result<(), &str>) {
        let (name, version) = ("fw".to_owned(), "2".to_owned());
        let of = v1::Artifact { name, version, size: 3, sha256: ABC.into(), ..Default::default() };
        let mut taken = Taken::new(&of);
        let all = pieces.iter().try_for_each(|piece| {
            let before = taken.size;
            assert_eq!(taken.rest().offset, before);
            assert!(taken.is_missing_some() || before == 3);
            taken.take(piece.as_bytes())
        });
        let came = all.and_then(|()| taken.check());
        let said = came.as_ref().map_err(ToString::to_string);
        assert_eq!(said.map(|&()| ()), expected.map_err(str::to_owned));
        assert!(came.err().is_none_or(|error| *error.kind() == ErrorKind::Damaged));
    }

    #[test]
    fn what_came_is_counted_and_compared() {
        check(&["a", "bc"], Ok(()));
        check(&["abc", "d"], Err("more came of artifact fw@2 than its 3 bytes"));
        let other = "what came of artifact fw@2 has SHA-256 \
            cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34, not \
            ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check(&["def"], Err(other));
    }
}

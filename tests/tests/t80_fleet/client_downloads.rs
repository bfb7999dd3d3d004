//! An artifact's bytes by the service client, over a wire that is cut and from nodes that say what is not so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pollux_client::{Client, ErrorKind, Options, Rejection, v1};
use pollux_tests::node::{NodeOptions, Wire};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use v1::artifacts_server::{Artifacts, ArtifactsServer};
use v1::put_artifact_request::Part;

/// Bytes of the artifact: more than is under way at once between its ends.
const SIZE: usize = 24 << 20;
/// Bytes of one message.
const PIECE: usize = 1 << 20;
/// The wire is cut after so many came, and so many more.
const HOLDS: usize = 7 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_broke() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let wire = Wire::to(&node).await?;
    let cut = Client::new(&Options::new([wire.address.as_str()]).timeout(Duration::from_secs(30)))?;
    // No piece of it is like another.
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(SIZE).collect();
    let (name, version) = ("long-fw".to_owned(), "1".to_owned());
    let new = v1::NewArtifact { name, version, ..Default::default() };
    let pieces = content.chunks(PIECE).map(|piece| Part::Data(piece.to_vec()));
    let parts = std::iter::once(Part::Artifact(new)).chain(pieces);
    let parts: Vec<_> = parts.map(|part| v1::PutArtifactRequest { part: Some(part) }).collect();
    let put = cut.artifacts().put(tokio_stream::iter(parts)).await?;

    let asked = || {
        let (name, version) = ("long-fw".to_owned(), "1".to_owned());
        v1::DescribeArtifactRequest { name, version, ..Default::default() }
    };
    let before = wire.taken();
    let (mut near, mut far) = tokio::io::duplex(PIECE);
    let artifacts = cut.artifacts();
    let download = async {
        let got = artifacts.download(asked(), &mut near).await;
        drop(near);
        got
    };
    let reading = async {
        let mut came = Vec::new();
        for _ in 0..SIZE / HOLDS {
            let from = came.len();
            came.resize(from + HOLDS, 0);
            far.read_exact(&mut came[from..]).await?;
            wire.cut();
        }
        far.read_to_end(&mut came).await?;
        io::Result::Ok(came)
    };
    let (got, came) = tokio::join!(download, reading);
    ensure!(got? == put);
    ensure!(came? == content, "what came is something else");
    let taken = wire.taken() - before;
    ensure!(taken >= SIZE / HOLDS, "{taken} connections: too little was cut");

    let error = artifacts.download(asked(), &mut Full).await.expect_err("it is not taken");
    ensure!(*error.kind() == ErrorKind::Unwritten, "{error:?}");
    let mut nowhere = tokio::io::sink();
    let other = v1::DescribeArtifactRequest { version: "2".into(), ..asked() };
    let error = artifacts.download(other, &mut nowhere).await.err().context("there is none")?;
    ensure!(error.rejection() == Some(&Rejection::NotFound), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_gives_is_found_out() -> Result<()> {
    let check = async |gives: &'static [u8], kind: ErrorKind, says: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let liar = ArtifactsServer::new(Liar { gives });
        let serving = Server::builder().add_service(liar);
        let serving = tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        let options = Options::new([address]).resume_for(Duration::from_secs(1));
        let (client, mut came) = (Client::new(&options)?, Vec::new());
        let asked = v1::DescribeArtifactRequest::default();
        let got = client.artifacts().download(asked, &mut came).await;
        serving.abort();
        let error = got.err().context("it is not what was asked for")?;
        ensure!(*error.kind() == kind && error.to_string().contains(says), "{error:?}");
        ensure!(came.len() <= 3, "more was written than there is: {came:?}");
        anyhow::Ok(())
    };
    check(b"abd", ErrorKind::Damaged, "SHA-256").await?;
    check(b"abcd", ErrorKind::Damaged, "than its 3 bytes").await?;
    // Tells again and again what it is, and gives no more of it.
    check(b"ab", ErrorKind::Unreachable, "ended").await
}

/// A node that says it has three bytes, and gives others.
struct Liar {
    gives: &'static [u8],
}

type Given<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Artifacts for Liar {
    type GetStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<v1::GetArtifactResponse, Status>>>;

    async fn describe(&self, _: Request<v1::DescribeArtifactRequest>) -> Given<v1::Artifact> {
        Ok(Response::new(v1::Artifact { size: 3, sha256: vec![7; 32], ..Default::default() }))
    }

    async fn get(&self, asked: Request<v1::GetArtifactRequest>) -> Given<Self::GetStream> {
        use v1::get_artifact_response::Part;
        let offset = usize::try_from(asked.get_ref().offset).unwrap_or(usize::MAX);
        let rest = self.gives.get(offset..).unwrap_or_default().to_vec();
        let parts = vec![Part::Artifact(v1::Artifact::default()), Part::Data(rest)];
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| Ok(v1::GetArtifactResponse { part: Some(part) }))
            .collect();
        Ok(Response::new(tokio_stream::iter(parts)))
    }

    async fn put(&self, _: Request<Streaming<v1::PutArtifactRequest>>) -> Given<v1::Artifact> {
        Err(Status::unimplemented("put"))
    }

    async fn list(&self, _: Request<v1::ListArtifactsRequest>) -> Given<v1::ListArtifactsResponse> {
        Err(Status::unimplemented("list"))
    }

    async fn remove(
        &self,
        _: Request<v1::RemoveArtifactRequest>,
    ) -> Given<v1::RemoveArtifactResponse> {
        Err(Status::unimplemented("remove"))
    }

    async fn put_key(&self, _: Request<v1::PutArtifactKeyRequest>) -> Given<v1::ArtifactKey> {
        Err(Status::unimplemented("put_key"))
    }

    async fn list_keys(
        &self,
        _: Request<v1::ListArtifactKeysRequest>,
    ) -> Given<v1::ListArtifactKeysResponse> {
        Err(Status::unimplemented("list_keys"))
    }

    async fn remove_key(
        &self,
        _: Request<v1::RemoveArtifactKeyRequest>,
    ) -> Given<v1::RemoveArtifactKeyResponse> {
        Err(Status::unimplemented("remove_key"))
    }
}

/// Takes nothing.
struct Full;

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

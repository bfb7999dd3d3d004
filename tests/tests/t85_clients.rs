//! The service client against the real program: who may do what, made and tried out by it, and an artifact's bytes
//! over a wire that is cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pollux_client::{Client, ErrorKind, Options, Rejection, Section, v1};
use pollux_tests::node::{NodeOptions, NodeProcess, Wire};
use serde_json::json;
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

fn as_whom(node: &NodeProcess, token: &str) -> Result<Client> {
    Ok(Client::new(&Options::new([format!("http://{}", node.grpc)]).token(token))?)
}

fn texts<const N: usize>(of: [&str; N]) -> Vec<String> {
    of.map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_may_do_what_its_policy_says_until_its_token_is_revoked() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("node"));
    let node = options.with("POLLUX_ACCESS__MODE", "enforced").start()?;
    let root = std::fs::read_to_string(node.data().join(pollux_runtime::ROOT_TOKEN_FILE))?;
    let operator = as_whom(&node, root.trim())?;
    let access = operator.access();

    let subject = v1::PrincipalSubject { issuer: "https://id.example".into(), subject: "7".into() };
    let tuner = v1::Principal {
        name: "tuner".into(),
        note: "of a test".into(),
        subjects: vec![subject],
        ..Default::default()
    };
    access.put_principal(tuner.clone()).await?;
    // Put twice it is as put once.
    access.put_principal(tuner.clone()).await?;
    let asked = v1::IssueTokenRequest { principal: "tuner".into(), ..Default::default() };
    let issued = access.issue_token(asked).await?;
    let listed = access.list_principals().await?;
    ensure!(listed.len() == 1 && listed[0].subjects == tuner.subjects, "{listed:?}");
    ensure!(listed[0].tokens.len() == 1 && listed[0].tokens[0].id == issued.id, "{listed:?}");
    let policy = v1::Policy {
        name: "tuners".into(),
        principals: texts(["tuner"]),
        actions: texts(["twin:write"]),
        on: texts(["default/pump-*"]),
        sections: texts(["desired"]),
        ..Default::default()
    };
    access.put_policy(policy.clone()).await?;
    ensure!(access.list_policies().await? == std::slice::from_ref(&policy));

    let service = as_whom(&node, &issued.token)?;
    ensure!(service.who_am_i().await?.principal == "tuner");
    let twins = service.twins();
    twins.patch("pump-1", Section::Desired, &json!({"interval_s": 10})).await?;
    let error = twins.get("pump-1").await.expect_err("no policy allows it");
    let forbidden = |action: &str, on: &str| Rejection::Forbidden {
        action: action.to_owned(),
        on: on.to_owned(),
    };
    let expected = forbidden("twin:read", "default/pump-1");
    ensure!(error.rejection() == Some(&expected), "{error:?}");
    let error = service.access().audit().await.expect_err("nor that");
    ensure!(error.rejection() == Some(&forbidden("access:read", "the cluster")), "{error:?}");

    let check = async |action: &str| {
        let (principal, on) = ("tuner".to_owned(), "default/pump-1".to_owned());
        let section = if action == "twin:write" { "desired" } else { "" }.to_owned();
        let action = action.to_owned();
        let asked = v1::CheckRequest { principal, action, on, section, ..Default::default() };
        access.check(asked).await
    };
    let may = check("twin:write").await?;
    ensure!(may.allowed && may.why == "allowed by policy tuners", "{may:?}");
    let may_not = check("twin:read").await?;
    ensure!(!may_not.allowed && may_not.why.contains("no policy allows it"), "{may_not:?}");

    access.revoke_token(&issued.id).await?;
    let error = service.who_am_i().await.expect_err("its token is worth nothing");
    ensure!(error.reason() == Some("unauthenticated"), "{error:?}");
    access.remove_policy("tuners").await?;
    access.remove_principal("tuner").await?;
    ensure!(access.list_principals().await?.is_empty() && access.list_policies().await?.is_empty());
    for gone in [
        access.remove_policy("tuners").await,
        access.remove_principal("tuner").await,
        access.revoke_token(&issued.id).await,
    ] {
        let error = gone.expect_err("it is gone");
        ensure!(error.rejection() == Some(&Rejection::NotFound), "{error:?}");
    }
    written_down(&operator).await
}

/// What was done is in the audit, whole and page by page.
async fn written_down(operator: &Client) -> Result<()> {
    let all = operator.access().audit().await?;
    let whats: Vec<_> = all.iter().rev().map(|entry| entry.what.as_str()).collect();
    let expected = [
        "principal put",
        "principal put",
        "token issue",
        "policy put",
        "token revoke",
        "policy remove",
        "principal remove",
    ];
    ensure!(whats == expected, "{whats:?}");
    ensure!(all.iter().all(|entry| entry.who == "root" && entry.result == "done"), "{all:?}");
    let page = v1::AuditRequest { limit: 2, ..Default::default() };
    let page = operator.access().audit_page(page).await?;
    ensure!(page == all[..2], "{page:?}");
    let page = v1::AuditRequest { limit: 2, before: page[1].number };
    let page = operator.access().audit_page(page).await?;
    ensure!(page == all[2..4], "{page:?}");
    Ok(())
}

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

//! `pollux artifact …`: calls of the Artifacts service, and signatures.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use pollux_device::digest::{Sha256, public_key_from_pem, verify};
use pollux_proto::artifact::statement;
use pollux_proto::convert;
use pollux_proto::hex::hex;
use pollux_proto::v1;
use pollux_proto::v1::get_artifact_response::Part as Got;
use pollux_proto::v1::put_artifact_request::Part as Put;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::args::{
    ArtifactCommand, ArtifactKeyCommand, GetArtifactArgs, ListArtifactsArgs, OneArtifact, Output,
    PutArtifactArgs, SignArgs, TenantFlags,
};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::fleet::{json_of, reach};
use crate::limits::{ARTIFACT_PIECE_BYTES, JOB_BAR_WIDTH};
use crate::print;

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: ArtifactCommand) -> Result<(), Failure> {
    match command {
        ArtifactCommand::Put(args) => put(output, *args).await,
        ArtifactCommand::Get(args) => get(output, args).await,
        ArtifactCommand::List(args) => list(output, args).await,
        ArtifactCommand::Show(one) => {
            let (client, asked) = one.reach().await?;
            let found = client.artifacts().describe(client.request(asked)).await?.into_inner();
            show(output, &found)
        }
        ArtifactCommand::Remove(one) => {
            let (client, asked) = one.reach().await?;
            let text = format!("artifact {}@{} is gone", asked.name, asked.version);
            let v1::DescribeArtifactRequest { tenant, name, version } = asked;
            let asked = v1::RemoveArtifactRequest { tenant, name, version };
            client.artifacts().remove(client.request(asked)).await?;
            print::result(output, &text, &json!({}))
        }
        ArtifactCommand::Sign(args) => sign(output, args).await,
        ArtifactCommand::Key(command) => keys(output, command).await,
    }
}

async fn keys(output: Output, command: ArtifactKeyCommand) -> Result<(), Failure> {
    match command {
        ArtifactKeyCommand::Add { named, file, note } => {
            let public_key = public_key(&file)?.to_vec();
            let (client, tenant, name) = reach(&named).await?;
            let asked = v1::PutArtifactKeyRequest { tenant, name, public_key, note };
            let added = client.artifacts().put_key(client.request(asked)).await?.into_inner();
            print::result(output, &key_text(&added), &json_of(&convert::artifact_key_json(&added)))
        }
        ArtifactKeyCommand::List(TenantFlags { tenant, client }) => {
            let client = Client::connect(&client).await?;
            let asked = client.request(v1::ListArtifactKeysRequest { tenant });
            let found = client.artifacts().list_keys(asked).await?.into_inner().keys;
            let text = match found.as_slice() {
                [] => "no keys: artifacts need not be signed".to_owned(),
                keys => keys.iter().map(key_text).collect::<Vec<_>>().join("\n"),
            };
            let all: Vec<_> =
                found.iter().map(|key| json_of(&convert::artifact_key_json(key))).collect();
            print::result(output, &text, &json!({ "keys": all }))
        }
        ArtifactKeyCommand::Remove(named) => {
            let (client, tenant, name) = reach(&named).await?;
            let text = format!("artifact key {name} is gone");
            let asked = v1::RemoveArtifactKeyRequest { tenant, name };
            client.artifacts().remove_key(client.request(asked)).await?;
            print::result(output, &text, &json!({}))
        }
    }
}

impl OneArtifact {
    /// A node, and which artifact is meant.
    async fn reach(&self) -> Result<(Client, v1::DescribeArtifactRequest), Failure> {
        let asked = named(&self.artifact)?;
        Ok((Client::connect(&self.client).await?, asked))
    }
}

/// The tenant, name and version of `tenant/name@version`.
pub(crate) fn named(text: &str) -> Result<v1::DescribeArtifactRequest, Failure> {
    let (tenant, rest) = text.split_once('/').unwrap_or(("", text));
    let (name, version) = rest.split_once('@').ok_or_else(|| {
        Failure::new(Exit::Usage, format!("artifact {text:?} has no version"))
            .next("write it as name@version or tenant/name@version")
    })?;
    let [tenant, name, version] = [tenant, name, version].map(str::to_owned);
    Ok(v1::DescribeArtifactRequest { tenant, name, version })
}

/// The name of an artifact that is made of a file.
fn name_of(given: Option<&str>, file: &Path) -> Result<String, Failure> {
    let stem = || file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    given.map(str::to_owned).or_else(stem).ok_or_else(|| {
        let message = format!("{} gives no name", file.display());
        Failure::new(Exit::Usage, message).next("name the artifact with --name")
    })
}

/// A file's digest and size.
async fn digest(path: &Path) -> Result<([u8; 32], u64), Failure> {
    let read = async {
        let mut file = File::open(path).await?;
        let (mut hasher, mut size) = (Sha256::new(), 0);
        let mut piece = vec![0; ARTIFACT_PIECE_BYTES];
        loop {
            match file.read(&mut piece).await? {
                0 => return Ok((hasher.finish(), size)),
                count => {
                    hasher.update(&piece[..count]);
                    size += count as u64;
                }
            }
        }
    };
    read.await.map_err(|error| unread(path, &error))
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("read {}: {error}", path.display()))
}

fn public_key(path: &Path) -> Result<[u8; 32], Failure> {
    let pem = std::fs::read(path).map_err(|error| unread(path, &error))?;
    public_key_from_pem(&pem)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

/// A signature as it lies in a file.
fn signature(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| unread(path, &error))?;
    let decoded = || STANDARD.decode(bytes.trim_ascii()).ok();
    let found = if bytes.len() == 64 { Some(bytes.clone()) } else { decoded() };
    found.filter(|signature| signature.len() == 64).ok_or_else(|| {
        let message = format!("{}: it is no Ed25519 signature", path.display());
        Failure::new(Exit::Usage, message)
            .next("make one with `pollux artifact sign`: 64 bytes, or those in base64")
    })
}

async fn put(output: Output, args: PutArtifactArgs) -> Result<(), Failure> {
    let name = name_of(args.name.as_deref(), &args.file)?;
    let (tenant, name) = name.split_once('/').unwrap_or(("", &name));
    let signature = args.signature.as_deref().map(signature).transpose()?.unwrap_or_default();
    let (sha256, size) = digest(&args.file).await?;
    let first = v1::NewArtifact {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        version: args.version,
        media_type: args.media_type,
        sha256: sha256.to_vec(),
        signature,
        key: args.key.unwrap_or_default(),
        size,
    };
    let file = File::open(&args.file).await.map_err(|error| unread(&args.file, &error))?;
    let client = Client::connect(&args.client).await?;
    let of = |part| v1::PutArtifactRequest { part: Some(part) };
    let begun = (file, Bar::new(size));
    let rest = stream::unfold(begun, move |(mut file, mut bar)| async move {
        let mut piece = vec![0; ARTIFACT_PIECE_BYTES];
        // A file that cannot be read to its end is too short, which the node says.
        let count = file.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        piece.truncate(count);
        bar.more(count as u64);
        Some((of(Put::Data(piece)), (file, bar)))
    });
    let all = futures_util::StreamExt::chain(stream::iter([of(Put::Artifact(first))]), rest);
    let put = client.artifacts().put(client.lasting_request(Box::pin(all))).await;
    print::status_end();
    show(output, put?.get_ref())
}

async fn get(output: Output, args: GetArtifactArgs) -> Result<(), Failure> {
    let (client, asked) = args.one.reach().await?;
    let trusted = args.verify.as_deref().map(public_key).transpose()?;
    let about = client.artifacts().describe(client.request(asked.clone())).await?.into_inner();
    // The file is called by what was asked for: a node does not say where something is written.
    if (&about.name, &about.version) != (&asked.name, &asked.version) {
        let message = format!("the node told of {}@{} instead", about.name, about.version);
        return Err(Failure::new(Exit::Failed, message).next("ask another node"));
    }
    if let Some(public) = trusted {
        check(&about, &public)?;
    }
    let to = args.to.unwrap_or_else(|| PathBuf::from(format!("{}-{}", about.name, about.version)));
    let wanted = hex(&about.sha256);
    let mut part = to.file_name().unwrap_or_default().to_owned();
    part.push(format!(".{}.part", wanted.get(..16).unwrap_or_default()));
    let part = to.with_file_name(part);
    fetch(&client, &about, &part).await?;
    print::status_end();
    let (actual, _) = digest(&part).await?;
    if hex(&actual) != wanted {
        let _gone = std::fs::remove_file(&part);
        let message = format!("what came has SHA-256 {}, and {wanted} was expected", hex(&actual));
        return Err(Failure::new(Exit::Failed, message).next("fetch it again"));
    }
    std::fs::rename(&part, &to).map_err(|error| unwritten(&to, &error))?;
    let text = format!("{}  {} bytes, SHA-256 {wanted}", to.display(), about.size);
    let mut json = json_of(&convert::artifact_json(&about));
    json["file"] = to.display().to_string().into();
    print::result(output, &text, &json)
}

/// Fetches what is missing of a file.
async fn fetch(client: &Client, about: &v1::Artifact, part: &Path) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).open(part).await;
    let mut file = opened.map_err(|error| unwritten(part, &error))?;
    let there = file.metadata().await.map_err(|error| unwritten(part, &error))?.len();
    let mut bar = Bar::new(about.size);
    bar.more(there.min(about.size));
    if there >= about.size {
        return Ok(());
    }
    let asked = v1::GetArtifactRequest {
        tenant: about.tenant.clone(),
        name: about.name.clone(),
        version: about.version.clone(),
        offset: there,
    };
    let mut parts = client.artifacts().get(client.lasting_request(asked)).await?.into_inner();
    while let Some(came) = parts.message().await? {
        let Some(Got::Data(piece)) = came.part else { continue };
        file.write_all(&piece).await.map_err(|error| unwritten(part, &error))?;
        bar.more(piece.len() as u64);
    }
    let synced = async {
        file.flush().await?;
        file.sync_all().await
    };
    synced.await.map_err(|error| unwritten(part, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("write {}: {error}", path.display()))
}

/// Whether an artifact is signed by a key.
fn check(about: &v1::Artifact, public: &[u8; 32]) -> Result<(), Failure> {
    let sha256 = <[u8; 32]>::try_from(about.sha256.as_slice()).unwrap_or_default();
    let signed = statement(&about.name, &about.version, about.size, &sha256);
    let signature = <[u8; 64]>::try_from(about.signature.as_slice());
    match signature.is_ok_and(|signature| verify(public, signed.as_bytes(), &signature)) {
        true => Ok(()),
        false => Err(Failure::new(Exit::Refused, "the artifact is not signed by that key")),
    }
}

async fn list(output: Output, args: ListArtifactsArgs) -> Result<(), Failure> {
    let TenantFlags { tenant, client } = args.tenant;
    let client = Client::connect(&client).await?;
    let (mut found, mut page_token) = (Vec::new(), String::new());
    while found.len() < args.limit {
        let left = args.limit - found.len();
        let asked = v1::ListArtifactsRequest {
            tenant: tenant.clone(),
            prefix: args.prefix.clone(),
            page_size: u32::try_from(left).unwrap_or(u32::MAX).min(1_000),
            page_token,
        };
        let page = client.artifacts().list(client.request(asked)).await?.into_inner();
        found.extend(page.artifacts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let text = match found.as_slice() {
        [] => "no artifacts".to_owned(),
        all => all.iter().map(text).collect::<Vec<_>>().join("\n"),
    };
    let all: Vec<_> = found.iter().map(|one| json_of(&convert::artifact_json(one))).collect();
    print::result(output, &text, &json!({ "artifacts": all }))
}

async fn sign(output: Output, args: SignArgs) -> Result<(), Failure> {
    let name = name_of(args.name.as_deref(), &args.file)?;
    let (sha256, size) = digest(&args.file).await?;
    let pem = std::fs::read(&args.key).map_err(|error| unread(&args.key, &error))?;
    let wrong = |what: &str| {
        Failure::new(Exit::Usage, format!("{}: {what}", args.key.display()))
            .next("make one with `openssl genpkey -algorithm ed25519`")
    };
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| wrong(&error.to_string()))?;
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(der);
    let signer = key.ok().and_then(|key| key.choose_scheme(&[SignatureScheme::ED25519]));
    let signer = signer.ok_or_else(|| wrong("it is no Ed25519 private key"))?;
    let signed = statement(&name, &args.version, size, &sha256);
    let signature = signer.sign(signed.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
    let text = STANDARD.encode(signature);
    let json = json!({
        "name": name, "version": args.version, "size": size, "sha256": hex(&sha256),
        "signature": text,
    });
    print::result(output, &text, &json)
}

fn show(output: Output, one: &v1::Artifact) -> Result<(), Failure> {
    print::result(output, &text(one), &json_of(&convert::artifact_json(one)))
}

fn text(one: &v1::Artifact) -> String {
    let signed = match one.key.as_str() {
        "" => "not signed".to_owned(),
        key => format!("signed by {key}"),
    };
    let named = format!("{}/{}@{}", one.tenant, one.name, one.version);
    format!("{named:<40} {:>12} bytes  {}  {signed}", one.size, hex(&one.sha256))
}

fn key_text(one: &v1::ArtifactKey) -> String {
    let note = if one.note.is_empty() { String::new() } else { format!("  ({})", one.note) };
    format!("{}/{}  {}{note}", one.tenant, one.name, STANDARD.encode(&one.public_key))
}

/// How much of something has gone, as a bar that is written anew with each hundredth.
struct Bar {
    bytes: u64,
    of: u64,
    shown: u64,
}

impl Bar {
    const fn new(of: u64) -> Self {
        Self { bytes: 0, of, shown: 0 }
    }

    fn more(&mut self, bytes: u64) {
        self.bytes += bytes;
        let percent = (self.bytes.saturating_mul(100)).checked_div(self.of).unwrap_or(100);
        // Where a line does not replace the one before, a tenth of them is enough.
        let step = if io::IsTerminal::is_terminal(&io::stderr()) { 1 } else { 10 };
        if percent >= self.shown + step || self.bytes == self.of {
            self.shown = percent;
            print::status(&self.line(percent));
        }
    }

    fn line(&self, percent: u64) -> String {
        let filled = percent * JOB_BAR_WIDTH / 100;
        let bar: String = (0..JOB_BAR_WIDTH).map(|n| if n < filled { '#' } else { '.' }).collect();
        let mib = |bytes: u64| format!("{}.{}", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
        format!("[{bar}] {percent} %, {} of {} MiB", mib(self.bytes), mib(self.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_named_with_its_version() {
        let asked = named("acme/fw@1.2+b").unwrap();
        assert_eq!((asked.tenant.as_str(), asked.name.as_str()), ("acme", "fw"));
        assert_eq!(asked.version, "1.2+b");
        assert_eq!(named("fw@1").unwrap().tenant, "");
        assert!(named("fw").unwrap_err().message.contains("no version"));
    }

    #[test]
    fn a_file_gives_its_name_up_to_the_last_dot() {
        let of = |given, file: &str| name_of(given, Path::new(file)).unwrap();
        assert_eq!(of(None, "out/pump-fw.2.bin"), "pump-fw.2");
        assert_eq!(of(Some("acme/x"), "out/pump-fw.bin"), "acme/x");
        assert!(name_of(None, Path::new("..")).is_err());
    }

    #[test]
    fn a_bar_says_how_far_it_is() {
        let bar = Bar { bytes: 3 << 19, of: 3 << 20, shown: 0 };
        let line = bar.line(50);
        assert!(line.ends_with("50 %, 1.5 of 3.0 MiB"), "{line}");
        assert_eq!(line.matches('#').count() as u64, JOB_BAR_WIDTH / 2);
    }
}

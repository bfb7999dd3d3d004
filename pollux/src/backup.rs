//! `pollux backup` and `pollux restore`: what to print while the runtime does it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pollux_proto::v1;
use pollux_runtime::backup::{
    self, BackupFault, BackupWriter, Manifest, Origin, RestoreOptions, ShardRecord, ShardWriter,
};
use pollux_runtime::clock::Clock;
use pollux_runtime::config::Layers;
use serde_json::{Value, json};

use crate::args::{BackupArgs, BackupVerb, Output, RestoreArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::limits::{PROGRESS_BYTES, SHARD_ATTEMPTS_MAX};
use crate::{configure, form, print};

/// Makes a backup, or verifies one.
pub(crate) async fn run(output: Output, args: BackupArgs) -> Result<(), Failure> {
    match (args.verb, args.out) {
        (Some(BackupVerb::Verify { dir }), _) => verify(output, &dir),
        (None, Some(out)) => {
            let timeout = args.client.timeout;
            let client = Client::connect(&args.client).await?;
            make(output, &Source { client, timeout, stale: args.stale }, &out).await
        }
        (None, None) => Err(Failure::new(Exit::Usage, "--out is missing: name an empty folder")),
    }
}

/// Makes the first node of a cluster from a backup.
pub(crate) async fn restore(output: Output, args: RestoreArgs) -> Result<(), Failure> {
    let layers = configure::layers(Layers::new(), &args.node);
    let layers = layers.flag("cluster.shards", args.shards.map(i64::from), "--shards");
    let config = layers.check().map_err(configure::wrong)?;
    let options = RestoreOptions { lineage: args.lineage };
    let mut verified = BTreeSet::new();
    let mut progress = |shard: &ShardRecord| match verified.insert(shard.shard) {
        true => note("verify ", shard),
        false => note("restore ", shard),
    };
    let restored = backup::restore(&args.from, &config, options, &mut progress).await;
    let restored = restored.map_err(|fault| failure("restore", &fault))?;
    let (manifest, identity) = (restored.manifest, restored.identity);
    let text = format!(
        "{} twins of {} shards of cluster {} are in {}\n\
         it is the first node of cluster {}, lineage {}, with {} shards; start it with `{}` and the same \
         configuration{}",
        manifest.twins(),
        manifest.shards.len(),
        manifest.cluster,
        config.data_dir.display(),
        identity.cluster,
        identity.lineage,
        identity.shards,
        form::start_line(&args.node),
        if args.shards.is_some() { ", its cluster.shards among it" } else { "" },
    );
    let mut json = document(&manifest);
    json["restored"] = json!({
        "cluster": identity.cluster.to_string(), "lineage": identity.lineage,
        "shards": identity.shards, "data_dir": config.data_dir,
    });
    print::result(output, &text, &json)
}

fn verify(output: Output, dir: &Path) -> Result<(), Failure> {
    let manifest =
        backup::verify(dir, |shard| note("", shard)).map_err(|fault| failure("verify", &fault))?;
    let text = format!("the backup in {} is sound: {}", dir.display(), sum(&manifest));
    print::result(output, &text, &document(&manifest))
}

/// Where shards are read.
struct Source {
    client: Client,
    timeout: Duration,
    stale: bool,
}

async fn make(output: Output, source: &Source, out: &Path) -> Result<(), Failure> {
    let request = source.client.request(v1::ClusterStatusRequest::default());
    let status = source.client.cluster().status(request).await?.into_inner();
    let origin = Origin {
        cluster: status.cluster,
        lineage: status.lineage,
        shards: u16::try_from(status.shards.len()).unwrap_or(u16::MAX),
        now_ms: Clock::new().wall().ms,
    };
    let failed = |fault: BackupFault| failure("back up", &fault);
    let mut writer = BackupWriter::begin(out, &origin).map_err(failed)?;
    for shard in 0..origin.shards {
        let (file, confirmed) = source.shard(&writer, shard).await?;
        let record = writer.take(file, confirmed).map_err(failed)?;
        let (twins, bytes) = (record.twins, record.bytes);
        print::status(&format!(
            "shard {} of {}: {twins} twins, {bytes} bytes",
            shard + 1,
            origin.shards
        ));
    }
    print::status_end();
    let manifest = writer.finish().map_err(failed)?;
    let text = format!("the backup is in {}: {}", out.display(), sum(&manifest));
    print::result(output, &text, &document(&manifest))
}

impl Source {
    /// All of a shard, and whether its owner confirmed it.
    async fn shard(
        &self,
        writer: &BackupWriter,
        shard: u16,
    ) -> Result<(ShardWriter, bool), Failure> {
        let mut attempt = 1;
        loop {
            let stale = self.stale && attempt > 1;
            let mut file = writer.shard().map_err(|fault| failure("back up", &fault))?;
            match self.read(shard, stale, &mut file).await {
                Ok(()) => return Ok((file, !stale)),
                // The node has asked whoever may hold it, for a while, before it gave up.
                Err(problem) if file.bytes() == 0 && !self.stale => return Err(problem),
                Err(problem) if attempt == SHARD_ATTEMPTS_MAX => return Err(problem),
                Err(problem) => {
                    print::note(&format!("shard {shard} is begun again: {}", problem.message));
                    file.discard().map_err(|fault| failure("back up", &fault))?;
                    attempt += 1;
                }
            }
        }
    }

    async fn read(&self, shard: u16, stale: bool, file: &mut ShardWriter) -> Result<(), Failure> {
        let request = v1::BackUpShardRequest { shard: shard.into(), stale };
        let request = self.client.lasting_request(request);
        let mut pieces = self.client.cluster().back_up_shard(request).await?.into_inner();
        let mut told = 0;
        loop {
            let next = tokio::time::timeout(self.timeout, pieces.message()).await;
            let next = next.map_err(|_| {
                Failure::new(
                    Exit::Unavailable,
                    format!("shard {shard}: the node sends nothing more"),
                )
                .next("try again, through another node with --grpc")
            })?;
            let Some(piece) = next? else { return Ok(()) };
            file.push(&piece.chunk).map_err(|fault| failure("back up", &fault))?;
            if file.bytes() >= told + PROGRESS_BYTES {
                told = file.bytes();
                print::status(&format!(
                    "shard {shard}: {} twins, {told} bytes so far",
                    file.twins()
                ));
            }
        }
    }
}

fn note(doing: &str, shard: &ShardRecord) {
    print::status(&format!("{doing}{}: {} twins, {} bytes", shard.file, shard.twins, shard.bytes));
}

fn sum(manifest: &Manifest) -> String {
    let mut text = format!(
        "{} twins of {} shards, {} bytes; cluster {}, lineage {}",
        manifest.twins(),
        manifest.shards.len(),
        manifest.bytes(),
        manifest.cluster,
        manifest.lineage
    );
    let stale: Vec<_> = manifest.shards.iter().filter(|shard| !shard.confirmed).collect();
    if !stale.is_empty() {
        let shards: Vec<String> = stale.iter().map(|shard| shard.shard.to_string()).collect();
        text += &format!(
            "\nno owner confirmed shards {}: what was acknowledged last may be missing there",
            shards.join(", ")
        );
    }
    text
}

fn document(manifest: &Manifest) -> Value {
    json!({
        "cluster": manifest.cluster, "lineage": manifest.lineage, "begun_ms": manifest.begun_ms,
        "twins": manifest.twins(), "bytes": manifest.bytes(),
        "unconfirmed": manifest.shards.iter().filter(|shard| !shard.confirmed)
            .map(|shard| shard.shard).collect::<Vec<_>>(),
        "shards": manifest.shards,
    })
}

fn failure(doing: &str, fault: &BackupFault) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("{doing}: {fault}"));
    match fault {
        BackupFault::Damaged { .. } | BackupFault::Other { .. } | BackupFault::Unfinished(_) => {
            failure.next("use another backup; `pollux backup verify` says which are sound")
        }
        BackupFault::Taken(_) => failure.next("name an empty folder, or a new one, with --out"),
        BackupFault::Io { .. } => failure.next("make room or set the rights, then begin again"),
        BackupFault::Stream { .. } => failure.next("try again, through another node with --grpc"),
        BackupFault::Invalid(_) | BackupFault::Node(_) => {
            failure.next("see `pollux restore --help`; an empty directory is needed")
        }
    }
}

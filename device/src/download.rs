//! Comes for an artifact: a stream of its own beside the session's, so that no report waits for it. What has come is
//! kept, and gone on with after a reconnect or a restart; the file has its name only once its digest, and where keys
//! are given its signature, are right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pollux_proto::artifact::statement;
use pollux_proto::device::download::{Fetch, NoFetch, Offer, Signed};
use pollux_proto::device::{ALPN, Decoder, encode};
use pollux_proto::hex::{from_hex, hex};
use pollux_twin::Value;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, RecvStream, VarInt};

use crate::device::Device;
use crate::digest::{Sha256, verify};
use crate::error::{DownloadError, Fault};
use crate::limits::{
    DOWNLOAD_AGAIN_MS, DOWNLOAD_AGAIN_MS_MAX, DOWNLOAD_ANSWER_MS, DOWNLOAD_READ_BYTES,
    RETRY_AFTER_MS_MAX,
};

/// What to come for, and where to.
#[derive(Clone, Debug)]
pub struct Download {
    name: String,
    version: String,
    to: PathBuf,
    sha256: Option<[u8; 32]>,
    keys: Vec<[u8; 32]>,
}

/// An artifact that has come, and is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// How many bytes it has.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// What it is.
    pub media_type: String,
    /// The key that it says it is signed by; checked where keys were given.
    pub key: Option<String>,
}

/// What a node offers.
#[derive(Clone, Debug)]
struct Offered {
    size: u64,
    sha256: [u8; 32],
    signature: Option<Signed>,
    media_type: String,
}

/// How an attempt ended that did not end well.
enum Ended {
    /// The connection, or the node, was lost: what came is kept, if anything did.
    Lost { came: bool },
    /// The node asks to come again after so long.
    Later(u64),
    /// What is kept is of no use.
    Useless(DownloadError),
    /// It makes no sense to try again.
    For(DownloadError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::For(DownloadError::Disk(Arc::new(error)))
    }
}

impl Download {
    /// An artifact of the device's tenant, to be written to a file.
    pub fn new(name: &str, version: &str, to: impl Into<PathBuf>) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, to: to.into(), sha256: None, keys: Vec::new() }
    }

    /// What a job names in desired: an object with `artifact`, `version` and `sha256`. None if it is none.
    pub fn from_desired(named: &Value, to: impl Into<PathBuf>) -> Option<Self> {
        let text = |name: &str| named.get(name)?.as_str();
        let sha256 = from_hex(text("sha256")?)?;
        Some(Self::new(text("artifact")?, text("version")?, to).sha256(sha256))
    }

    /// Only what has this SHA-256.
    #[must_use]
    pub fn sha256(mut self, sha256: [u8; 32]) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    /// Only what is signed by this Ed25519 key, or by another that is given so.
    #[must_use]
    pub fn signed_by(mut self, public: [u8; 32]) -> Self {
        self.keys.push(public);
        self
    }

    /// Where what has come is kept until it is whole. It is named by the digest too: a part of another release is not
    /// gone on with.
    fn part(&self, sha256: &[u8; 32]) -> PathBuf {
        let mut name = self.to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", &hex(sha256)[..16]));
        self.to.with_file_name(name)
    }

    /// Whether it is signed as it must be.
    fn check_signature(&self, offered: &Offered) -> Result<(), DownloadError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Some(Signed { key, bytes }) = &offered.signature else {
            return Err(DownloadError::Unsigned);
        };
        let signed = statement(&self.name, &self.version, offered.size, &offered.sha256);
        match self.keys.iter().any(|public| verify(public, signed.as_bytes(), bytes)) {
            true => Ok(()),
            false => Err(DownloadError::WrongSignature { key: key.clone() }),
        }
    }
}

impl Device {
    /// Comes for an artifact, for as long as it takes: connections that break meanwhile, and nodes that have no room,
    /// are waited for. Dropped, what has come stays for the next time.
    pub async fn download(&self, wanted: &Download) -> Result<Downloaded, DownloadError> {
        let (mut useless, mut again_ms) = (0, DOWNLOAD_AGAIN_MS);
        loop {
            let connection = self.connection().await.map_err(closed)?;
            match attempt(&connection, wanted).await {
                Ok(downloaded) => return Ok(downloaded),
                Err(Ended::Lost { came: true }) => {
                    again_ms = DOWNLOAD_AGAIN_MS;
                    pause(again_ms).await;
                }
                Err(Ended::Lost { came: false }) => {
                    pause(again_ms).await;
                    again_ms = (again_ms * 2).min(DOWNLOAD_AGAIN_MS_MAX);
                }
                Err(Ended::Later(ms)) => pause(ms.min(RETRY_AFTER_MS_MAX)).await,
                Err(Ended::For(error)) => return Err(error),
                // Once it may be what this device had kept; twice it is what nodes give.
                Err(Ended::Useless(error)) if useless > 0 => return Err(error),
                Err(Ended::Useless(_)) => useless += 1,
            }
        }
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn closed(fault: Fault) -> DownloadError {
    match fault {
        Fault::Closed(reason) => DownloadError::Closed(reason),
        other => DownloadError::Closed(other.to_string().into()),
    }
}

async fn attempt(connection: &Connection, wanted: &Download) -> Result<Downloaded, Ended> {
    let spoken = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    if spoken.is_none_or(|spoken| spoken.protocol.as_deref() != Some(ALPN)) {
        return Err(Ended::For(DownloadError::Unsupported));
    }
    let sha256 = match wanted.sha256 {
        Some(sha256) => sha256,
        // What is kept is found by the digest, which the node knows.
        None => ask(connection, wanted, None, 0).await?.0.sha256,
    };
    let path = wanted.part(&sha256);
    let at = path.clone();
    let mut part = blocking(move || Part::open(&at)).await?;
    let begun = part.bytes;
    let (offered, mut recv, rest) = ask(connection, wanted, Some(sha256), part.bytes).await?;
    if offered.sha256 != sha256 {
        let message = format!("the node gave {} instead of {}", hex(&offered.sha256), hex(&sha256));
        return Err(Ended::For(DownloadError::OtherContent { message }));
    }
    wanted.check_signature(&offered).map_err(Ended::For)?;
    let mut came = rest.freeze();
    loop {
        if part.bytes + came.len() as u64 > offered.size {
            return Err(useless(&path, &offered.sha256, None));
        }
        if !came.is_empty() {
            part = blocking(move || part.push(&came)).await?;
        }
        match recv.read_chunk(DOWNLOAD_READ_BYTES, true).await {
            Ok(Some(chunk)) => came = chunk.bytes,
            Ok(None) if part.bytes == offered.size => break,
            Ok(None) | Err(_) => return Err(Ended::Lost { came: part.bytes > begun }),
        }
    }
    let Part { file, hasher, .. } = part;
    let actual = hasher.finish();
    if actual != offered.sha256 {
        return Err(useless(&path, &offered.sha256, Some(actual)));
    }
    let to = wanted.to.clone();
    blocking(move || {
        file.sync_all()?;
        fs::rename(&path, &to)?;
        sync_folder(&to)
    })
    .await?;
    let key = offered.signature.map(|signed| signed.key);
    let Offered { size, sha256, media_type, .. } = offered;
    Ok(Downloaded { size, sha256, media_type, key })
}

/// Does what blocks for as long as the disk does, and a device's may be slow, beside the device's task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Ended> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.unwrap_or_else(|error| Err(io::Error::other(error)))?)
}

/// What was kept is not a part of what it should be.
fn useless(path: &Path, expected: &[u8; 32], actual: Option<[u8; 32]>) -> Ended {
    let _gone = fs::remove_file(path);
    Ended::Useless(DownloadError::WrongDigest {
        expected: hex(expected),
        actual: actual.map_or_else(|| "longer than it should be".to_owned(), |actual| hex(&actual)),
    })
}

/// What has come so far.
struct Part {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Part {
    /// Goes on with what was kept.
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut part = Self { file, hasher: Sha256::new(), bytes: 0 };
        let mut piece = vec![0; DOWNLOAD_READ_BYTES];
        loop {
            match part.file.read(&mut piece)? {
                0 => return Ok(part),
                count => part.count(&piece[..count]),
            }
        }
    }

    fn push(mut self, bytes: &[u8]) -> io::Result<Self> {
        self.file.write_all(bytes)?;
        self.count(bytes);
        Ok(self)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

/// The name is on the disk as well.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Asks a node: what it offers, and the stream behind it with what came along.
async fn ask(
    connection: &Connection,
    wanted: &Download,
    sha256: Option<[u8; 32]>,
    offset: u64,
) -> Result<(Offered, RecvStream, BytesMut), Ended> {
    let patience = Duration::from_millis(DOWNLOAD_ANSWER_MS);
    let asked = tokio::time::timeout(patience, async {
        let (mut send, mut recv) =
            connection.open_bi().await.map_err(|_| Ended::Lost { came: false })?;
        let (name, version) = (wanted.name.clone(), wanted.version.clone());
        let mut head = BytesMut::new();
        let fetch = Fetch { name, version, offset, sha256 };
        encode(&fetch, &mut head)
            .map_err(|error| Ended::For(DownloadError::NotFound { message: error.to_string() }))?;
        send.write_all(&head).await.map_err(|_| Ended::Lost { came: false })?;
        let _ = send.finish();
        let mut decoder = Decoder::<Offer>::new();
        loop {
            match decoder.poll().map_err(|error| protocol(&error))? {
                Some(offer) => return Ok((offer, recv, decoder.into_rest())),
                None => match recv.read_chunk(DOWNLOAD_READ_BYTES, true).await {
                    Ok(Some(chunk)) => decoder.push(&chunk.bytes),
                    Ok(None) | Err(_) => return Err(Ended::Lost { came: false }),
                },
            }
        }
    });
    let (offer, mut recv, rest) = asked.await.unwrap_or(Err(Ended::Lost { came: false }))?;
    match offer {
        Offer::Here { size, sha256: told, signature, media_type } => {
            if sha256.is_none() {
                // Only what it is was asked for.
                let _ = recv.stop(VarInt::from_u32(0));
            }
            Ok((Offered { size, sha256: told, signature, media_type }, recv, rest))
        }
        Offer::Refused { reason, message, retry_after_ms } => Err(match reason {
            NoFetch::NotFound => Ended::For(DownloadError::NotFound { message }),
            NoFetch::OtherContent => Ended::For(DownloadError::OtherContent { message }),
            NoFetch::BadOffset => {
                let sha256 = sha256.unwrap_or_default();
                useless(&wanted.part(&sha256), &sha256, None)
            }
            NoFetch::Busy => Ended::Later(u64::from(retry_after_ms.unwrap_or_default()).max(1)),
        }),
    }
}

fn protocol(error: &pollux_proto::device::FrameError) -> Ended {
    Ended::For(DownloadError::Protocol { message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use pollux_twin::JsonLimits;

    use super::*;

    #[test]
    fn what_a_job_names_is_what_is_come_for() {
        let digest = "ab".repeat(32);
        let text =
            format!("{{\"artifact\":\"fw\",\"version\":\"2\",\"sha256\":\"{digest}\",\"size\":3}}");
        let named = Value::from_json(&text, &JsonLimits::default()).unwrap();
        let wanted = Download::from_desired(&named, "/tmp/x/fw.bin").unwrap();
        assert_eq!((wanted.name.as_str(), wanted.version.as_str()), ("fw", "2"));
        assert_eq!(wanted.sha256, Some([0xab; 32]));
        let part = wanted.part(&[0xab; 32]);
        assert_eq!(part, Path::new("/tmp/x/fw.bin.abababababababab.part"));
        for wrong in ["{}", "{\"artifact\":\"fw\",\"version\":\"2\",\"sha256\":\"ab\"}", "[]"] {
            let named = Value::from_json(wrong, &JsonLimits::default()).unwrap();
            assert!(Download::from_desired(&named, "x").is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_unsigned_one_is_taken_only_where_no_key_is_given() {
        let plain = Download::new("fw", "1", "x");
        let signature = None;
        let mut offered =
            Offered { size: 1, sha256: [1; 32], signature, media_type: String::new() };
        assert!(plain.check_signature(&offered).is_ok());
        let strict = plain.signed_by([7; 32]);
        assert!(matches!(strict.check_signature(&offered), Err(DownloadError::Unsigned)));
        offered.signature = Some(Signed { key: "release".into(), bytes: [0; 64] });
        let refused = strict.check_signature(&offered);
        assert!(matches!(refused, Err(DownloadError::WrongSignature { key }) if key == "release"));
    }
}

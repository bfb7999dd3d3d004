//! A small site over TLS, as an issuer of tokens has one: documents that a test puts there, and how often each was
//! asked for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use pollux_runtime::clock::Clock;
use pollux_runtime::pki::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longest wait for a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers by path: status line with further headers, and body.
type Documents = BTreeMap<String, (String, String)>;

/// See the module. It is gone when dropped.
pub struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    documents: Mutex<Documents>,
    asked: Mutex<BTreeMap<String, usize>>,
    over: AtomicBool,
}

impl Site {
    /// Opens one on loopback, on any port; its CA is made as `ca.pem` in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let now = Clock::new().wall();
        let own = Authority::open_or_make(dir, "ca", "a CA of the web", now, 9)?;
        let own = own.issue_server(&[], now, 2)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(own.chain().to_vec(), own.key().clone_key())?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let (tls, serving) = (Arc::new(tls), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::Acquire) {
                    return;
                }
                // One that does not know the certificate goes.
                let _gone = serving.answer(stream, &tls);
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Its address, with a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// From now on this is at a path.
    pub fn put(&self, path: &str, body: &str) {
        self.put_as(path, "200 OK\r\ncache-control: max-age=3600", body);
    }

    /// The same with a status and headers.
    pub fn put_as(&self, path: &str, head: &str, body: &str) {
        let answer = (head.to_owned(), body.to_owned());
        let mut documents = self.shared.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.insert(path.to_owned(), answer);
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(path).copied().unwrap_or(0)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Wakes the thread, which then looks whether it is over.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream, tls: &Arc<ServerConfig>) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(tls))?, stream);
        let (mut asked, mut chunk) = (String::new(), [0; 4096]);
        while !asked.contains("\r\n\r\n") {
            let count = stream.read(&mut chunk)?;
            anyhow::ensure!(count > 0, "it asks for nothing");
            asked.push_str(std::str::from_utf8(&chunk[..count])?);
        }
        let path = asked.split(' ').nth(1).context("a path")?.to_owned();
        *self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(path.clone())
            .or_default() += 1;
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let none = ("404 Not Found".to_owned(), String::new());
        let (head, body) = documents.get(&path).unwrap_or(&none);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )?;
        stream.conn.send_close_notify();
        stream.flush()?;
        Ok(())
    }
}

//! `pollux start`: a node from its start to its graceful stop.

use std::path::Path;

use pollux_runtime::config::{AccessMode, Checked, Layers};
use pollux_runtime::{Fault, Node};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Output, StartArgs};
use crate::configure;
use crate::exit::{Exit, Failure};
use crate::limits::SIGNALS_APART;
use crate::{parent, print, trace};

/// Runs a node until a signal.
pub(crate) async fn run(output: Output, args: StartArgs) -> Result<(), Failure> {
    let config = configure::layers(Layers::new(), &args.node).check().map_err(configure::wrong)?;
    let mut signals = Signals::listen()?;
    // From here on: a hangup while the node waits for others must not end it.
    let mut hangups = signal(SignalKind::hangup()).map_err(deaf)?;
    trace::set_up(&config.trace)?;
    let node = node(&config).await?;
    announce(output, &node, Some(&config.data_dir))?;
    if node.founded() && config.access.mode == AccessMode::Enforced {
        print::note(&format!(
            "callers are checked: make the first operator with `pollux access bootstrap --data-dir {}`",
            config.data_dir.display()
        ));
    }
    let gone = parent::gone(args.until_stdin_closes);
    tokio::pin!(gone);
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = &mut gone => break,
            Some(()) = hangups.recv() => node.reload_certificates(),
        }
    }
    stop(node, signals).await;
    Ok(())
}

/// Starts a node.
pub(crate) async fn node(config: &Checked) -> Result<Node, Failure> {
    Node::start(config.clone()).await.map_err(|fault| {
        let failure = Failure::new(Exit::Failed, format!("the node cannot start: {fault}"));
        match fault {
            Fault::Listen { .. } => failure.next(
                "stop what listens there, or choose other ports with --devices-listen, \
                 --grpc-listen, --http-listen and --peers-listen (port 0 takes any)",
            ),
            _ => failure,
        }
    })
}

/// Says where a node listens, and, if `dir` is named, that it made a new cluster in there.
pub(crate) fn announce(output: Output, node: &Node, dir: Option<&Path>) -> Result<(), Failure> {
    let at = node.addresses();
    let mut text = format!(
        "devices  quic://{}   (mutual TLS, ALPN pollux/2, pollux/1, pollux-enrol/1)\n\
         gRPC     http://{}   (pollux.v1, reflection, health)\n\
         HTTP     http://{}   (/v1, /openapi.json, /metrics, /healthz, /readyz)\n\
         peers    quic://{}   (other nodes; `pollux cluster token` lets one in)",
        at.devices, at.grpc, at.http, at.peers
    );
    if let Some(dir) = dir.filter(|_| node.founded()) {
        text += &format!(
            "\nmade a new cluster in {}; to join one that is there use `pollux node join`",
            dir.display()
        );
    }
    let listening = json!({
        "devices": at.devices.to_string(),
        "grpc": at.grpc.to_string(),
        "http": at.http.to_string(),
        "peers": at.peers.to_string(),
    });
    let json = json!({"listening": listening, "founded": node.founded()});
    print::result(output, &text, &json)
}

/// Stops a node in order; a second signal ends it at once, which loses nothing acknowledged.
pub(crate) async fn stop(node: Node, mut signals: Signals) {
    print::note("stopping: bye to the devices, then a checkpoint; once more to end at once");
    tokio::select! {
        () = node.stop() => {}
        () = again(&mut signals) => print::note("ended at once"),
    }
}

/// Waits for a further signal: one that comes with the first is the same wish, as some programs tell a
/// process and its group.
async fn again(signals: &mut Signals) {
    let same = async {
        loop {
            signals.next().await;
        }
    };
    let _ = tokio::time::timeout(SIGNALS_APART, same).await;
    signals.next().await;
}

fn deaf(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("listen for signals: {error}"))
}

/// The signals that end a node.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from here on; until then a signal ends the process.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(deaf);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

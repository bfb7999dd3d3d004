//! The wires between the nodes of a cluster on this machine, so that they can be cut: each node is reached by
//! the others through a socket of this program, which passes datagrams on, or not. Devices and services
//! take no part in it. Needs no rights, as a firewall or a network namespace would.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::UdpSocket;

use crate::limits::{WIRE_BYTES_MAX, WIRE_FLOWS_MAX};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// All wires of a cluster. Clones are the same wires.
#[derive(Clone, Default)]
pub(crate) struct Wires {
    shared: Arc<RwLock<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Where each node sends from, by its number counted from 0.
    nodes: HashMap<SocketAddr, usize>,
    /// Nodes whose wires are cut.
    cut: BTreeSet<usize>,
}

impl Wires {
    /// Lays a wire to a node that listens at `node`; where the others reach it.
    pub(crate) async fn lay(&self, number: usize, node: SocketAddr) -> io::Result<SocketAddr> {
        let front = Arc::new(UdpSocket::bind(ANY).await?);
        let at = front.local_addr()?;
        self.shared.write().unwrap_or_else(PoisonError::into_inner).nodes.insert(node, number);
        let wire = Wire { wires: self.clone(), number, node, front };
        tokio::spawn(async move {
            if let Err(error) = wire.run().await {
                tracing_note(number, &error);
            }
        });
        Ok(at)
    }

    /// Cuts all wires of a node.
    pub(crate) fn cut(&self, number: usize) {
        self.shared.write().unwrap_or_else(PoisonError::into_inner).cut.insert(number);
    }

    /// Mends them.
    pub(crate) fn mend(&self, number: usize) {
        self.shared.write().unwrap_or_else(PoisonError::into_inner).cut.remove(&number);
    }

    /// Whether datagrams pass between a node and whoever sends from there.
    fn pass(&self, number: usize, other: SocketAddr) -> bool {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let other = shared.nodes.get(&other);
        !shared.cut.contains(&number) && !other.is_some_and(|other| shared.cut.contains(other))
    }
}

fn tracing_note(number: usize, error: &io::Error) {
    crate::print::note(&format!("the wire to node {} broke: {error}", number + 1));
}

struct Wire {
    wires: Wires,
    number: usize,
    node: SocketAddr,
    front: Arc<UdpSocket>,
}

impl Wire {
    /// Passes on what comes, each sender through a socket of its own, by which answers find back.
    async fn run(self) -> io::Result<()> {
        let mut flows: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut datagram = vec![0; WIRE_BYTES_MAX];
        loop {
            let Ok((length, from)) = self.front.recv_from(&mut datagram).await else {
                // An answer went to a node that is gone; that is its sender's business.
                continue;
            };
            if !self.wires.pass(self.number, from) {
                continue;
            }
            let flow = match flows.get(&from) {
                Some(flow) => flow,
                None if flows.len() >= WIRE_FLOWS_MAX => continue,
                None => {
                    let flow = Arc::new(UdpSocket::bind(ANY).await?);
                    flow.connect(self.node).await?;
                    let (wires, number) = (self.wires.clone(), self.number);
                    let (front, back) = (Arc::clone(&self.front), Arc::clone(&flow));
                    tokio::spawn(answers(wires, number, front, back, from));
                    flows.entry(from).or_insert(flow)
                }
            };
            // What a node that is gone does not take is lost, as on any wire.
            let _ = flow.send(&datagram[..length]).await;
        }
    }
}

/// Takes a node's answers back to who sent to it.
async fn answers(
    wires: Wires,
    number: usize,
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    to: SocketAddr,
) {
    let mut datagram = vec![0; WIRE_BYTES_MAX];
    loop {
        // An error says that nobody listens there now.
        let Ok(length) = back.recv(&mut datagram).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if wires.pass(number, to) {
            let _ = front.send_to(&datagram[..length], to).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
        let mut datagram = [0; 64];
        let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
        (String::from_utf8_lossy(&datagram[..length]).into_owned(), from)
    }

    #[tokio::test]
    async fn datagrams_pass_both_ways_unless_either_end_is_cut() {
        let wires = Wires::default();
        let (one, two) = (UdpSocket::bind(ANY).await.unwrap(), UdpSocket::bind(ANY).await.unwrap());
        let to_one = wires.lay(0, one.local_addr().unwrap()).await.unwrap();
        wires.lay(1, two.local_addr().unwrap()).await.unwrap();
        two.send_to(b"first", to_one).await.unwrap();
        let (text, back) = heard(&one).await;
        assert_eq!(text, "first");
        one.send_to(b"answer", back).await.unwrap();
        assert_eq!(heard(&two).await, ("answer".to_owned(), to_one));
        for cut in [0, 1] {
            wires.cut(cut);
            two.send_to(b"lost", to_one).await.unwrap();
            one.send_to(b"lost", back).await.unwrap();
            // What was sent before the wire is mended must be gone by then.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            wires.mend(cut);
            two.send_to(b"again", to_one).await.unwrap();
            assert_eq!(heard(&one).await.0, "again");
            one.send_to(b"again", back).await.unwrap();
            assert_eq!(heard(&two).await.0, "again");
        }
    }
}

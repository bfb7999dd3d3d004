//! The client: nodes, the one that is asked now, and a call with its repetitions. What is asked is in `twins`,
//! `commands`, `devices`, `subscriptions`, `jobs` and `cluster`; whether a call is repeated decides `attempts`.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pollux_twin::TwinKey;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::attempts::{Attempts, Work};
use crate::clock::Clock;
use crate::error::Error;
use crate::node::Node;
use crate::options::Options;

/// A client of a cluster. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    nodes: Vec<Node>,
    /// Counts up; its place among the nodes is the one that is asked now.
    at: AtomicUsize,
    timeout: Duration,
    resume: Duration,
}

impl Client {
    /// A client whose nodes are dialled when they are needed. To be made on a tokio runtime.
    ///
    /// # Errors
    /// [`Usage`](crate::ErrorKind::Usage) where the options name no way to a node.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let (nodes, _) = ways(options)?;
        let at = any(&nodes);
        Ok(Self::of(nodes, at, options))
    }

    /// The same, once a node is reached.
    ///
    /// # Errors
    /// As [`Self::new`], and [`Unreachable`](crate::ErrorKind::Unreachable) where no node is there.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let (mut nodes, endpoints) = ways(options)?;
        let first = any(&nodes);
        let mut last = None;
        for step in 0..nodes.len() {
            let at = (first + step) % nodes.len();
            match endpoints[at].connect().await {
                Ok(channel) => {
                    nodes[at].channel = channel;
                    return Ok(Self::of(nodes, at, options));
                }
                Err(error) => last = Some((at, error)),
            }
        }
        let (at, error) = last.expect("options that name no node are refused");
        let address = nodes[at].address();
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Err(Error::unreachable(format!("no node answers at {address}: {cause}"), error))
    }

    fn of(nodes: Vec<Node>, at: usize, options: &Options) -> Self {
        let (timeout, resume) = (options.timeout, options.resume);
        Self { shared: Arc::new(Shared { nodes, at: at.into(), timeout, resume }) }
    }

    /// The node that is asked now.
    pub fn node(&self) -> &Node {
        &self.shared.nodes[self.place()]
    }

    fn place(&self) -> usize {
        self.shared.at.load(Ordering::Relaxed) % self.shared.nodes.len()
    }

    /// How many nodes there are to ask.
    pub(crate) fn nodes(&self) -> u32 {
        u32::try_from(self.shared.nodes.len()).unwrap_or(u32::MAX)
    }

    /// How long watches look for a node.
    pub(crate) fn resume(&self) -> Duration {
        self.shared.resume
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Asks another node from now on, unless another call decided so already.
    pub(crate) fn leave(&self, node: &Node) {
        let at = self.shared.at.load(Ordering::Relaxed);
        if self.shared.nodes[at % self.shared.nodes.len()].address == node.address {
            let _another_did =
                self.shared.at.compare_exchange(at, at + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Makes a call, again where it may be and helps. `wait` is for how long the node may wait for what it answers.
    pub(crate) async fn call<M, T, F>(
        &self,
        work: Work,
        wait: Duration,
        message: M,
        make: impl Fn(Node, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        let mut attempts =
            Attempts::new(self.shared.timeout.saturating_add(wait), self.nodes(), work);
        let clock = Clock::start();
        loop {
            let node = self.node().clone();
            let patience = attempts.patience(clock.now());
            let mut request = node.request(message.clone());
            request.set_timeout(patience);
            let failed = match timeout(patience, make(node.clone(), request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!(
                    "no answer from {} within {} ms",
                    node.address,
                    patience.as_millis()
                )),
            };
            let again = attempts.next(failed, clock.now(), rand::random())?;
            if again.elsewhere {
                self.leave(&node);
            }
            sleep(again.pause).await;
        }
    }

    /// A call that changes nothing.
    pub(crate) async fn read<M, T, F>(
        &self,
        message: M,
        make: impl Fn(Node, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        self.call(Work::Read, Duration::ZERO, message, make).await
    }

    /// All that a list gives, page after page: `token` is where a question says what comes next, `cut` takes an answer
    /// apart into what is on its page and the token of the next.
    pub(crate) async fn pages<M, P, T, F>(
        &self,
        mut message: M,
        make: impl Fn(Node, Request<M>) -> F,
        token: fn(&mut M) -> &mut String,
        cut: fn(P) -> (Vec<T>, String),
    ) -> Result<Vec<T>, Error>
    where
        M: Clone,
        F: Future<Output = Result<P, Status>>,
    {
        let mut all = Vec::new();
        loop {
            let (page, next) = cut(self.read(message.clone(), &make).await?);
            all.extend(page);
            if next.is_empty() {
                return Ok(all);
            }
            *token(&mut message) = next;
        }
    }

    /// A call that, made twice, has done what it does once: it is made again as one with a key is.
    pub(crate) async fn repeated<M, T, F>(
        &self,
        message: M,
        make: impl Fn(Node, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        self.call(Work::Recognised(String::new()), Duration::ZERO, message, make).await
    }

    /// A call that is not made again where it may have been carried out.
    pub(crate) async fn once<M, T, F>(
        &self,
        message: M,
        make: impl Fn(Node, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        self.call(Work::Once, Duration::ZERO, message, make).await
    }
}

/// The nodes that options name, and the way to each of them.
fn ways(options: &Options) -> Result<(Vec<Node>, Vec<Endpoint>), Error> {
    let authorization = options.authorization()?;
    let ways = options.endpoints()?.into_iter().map(|(address, endpoint)| {
        let (address, channel) = (address.into(), endpoint.connect_lazy());
        (Node { address, channel, authorization: authorization.clone() }, endpoint)
    });
    Ok(ways.unzip())
}

/// The one to be asked first: clients of many processes spread over the nodes.
fn any(nodes: &[Node]) -> usize {
    rand::random_range(0..nodes.len())
}

/// Tenant and device of `device` or `tenant/device`.
pub(crate) fn named(device: &str) -> Result<(String, String), Error> {
    let key = TwinKey::parse(device).map_err(|error| {
        Error::usage(format!("device {device:?}: {error}; write it as device or tenant/device"))
    })?;
    Ok((key.tenant().to_owned(), key.device().to_owned()))
}

/// What is recognised of a write: the caller's key, or one that was never used; none if it is empty.
pub(crate) fn key(given: Option<String>) -> (String, Work) {
    let key = given.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    let work = if key.is_empty() { Work::Once } else { Work::Recognised(key.clone()) };
    (key, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn the_node_that_fails_is_left_once() {
        let client = Client::new(&Options::new(["a", "b", "c"])).expect("three ways");
        let first = client.node().clone();
        client.leave(&first);
        client.leave(&first);
        let second = client.node().clone();
        assert_ne!(first.address(), second.address());
        client.leave(&second);
        client.leave(&client.node().clone());
        assert_eq!(client.node().address(), first.address());
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let options = Options::new(["http://127.0.0.1:1"]).timeout(Duration::from_millis(100));
        let error = Client::connect(&options).await.expect_err("nobody listens there");
        assert_eq!(error.kind(), &ErrorKind::Unreachable);
        assert!(error.to_string().starts_with("no node answers at http://127.0.0.1:1: "));
        let client = Client::new(&options).expect("a way");
        let error = client.twins().get("pump-7").await.expect_err("nobody listens there");
        assert_eq!(error.kind(), &ErrorKind::Unreachable);
    }

    #[test]
    fn every_write_has_a_key_of_its_own_unless_it_is_to_have_none() {
        let ((a, work), (b, _)) = (key(None), key(None));
        assert_ne!(a, b);
        assert_eq!(work, Work::Recognised(a));
        assert_eq!(key(Some(String::new())).1, Work::Once);
        assert_eq!(key(Some("k".into())), ("k".into(), Work::Recognised("k".into())));
    }
}

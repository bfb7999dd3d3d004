//! Looking for a node after a stream broke: for a while, with pauses, at all that there are.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Status;

use crate::attempts::{Attempts, Work};
use crate::client::Client;
use crate::clock::Clock;
use crate::error::Error;
use crate::node::Node;

/// A search that begins with the first failure and ends when a stream tells something.
#[derive(Debug)]
pub(crate) struct Search {
    client: Client,
    under_way: Option<(Attempts, Clock)>,
    pause: Duration,
    asked: Option<Node>,
}

impl Search {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client, under_way: None, pause: Duration::ZERO, asked: None }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until it is time, and gives the node to ask. May be dropped at any time.
    pub(crate) async fn node(&mut self) -> Node {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
            self.pause = Duration::ZERO;
        }
        let node = self.client.node().clone();
        self.asked = Some(node.clone());
        node
    }

    /// A stream tells something: what failed before counts no more.
    pub(crate) fn found(&mut self) {
        self.under_way = None;
    }

    /// The node failed; an error ends the search.
    pub(crate) fn failed(&mut self, status: Status) -> Result<(), Error> {
        let (attempts, clock) = self.under_way.get_or_insert_with(|| {
            let (patience, nodes) = (self.client.resume(), self.client.nodes());
            (Attempts::new(patience, nodes, Work::Read), Clock::start())
        });
        let again = attempts.next(status, clock.now(), rand::random())?;
        self.pause = again.pause;
        if again.elsewhere
            && let Some(node) = &self.asked
        {
            self.client.leave(node);
        }
        Ok(())
    }
}

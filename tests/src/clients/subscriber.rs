//! A service that consumes a durable subscription to the whole fleet through the client, at any node, and breaks down
//! again and again: what it had not acknowledged has to come to its next life.

use anyhow::{Result, bail, ensure};
use pollux_client::{Client, Event, Options, Watch};
use tokio::task::JoinHandle;

use super::seen::Seen;
use crate::history::Recorder;
use crate::node::NodeOptions;

/// After so many deliveries it breaks down; the last of them were not acknowledged.
const LIFE: usize = 300;
const UNACKNOWLEDGED: usize = 40;
/// Deliveries that it takes before it must acknowledge some.
const AHEAD: u32 = 100;

/// See the module.
pub struct Subscriber {
    seen: Seen,
    task: JoinHandle<Result<()>>,
}

impl Subscriber {
    /// Makes the subscription and consumes it. To be opened before anything is written.
    pub async fn open(nodes: &[NodeOptions], name: &str) -> Result<Self> {
        let addresses = nodes.iter().map(|node| format!("http://{}", node.grpc));
        let client = Client::new(&Options::new(addresses))?;
        client.subscriptions().create(name, &Watch::all()).await?;
        let (seen, name) = (Seen::default(), name.to_owned());
        Ok(Self { task: tokio::spawn(lives(client, name, seen.clone())), seen })
    }

    /// Waits until everything was seen that was acknowledged before this call.
    pub async fn sees_all(&mut self, recorder: &Recorder) -> Result<()> {
        self.seen.all(recorder, &mut self.task).await
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lives(client: Client, name: String, seen: Seen) -> Result<()> {
    // What comes to each life begins no later than after what the one before acknowledged.
    loop {
        let mut consumer = client.subscriptions().consume(&name, AHEAD).await?;
        for number in 0..LIFE {
            let delivery = consumer.next().await?;
            match &delivery.event {
                Event::Changed(changed) => seen.change((**changed).clone())?,
                other => bail!("nobody asked for it: {other:?}"),
            }
            if number < LIFE - UNACKNOWLEDGED {
                consumer.acknowledge(&delivery);
            }
        }
        ensure!(client.subscriptions().get(&name).await?.name == name, "it is forgotten");
    }
}

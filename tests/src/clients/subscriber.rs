//! A service that consumes a durable subscription to the whole fleet through the client, at any node, and breaks down
//! again and again: what it had not acknowledged has to come to its next life. Or several of them, which share it: to
//! any of them.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail, ensure};
use pollux_client::{Client, Event, Options, Watch};
use pollux_proto::v1;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

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
        let (client, seen, name) = (client(nodes)?, Seen::default(), name.to_owned());
        client.subscriptions().create(&name, &Watch::all()).await?;
        Ok(Self { task: tokio::spawn(lives(client, name, seen.clone())), seen })
    }

    /// The same with so many who share it. The first keeps its name, the others come under a new one each time.
    pub async fn shared(nodes: &[NodeOptions], name: &str, count: usize) -> Result<Self> {
        let seen = Seen::default();
        client(nodes)?.subscriptions().create_shared(name, &Watch::all()).await?;
        let mut all = JoinSet::new();
        for n in 0..count {
            let own = if n == 0 { "first".to_owned() } else { String::new() };
            all.spawn(shared_lives(client(nodes)?, name.to_owned(), own, seen.clone()));
        }
        let task = tokio::spawn(async move {
            let ended = all.join_next().await;
            ended.unwrap_or_else(|| Ok(Err(anyhow!("nobody shares it"))))?
        });
        Ok(Self { task, seen })
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

fn client(nodes: &[NodeOptions]) -> Result<Client> {
    let addresses = nodes.iter().map(|node| format!("http://{}", node.grpc));
    Ok(Client::new(&Options::new(addresses))?)
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

async fn shared_lives(client: Client, name: String, own: String, seen: Seen) -> Result<()> {
    loop {
        let mut consumer = client.subscriptions().consume_as(&name, &own, AHEAD).await?;
        let mut held = Held::default();
        let mut number = 0;
        while number < LIFE {
            let delivery = consumer.next().await?;
            match &delivery.event {
                Event::Sharing(sharing) => held = Held::of(sharing),
                Event::Changed(changed) => {
                    held.change(delivery.shard, changed)?;
                    seen.change((**changed).clone())?;
                    number += 1;
                }
                other => bail!("nobody asked for it: {other:?}"),
            }
            if number < LIFE - UNACKNOWLEDGED {
                consumer.acknowledge(&delivery);
            }
        }
    }
}

/// What one that shares holds, and the newest version of each twin that came since: an older one must not follow.
#[derive(Default)]
struct Held {
    shards: Vec<u32>,
    newest: BTreeMap<String, u64>,
}

impl Held {
    fn of(sharing: &v1::Sharing) -> Self {
        Self { shards: sharing.shards.clone(), newest: BTreeMap::new() }
    }

    fn change(&mut self, shard: Option<u32>, changed: &v1::Changed) -> Result<()> {
        let holds = shard.is_some_and(|shard| self.shards.contains(&shard));
        ensure!(holds, "{shard:?} is not among {:?}", self.shards);
        let before = self.newest.insert(changed.device.clone(), changed.version);
        // What moves no version may follow at the same.
        let is_older = before.is_some_and(|before| before > changed.version);
        ensure!(!is_older, "{}: version {} after {before:?}", changed.device, changed.version);
        Ok(())
    }
}

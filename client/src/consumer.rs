//! A consumer of a subscription, which goes on by itself. What an acknowledgement says decides `outstanding`.

use pollux_proto::v1;
use pollux_proto::v1::consume_request::What;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::limits::SAID_AHEAD;
use crate::outstanding::Outstanding;
use crate::search::Search;
use crate::subscriptions::named;
use crate::watching::{Event, event};

/// The events of a subscription.
///
/// Where its stream breaks it goes on, at another node if there is one: what was not acknowledged comes again.
/// [`ErrorKind::TakenOver`] ends it when another consumer takes the subscription, or its name in a shared one.
#[derive(Debug)]
pub struct Consumer {
    subscription: String,
    /// Its own name, if it is one of those that share.
    name: String,
    unacknowledged_max: u32,
    search: Search,
    stream: Option<Stream>,
    /// How many there were.
    streams: u64,
    /// Acknowledged over a stream, and perhaps not remembered yet.
    acknowledged: Option<String>,
}

#[derive(Debug)]
struct Stream {
    events: Streaming<v1::WatchResponse>,
    say: mpsc::Sender<v1::ConsumeRequest>,
    out: Outstanding,
}

/// An event of a subscription. It, or one after it, is to be acknowledged, or it comes again.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event: never one of progress.
    pub event: Event,
    /// Its position; empty where it has none of its own.
    pub position: String,
    /// Of a shared subscription: the shard that it is of.
    pub shard: Option<u32>,
    stream: u64,
    number: u64,
}

impl Consumer {
    pub(crate) async fn open(
        client: Client,
        subscription: String,
        name: String,
        unacknowledged_max: u32,
    ) -> Result<Self, Error> {
        let mut opened = Self {
            subscription,
            name,
            unacknowledged_max,
            search: Search::new(client),
            stream: None,
            streams: 0,
            acknowledged: None,
        };
        opened.begin().await?;
        Ok(opened)
    }

    /// Its name among those that share a subscription; empty if it has one alone, and before the first
    /// [`Event::Sharing`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next event. May be dropped at any time: what was not told comes with the next call.
    ///
    /// # Errors
    /// [`ErrorKind::TakenOver`], when the caller may no longer watch, and when no node was found for as long as the
    /// options say.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.begin().await?;
                continue;
            };
            let status = match stream.events.message().await {
                Ok(Some(response)) => {
                    self.search.found();
                    let (position, shard) = (response.position.clone(), response.shard);
                    match event(response) {
                        // Neither has to be acknowledged.
                        Some(event @ (Event::Sharing(_) | Event::Telemetry(_))) => {
                            if let Event::Sharing(sharing) = &event {
                                // Under that name it comes back.
                                self.name.clone_from(&sharing.consumer);
                            }
                            let (number, stream) = (stream.out.newest(), self.streams);
                            return Ok(Delivery { event, position, shard, stream, number });
                        }
                        Some(Event::Progress) => {
                            let done = stream.out.is_done() && !position.is_empty();
                            if done {
                                self.tell(position);
                            }
                        }
                        Some(event) => {
                            let (number, stream) = (stream.out.came(&position), self.streams);
                            return Ok(Delivery { event, position, shard, stream, number });
                        }
                        None => drop(stream.out.came(&position)),
                    }
                    continue;
                }
                Ok(None) => Status::unavailable("the node ended the stream"),
                Err(status) => status,
            };
            self.stream = None;
            self.search.failed(status)?;
        }
    }

    /// This event and all before it are done. The cluster remembers that twice a second, and when the consumer
    /// [finishes](Self::finish).
    pub fn acknowledge(&mut self, delivery: &Delivery) {
        // What came by a stream that broke comes again, and is acknowledged then.
        if delivery.stream != self.streams {
            return;
        }
        let Some(stream) = &mut self.stream else { return };
        if let Some(position) = stream.out.acknowledge(delivery.number) {
            self.tell(position);
        }
    }

    /// Ends the consumer when what was acknowledged is remembered; what was not comes to the next one.
    ///
    /// # Errors
    /// When the node does not say in time that it is.
    pub async fn finish(mut self) -> Result<(), Error> {
        let client = self.search.client().clone();
        if let Some(Stream { mut events, say, .. }) = self.stream.take() {
            // The node ends the stream then.
            drop(say);
            let ended = async {
                while events.message().await?.is_some() {}
                Ok::<_, Status>(())
            };
            match timeout(client.timeout(), ended).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(status)) => match self.search.failed(status) {
                    Err(error) if *error.kind() == ErrorKind::TakenOver => return Err(error),
                    _ => {}
                },
                Err(_) => {}
            }
        }
        match &self.acknowledged {
            Some(position) => {
                let all = client.subscriptions();
                all.acknowledge_as(&self.subscription, &self.name, position).await.map(drop)
            }
            None => Ok(()),
        }
    }

    fn tell(&mut self, position: String) {
        let Some(stream) = &self.stream else { return };
        let message = v1::ConsumeRequest { what: Some(What::Acknowledge(position.clone())) };
        // Where there is no room, or the stream broke, it is said with the next one, or before a stream begins.
        let _full = stream.say.try_send(message);
        self.acknowledged = Some(position);
    }

    async fn begin(&mut self) -> Result<(), Error> {
        loop {
            let node = self.search.node().await;
            if let Some(position) = &self.acknowledged {
                // It may not have come to be remembered.
                let client = self.search.client().clone();
                let all = client.subscriptions();
                match all.acknowledge_as(&self.subscription, &self.name, position).await {
                    Ok(_) => self.acknowledged = None,
                    Err(error) => match (error.kind(), error.status()) {
                        (ErrorKind::Unknown, Some(status)) => {
                            self.search.failed(status.clone())?;
                            continue;
                        }
                        _ => return Err(error),
                    },
                }
            }
            let (say, said) = mpsc::channel(SAID_AHEAD);
            let (tenant, name) = named(&self.subscription);
            let unacknowledged_max = self.unacknowledged_max;
            let consumer = self.name.clone();
            let open = v1::OpenSubscription { tenant, name, unacknowledged_max, consumer };
            let first = v1::ConsumeRequest { what: Some(What::Open(open)) };
            say.try_send(first).expect("the channel is empty and has room");
            let request = node.request(ReceiverStream::new(said));
            match node.subscriptions().consume(request).await {
                Ok(response) => {
                    let events = response.into_inner();
                    self.stream = Some(Stream { events, say, out: Outstanding::default() });
                    self.streams += 1;
                    return Ok(());
                }
                Err(status) => self.search.failed(status)?,
            }
        }
    }
}

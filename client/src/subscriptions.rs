//! Watches that the cluster remembers by name. How their events are taken is in `consumer`.

use pollux_proto::v1;
use pollux_proto::v1::subscription::Whose;
use tonic::Response;

use crate::client::Client;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::node::Node;
use crate::watching::Watch;

/// Calls about subscriptions. They are named `name`, or `tenant/name`.
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions<'a> {
    client: &'a Client,
}

/// How many may consume a subscription at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consumers {
    One,
    Several,
}

impl<'a> Subscriptions<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Makes a subscription of what a watch would tell from now on. Repeating it changes nothing. Of the tenant of
    /// its name or of the watch, which have to be the same if both say one.
    ///
    /// # Errors
    /// [`Rejection::VersionMismatch`](pollux_twin::Rejection::VersionMismatch) if one of the same name is about
    /// something else.
    pub async fn create(&self, name: &str, watch: &Watch) -> Result<v1::Subscription, Error> {
        self.make(name, watch, Consumers::One).await
    }

    /// As [`create`](Self::create), for several consumers that share what it tells.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and
    /// [`Rejection::LevelTooLow`](pollux_twin::Rejection::LevelTooLow) while the cluster is at a level below 6.
    pub async fn create_shared(
        &self,
        name: &str,
        watch: &Watch,
    ) -> Result<v1::Subscription, Error> {
        self.make(name, watch, Consumers::Several).await
    }

    async fn make(
        &self,
        name: &str,
        watch: &Watch,
        consumers: Consumers,
    ) -> Result<v1::Subscription, Error> {
        let (of, name) = named(name);
        let (tenant, device) = watch.whose()?;
        if !of.is_empty() && !tenant.is_empty() && of != tenant {
            let message = format!(
                "subscription {name:?} is of tenant {of:?}, and what it is about of {tenant:?}; name one"
            );
            return Err(Error::usage(message));
        }
        let subscription = v1::Subscription {
            tenant: if tenant.is_empty() { of } else { tenant },
            name,
            whose: Some(device.map_or_else(|| Whose::Prefix(watch.prefix.clone()), Whose::Device)),
            filter: watch.filter.clone(),
            picture: watch.picture,
            telemetry: watch.telemetry,
            shared: consumers == Consumers::Several,
            ..Default::default()
        };
        let make = |node: Node, request| async move {
            node.subscriptions().create(request).await.map(Response::into_inner)
        };
        let request = v1::CreateSubscriptionRequest { subscription: Some(subscription) };
        // One that is there is what was asked for.
        self.client.repeated(request, make).await
    }

    /// Reads a subscription.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn get(&self, name: &str) -> Result<v1::Subscription, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.subscriptions().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetSubscriptionRequest { tenant, name }, make).await
    }

    /// All subscriptions of a tenant to what the caller may watch; an empty tenant is the default one.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str) -> Result<Vec<v1::Subscription>, Error> {
        let make = |node: Node, request| async move {
            node.subscriptions().list(request).await.map(Response::into_inner)
        };
        let request = v1::ListSubscriptionsRequest { tenant: tenant.to_owned() };
        Ok(self.client.read(request, make).await?.subscriptions)
    }

    /// Forgets a subscription.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move { node.subscriptions().delete(request).await };
        let request = v1::DeleteSubscriptionRequest { tenant, name };
        // One of the same name could be made in between, and a repetition would delete that.
        self.client.once(request, make).await.map(drop)
    }

    /// Acknowledges from beside a consumer; what is behind what was acknowledged already changes nothing.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for what is no position of an event.
    pub async fn acknowledge(&self, name: &str, position: &str) -> Result<v1::Subscription, Error> {
        self.acknowledge_as(name, "", position).await
    }

    /// As [`acknowledge`](Self::acknowledge), for a consumer of a shared subscription; it counts for what it still
    /// holds.
    ///
    /// # Errors
    /// Those of [`acknowledge`](Self::acknowledge).
    pub async fn acknowledge_as(
        &self,
        name: &str,
        consumer: &str,
        position: &str,
    ) -> Result<v1::Subscription, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.subscriptions().acknowledge(request).await.map(Response::into_inner)
        };
        let (position, consumer) = (position.to_owned(), consumer.to_owned());
        let request = v1::AcknowledgeRequest { tenant, name, position, consumer };
        self.client.repeated(request, make).await
    }

    /// Takes a subscription over, and its events: each comes until it is acknowledged. Once `unacknowledged_max`
    /// are out (0: 1,000), nothing more comes until some are. A shared one is not taken over: its consumers share it,
    /// each under a name that a node makes.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn consume(&self, name: &str, unacknowledged_max: u32) -> Result<Consumer, Error> {
        self.consume_as(name, "", unacknowledged_max).await
    }

    /// As [`consume`](Self::consume), as one of those that share, under a name of its own: who comes back under it
    /// takes over what it held.
    ///
    /// # Errors
    /// Those of [`consume`](Self::consume); [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) if it is not shared;
    /// [`Rejection::TooMany`](pollux_twin::Rejection::TooMany) if 64 share it already.
    pub async fn consume_as(
        &self,
        name: &str,
        consumer: &str,
        unacknowledged_max: u32,
    ) -> Result<Consumer, Error> {
        let (client, consumer) = (self.client.clone(), consumer.to_owned());
        Consumer::open(client, name.to_owned(), consumer, unacknowledged_max).await
    }
}

/// Tenant and name of `name` or `tenant/name`; what is wrong with them says the node.
pub(crate) fn named(name: &str) -> (String, String) {
    let (tenant, name) = name.split_once('/').unwrap_or(("", name));
    (tenant.to_owned(), name.to_owned())
}

impl Client {
    /// Watches that the cluster remembers.
    pub const fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions::new(self)
    }
}

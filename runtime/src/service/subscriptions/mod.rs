//! Subscriptions: watches that the cluster remembers by name. `record` is what is remembered, `consume` how a
//! consumer takes events and acknowledges them, `happened` what positions are worth, `keep` what filters need meanwhile.
//!
//! A subscription is a twin of a tenant that is Pollux's own, so it is replicated, recovered and moved like any
//! other, and the version of its tags fences out the consumer before.

mod alone;
mod consume;
mod happened;
mod keep;
mod parts;
mod record;
mod share;
mod shared;
mod sharer;

use std::collections::BTreeSet;
use std::time::Duration;

use pollux_cluster::access::Action;
use pollux_cluster::meta::POLICY_FILTERS_LEVEL;
use pollux_proto::convert;
use pollux_proto::position::Position;
use pollux_proto::v1;
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::{Rejection, TenantId, TwinKey, Value};
use tokio::time::sleep;

pub(super) use consume::{Consumption, End, Expects, Tells};
pub(super) use keep::keep;
pub(super) use record::Record;

use super::desk::{Desk, unexpected};
use super::limits::{
    CALL_TIME_MAX, PAGE_PART, SHARING_RETRY_MS, SUBSCRIPTION_PAUSE_MS, SUBSCRIPTION_TRIES,
    SUBSCRIPTIONS_MAX,
};
use crate::access::Caller;
use crate::own;
use crate::router::{Call, Scope};

/// A subscription as it was read, with the version that the next write must meet.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) record: Record,
    version: u64,
}

impl Desk {
    /// Makes a subscription that stands at this moment, if there is none of its name.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        mut record: Record,
    ) -> Result<Record, Rejection> {
        record.check()?;
        if record.consumers.is_some() || record.telemetry {
            self.router.must_have(POLICY_FILTERS_LEVEL)?;
        }
        self.may_watch(caller, &record)?;
        if !record.filter.is_empty() {
            self.filter_of_changes(&record.tenant, &record.filter)?;
            // Before the place from which on its changes are to be told.
            self.router.keep_states(&record.scope()?).await;
        }
        let kept = self.subscriptions(caller, &record.tenant).await?;
        let is_new = kept.iter().all(|one| one.name != record.name);
        if is_new && kept.len() >= SUBSCRIPTIONS_MAX {
            let max = u32::try_from(SUBSCRIPTIONS_MAX).unwrap_or(u32::MAX);
            return Err(Rejection::TooMany { what: "subscriptions of a tenant".into(), max });
        }
        // One that is made anew under an old name has turns of its own.
        record.turn = u64::from(rand::random::<u32>());
        if !record.picture {
            let scope = record.scope()?;
            let stand = self.stand(&scope, &convert::Freshness::default(), None).await?;
            record.position = stand.position.to_string();
        }
        match self.write_record(&record, 0).await {
            Err(mismatch @ Rejection::VersionMismatch { .. }) => {
                let kept = self.subscription(caller, &record.tenant, &record.name).await?;
                if kept.record.is_about_the_same(&record) { Ok(kept.record) } else { Err(mismatch) }
            }
            written => written.map(|_| record),
        }
    }

    /// Reads a subscription.
    pub(super) async fn subscription(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<Kept, Rejection> {
        let key = record::key(tenant, name)?;
        match self.call_own(key, Request::Get).await? {
            Answer::Twin(view) => {
                let record = Record::read(&view.tags.value).ok_or(Rejection::NotFound)?;
                self.may_watch(caller, &record)?;
                Ok(Kept { record, version: view.tags.version })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Reads a subscription, and how far it and its consumers are behind where all replicas can say that.
    pub(super) async fn subscription_and_behind(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<v1::Subscription, Rejection> {
        let record = self.subscription(caller, tenant, name).await?.record;
        let mut shown = record.to_v1();
        let scope = record.scope()?;
        if let Ok(stand) = self.stand(&scope, &convert::Freshness::default(), None).await {
            shown.behind = record.behind(&stand.position, None);
            for one in &mut shown.consumers {
                one.behind = record.behind(&stand.position, Some(&one.name));
            }
        }
        Ok(shown)
    }

    /// All subscriptions of a tenant to what the caller may watch, by name.
    pub(super) async fn subscriptions(
        &self,
        caller: &Caller,
        tenant: &str,
    ) -> Result<Vec<Record>, Rejection> {
        let wrong = |error| Rejection::Invalid { reason: format!("tenant: {error}") };
        TenantId::parse(tenant).map_err(wrong)?;
        let own = |record: &Record| record.tenant == tenant;
        let may = |record: &Record| self.may_watch(caller, record).is_ok();
        // Names of another tenant may begin like those of this one.
        let found = self.records(&record::all(tenant)).await?.into_iter();
        Ok(found.filter(|record| own(record) && may(record)).collect())
    }

    async fn records(&self, scope: &Scope) -> Result<Vec<Record>, Rejection> {
        let stand = self.stand(scope, &convert::Freshness::default(), None).await?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let reached = &stand.position.shards;
            let part = self.router.list(scope, after.as_ref(), PAGE_PART, reached).await?;
            found.extend(part.items.iter().filter_map(|(_, view)| Record::read(&view.tags.value)));
            match part.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Forgets a subscription.
    pub(super) async fn unsubscribe(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<(), Rejection> {
        self.subscription(caller, tenant, name).await?;
        let key = record::key(tenant, name)?;
        self.call_own(key, Request::Delete { expected: None }).await.map(drop)
    }

    /// Remembers a position that comes from beside a consumer's stream: it may be any.
    pub(super) async fn acknowledge(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
        (position, consumer): (&str, &str),
    ) -> Result<Record, Rejection> {
        let mut position = parsed(position)?;
        let kept = self.subscription(caller, tenant, name).await?;
        let all: BTreeSet<_> = self.router.shards_of(&kept.record.scope()?).collect();
        // Shards that the subscription does not have would be missing in all that it tells.
        position.shards.retain(|shard, _| all.contains(shard));
        self.must_have_happened(&kept.record, &position).await?;
        Ok(self.remember(caller, kept, (&position, consumer)).await?.record)
    }

    /// Remembers a position, unless it is behind what was acknowledged already; what is known then.
    async fn remember(
        &self,
        caller: &Caller,
        mut kept: Kept,
        (position, consumer): (&Position, &str),
    ) -> Result<Kept, Rejection> {
        for tries in 1..=SUBSCRIPTION_TRIES {
            let Kept { mut record, version } = kept;
            let all = self.router.shards_of(&record.scope()?).collect::<Vec<_>>();
            let is_news = match (&record.consumers, consumer) {
                (None, "") => record.advance(position)?,
                (None, _) => return Err(not_shared()),
                (Some(_), "") => return Err(not_named()),
                // What was told in an earlier life comes again.
                (Some(_), _) if position.lineage != self.router.lineage() => false,
                (Some(_), consumer) => record.advance_of(consumer, position, &all),
            };
            if !is_news {
                return Ok(Kept { record, version });
            }
            match self.write_record(&record, version).await {
                Err(Rejection::VersionMismatch { .. }) => {}
                written => return written.map(|version| Kept { record, version }),
            }
            give_way(tries).await;
            kept = self.subscription(caller, &record.tenant, &record.name).await?;
        }
        // Many write it. It is no mismatch of the caller's.
        Err(Rejection::Overloaded { retry_after_ms: SHARING_RETRY_MS })
    }

    /// Takes a subscription over for a new consumer.
    async fn take_over(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<Kept, Rejection> {
        let mut mismatch = Rejection::NotOwner;
        for _ in 0..SUBSCRIPTION_TRIES {
            let Kept { mut record, version } = self.subscription(caller, tenant, name).await?;
            record.turn += 1;
            match self.write_record(&record, version).await {
                Err(raced @ Rejection::VersionMismatch { .. }) => mismatch = raced,
                written => return written.map(|version| Kept { record, version }),
            }
        }
        Err(mismatch)
    }

    /// Writes a subscription over the version that was read; gives the new one.
    async fn write_record(&self, record: &Record, expected: u64) -> Result<u64, Rejection> {
        let patch: Value = record.to_value();
        let expected = Some(expected);
        let write = Request::Patch { section: Section::Tags, patch, whole: true, expected };
        match self.call_own(record::key(&record.tenant, &record.name)?, write).await? {
            Answer::Written { version, .. } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Subscriptions are for those who may watch what they are about.
    fn may_watch(&self, caller: &Caller, record: &Record) -> Result<(), Rejection> {
        let (scope, action) = (record.scope()?, Action::TwinWatch);
        self.doorman.check_scope(caller, action, &scope).or_else(|refused| {
            let filter = self.with_groups(&record.tenant, &record.filter);
            let filter = filter.map_err(|_| refused)?;
            self.doorman.check_matching(caller, action, &scope, &filter)
        })
    }

    /// Calls a twin as the cluster itself.
    pub(super) async fn call_own(
        &self,
        key: TwinKey,
        request: Request,
    ) -> Result<Answer, Rejection> {
        let (caller, timeout) = (own::CALLER.to_owned(), CALL_TIME_MAX);
        self.router.call(Call { key, caller, idempotency_key: None, request, timeout }).await
    }
}

fn not_shared() -> Rejection {
    let reason =
        "consumer: the subscription is not shared; leave the name out, or make a shared one";
    Rejection::Invalid { reason: reason.to_owned() }
}

fn not_named() -> Rejection {
    let reason = "consumer: the subscription is shared; say which of its consumers has done it";
    Rejection::Invalid { reason: reason.to_owned() }
}

/// Lets others go first who write the same record, by chance, so that not all come again at the same moment.
async fn give_way(tries: usize) {
    if tries > 0 {
        let most = SUBSCRIPTION_PAUSE_MS * u64::try_from(tries).unwrap_or(u64::MAX);
        sleep(Duration::from_millis(rand::random::<u64>() % most)).await;
    }
}

/// A position as a consumer gives it back.
fn parsed(position: &str) -> Result<Position, Rejection> {
    position.parse().map_err(|error| Rejection::Invalid { reason: format!("position: {error}") })
}

impl Record {
    fn scope(&self) -> Result<Scope, Rejection> {
        Ok(super::desk::scope(&convert::watch(&self.watch())?.whose))
    }
}

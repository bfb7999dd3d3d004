//! Counts of service calls: door × method × code, all three from fixed sets.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::REASONS;

/// By which protocol a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// gRPC.
    Grpc,
    /// HTTP/JSON.
    Http,
}

impl Door {
    const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// A call that services can make, whichever door it comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum Method {
    TwinsGet,
    TwinsPatch,
    TwinsDelete,
    TwinsList,
    TwinsQuery,
    TwinsWatch,
    CommandsSend,
    CommandsGet,
    CommandsCancel,
    CommandsList,
    DevicesRegister,
    DevicesImport,
    DevicesGet,
    DevicesDisable,
    DevicesEnable,
    DevicesRestore,
    DevicesListDeleted,
    DevicesGiveCredential,
    DevicesRevokeCredential,
    SubscriptionsCreate,
    SubscriptionsGet,
    SubscriptionsList,
    SubscriptionsDelete,
    SubscriptionsAcknowledge,
    SubscriptionsConsume,
    JobsCreate,
    JobsGet,
    JobsList,
    JobsDevices,
    JobsPause,
    JobsResume,
    JobsCancel,
    JobsDelete,
    JobsWatch,
}

impl Method {
    /// Every `Service.Method`, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "Twins.Get",
        "Twins.Patch",
        "Twins.Delete",
        "Twins.List",
        "Twins.Query",
        "Twins.Watch",
        "Commands.Send",
        "Commands.Get",
        "Commands.Cancel",
        "Commands.List",
        "Devices.Register",
        "Devices.Import",
        "Devices.Get",
        "Devices.Disable",
        "Devices.Enable",
        "Devices.Restore",
        "Devices.ListDeleted",
        "Devices.GiveCredential",
        "Devices.RevokeCredential",
        "Subscriptions.Create",
        "Subscriptions.Get",
        "Subscriptions.List",
        "Subscriptions.Delete",
        "Subscriptions.Acknowledge",
        "Subscriptions.Consume",
        "Jobs.Create",
        "Jobs.Get",
        "Jobs.List",
        "Jobs.Devices",
        "Jobs.Pause",
        "Jobs.Resume",
        "Jobs.Cancel",
        "Jobs.Delete",
        "Jobs.Watch",
    ];

    /// `Service.Method`.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// `ok`, every reason, and one for what is neither.
const CODES: usize = 1 + REASONS.len() + 1;

/// Calls by door, method and code. Clones share the counts.
#[derive(Clone)]
pub struct Calls(Arc<[Counter]>);

impl Calls {
    /// Counts a call that ended with `code`: `ok` or the reason of its rejection.
    pub fn record(&self, door: Door, method: Method, code: &str) {
        self.0[Self::index(door, method as usize, Self::code(code))].inc();
    }

    /// How many calls ended so.
    pub fn count(&self, door: Door, method: Method, code: &str) -> u64 {
        self.0[Self::index(door, method as usize, Self::code(code))].get()
    }

    /// How many calls there were, however they ended.
    pub fn all(&self) -> u64 {
        self.0.iter().map(Counter::get).sum()
    }

    fn code(code: &str) -> usize {
        if code == "ok" {
            return 0;
        }
        1 + REASONS.iter().position(|reason| *reason == code).unwrap_or(REASONS.len())
    }

    const fn index(door: Door, method: usize, code: usize) -> usize {
        (door as usize * Method::NAMES.len() + method) * CODES + code
    }
}

impl Default for Calls {
    fn default() -> Self {
        let cells = Door::ALL.len() * Method::NAMES.len() * CODES;
        Self((0..cells).map(|_| Counter::default()).collect())
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

impl EncodeMetric for Calls {
    /// Only what happened: the full table has hundreds of lines, nearly all zero.
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let codes = ["ok"].iter().chain(REASONS).chain(&["other"]);
        for door in Door::ALL {
            for (method, name) in Method::NAMES.iter().enumerate() {
                let (service, call) = name.split_once('.').expect("names have one dot");
                for (code, code_name) in codes.clone().enumerate() {
                    let counter = &self.0[Self::index(door, method, code)];
                    if counter.get() > 0 {
                        let labels = [
                            ("door", door.name()),
                            ("service", service),
                            ("method", call),
                            ("code", *code_name),
                        ];
                        counter.encode(encoder.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

//! What services do in a run: they change desired, send commands, read twins; and they remember
//! what was answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pollux_proto::status::{from_status, row};
use pollux_proto::v1::commands_client::CommandsClient;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_proto::v1::twins_client::TwinsClient;
use pollux_proto::v1::{
    Command, CommandState, GetCommandRequest, GetTwinRequest, PatchTwinRequest, Section,
    SendCommandRequest, Twin,
};
use pollux_twin::Rejection;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::clock::us;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::limits::{CALL_MS, CALLERS, CALLS_MAX, COMMAND_MS, COMMAND_READ_MS};
use crate::options::{Load, Options};
use crate::tally::Kind;

/// Connections to the services' addresses.
pub(crate) struct Services {
    channels: Vec<Channel>,
}

/// What the services know of one device's desired section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Version after the last write that was answered.
    pub(crate) version: u64,
    /// What that write asked for.
    pub(crate) value: Option<u64>,
    /// A write after it that was never answered: it may have taken effect.
    pub(crate) unsure: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Services {
    pub(crate) fn connect(options: &Options) -> Result<Self, Fault> {
        let mut channels = Vec::new();
        for address in &options.services {
            let fault = |what: String| Fault::Services { address: address.clone(), what };
            let mut endpoint = Endpoint::from_shared(address.clone())
                .map_err(|error| fault(error.to_string()))?
                .connect_timeout(Duration::from_millis(CALL_MS));
            if address.starts_with("https") {
                let ca = Certificate::from_pem(&options.trust_pem);
                endpoint = endpoint
                    .tls_config(ClientTlsConfig::new().ca_certificate(ca))
                    .map_err(|error| fault(error.to_string()))?;
            }
            channels.push(endpoint.connect_lazy());
        }
        Ok(Self { channels })
    }

    fn channel(&self, turn: usize) -> Channel {
        self.channels[turn % self.channels.len()].clone()
    }

    /// Reads a twin; `None` if there is none. Reads may be repeated, so broken ones are.
    pub(crate) async fn read(
        &self,
        fleet: &Fleet,
        turn: usize,
        index: u32,
    ) -> Result<Option<Twin>, Status> {
        let Options { tenant, .. } = &fleet.options;
        let get = GetTwinRequest {
            tenant: tenant.clone(),
            device: fleet.options.name(index),
            ..Default::default()
        };
        let mut tries = 0;
        loop {
            let mut client = TwinsClient::new(self.channel(turn + tries as usize));
            match client.get(request(fleet, get.clone())).await {
                Ok(answer) => return Ok(answer.into_inner().twin),
                Err(status) if status.code() == Code::NotFound => return Ok(None),
                Err(status) => {
                    tries += 1;
                    if tries >= CALLS_MAX || !passes(&status) {
                        return Err(status);
                    }
                    fleet.tally.retry();
                    pause(tries).await;
                }
            }
        }
    }
}

fn request<T>(fleet: &Fleet, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(CALL_MS));
    if let Some(token) = &fleet.options.services_token
        && let Ok(value) = format!("Bearer {token}").parse()
    {
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// Whether the call may have taken effect all the same.
fn is_unsure(status: &Status) -> bool {
    matches!(from_status(status), None | Some(Rejection::Unknown))
}

/// Whether the same call may go through later, or its outcome is not known.
fn passes(status: &Status) -> bool {
    match from_status(status) {
        Some(Rejection::Unknown | Rejection::NotOwner) => true,
        Some(rejection) => row(&rejection).retry_after_ms.is_some(),
        None => matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::ResourceExhausted
        ),
    }
}

fn reason(status: &Status) -> String {
    from_status(status).map_or_else(
        || format!("call_{:?}", status.code()).to_lowercase(),
        |rejection| row(&rejection).reason.to_owned(),
    )
}

async fn pause(tries: u32) {
    tokio::time::sleep(Duration::from_millis(50 * u64::from(tries.min(10)))).await;
}

/// Begins what the services do; returns what they were told of each device.
pub(crate) fn load(fleet: &Arc<Fleet>, services: &Arc<Services>) -> JoinSet<BTreeMap<u32, Wish>> {
    let mut callers = JoinSet::new();
    let Options { desired_per_s, commands_per_s, load, .. } = fleet.options;
    for caller in 0..CALLERS {
        if desired_per_s > 0.0 {
            callers.spawn(wishes(Arc::clone(fleet), Arc::clone(services), caller));
        }
        if commands_per_s > 0.0 {
            let (fleet, services) = (Arc::clone(fleet), Arc::clone(services));
            callers.spawn(async move {
                commands(fleet, services, caller).await;
                BTreeMap::new()
            });
        }
    }
    if let Load::Reads { parallel } = load {
        for reader in 0..parallel as usize {
            let (fleet, services) = (Arc::clone(fleet), Arc::clone(services));
            callers.spawn(async move {
                reads(fleet, services, reader).await;
                BTreeMap::new()
            });
        }
    }
    callers
}

/// One caller that changes desired of its own devices, one call after the other.
async fn wishes(fleet: Arc<Fleet>, services: Arc<Services>, caller: usize) -> BTreeMap<u32, Wish> {
    let mut chance = ChaCha8Rng::seed_from_u64(fleet.options.seed ^ (0xde51 + caller as u64));
    let mut known: BTreeMap<u32, Wish> = BTreeMap::new();
    let mut pace = Pace::new(&fleet, fleet.options.desired_per_s);
    let mut n = 0;
    while pace.next(&fleet).await {
        let Some(index) = own(&fleet, caller, &mut chance) else { break };
        let first = match known.get(&index) {
            Some(wish) if wish.unsure.is_some() => continue,
            Some(wish) => *wish,
            None => match services.read(&fleet, caller, index).await {
                Ok(twin) => {
                    let desired = twin.and_then(|twin| twin.desired);
                    let version = desired.map_or(0, |desired| desired.version);
                    Wish { version, ..Wish::default() }
                }
                Err(status) => {
                    fleet.tally.error(&reason(&status));
                    continue;
                }
            },
        };
        n += 1;
        let value = n * CALLERS as u64 + caller as u64;
        known.insert(index, wish(&fleet, &services, caller, index, first, value).await);
    }
    known
}

/// One change of desired, made again with the same key until it is answered.
async fn wish(
    fleet: &Fleet,
    services: &Services,
    caller: usize,
    index: u32,
    mut wish: Wish,
    value: u64,
) -> Wish {
    let patch = PatchTwinRequest {
        tenant: fleet.options.tenant.clone(),
        device: fleet.options.name(index),
        section: Section::Desired.into(),
        change: Some(Change::MergeJson(format!(r#"{{"sim":{{"value":{value}}}}}"#))),
        expected_version: Some(wish.version),
        idempotency_key: format!("sim-{:x}-{value}", fleet.nonce),
    };
    let began = fleet.clock.now();
    let mut unsure = None;
    for tries in 1..=CALLS_MAX {
        let mut client = TwinsClient::new(services.channel(caller + tries as usize));
        match client.patch(request(fleet, patch.clone())).await {
            Ok(answer) => {
                fleet.tally.done(Kind::Desired, us(began, fleet.clock.now()));
                let version = answer.into_inner().version;
                wish.doubled += version.saturating_sub(wish.version + 1);
                wish.lost += (wish.version + 1).saturating_sub(version);
                return Wish { version, value: Some(value), ..wish };
            }
            Err(status) => {
                if is_unsure(&status) {
                    unsure = Some(value);
                }
                if tries < CALLS_MAX && passes(&status) {
                    fleet.tally.retry();
                    pause(tries).await;
                    continue;
                }
                fleet.tally.error(&reason(&status));
                if unsure.is_none() && status.code() == Code::Aborted {
                    // Nobody else writes it: the version that was answered is not the one there is.
                    wish.lost += 1;
                }
                break;
            }
        }
    }
    Wish { unsure, ..wish }
}

/// One caller that sends commands and waits for each.
async fn commands(fleet: Arc<Fleet>, services: Arc<Services>, caller: usize) {
    let mut chance = ChaCha8Rng::seed_from_u64(fleet.options.seed ^ (0xc033 + caller as u64));
    let mut pace = Pace::new(&fleet, fleet.options.commands_per_s);
    let mut n = 0;
    while pace.next(&fleet).await {
        let Some(index) = own(&fleet, caller, &mut chance) else { return };
        n += 1;
        let payload = format!(r#"{{"n":{}}}"#, n * CALLERS as u64 + caller as u64);
        let send = SendCommandRequest {
            tenant: fleet.options.tenant.clone(),
            device: fleet.options.name(index),
            name: "echo".to_owned(),
            payload_json: payload.clone(),
            deadline_ms: COMMAND_MS,
            queue: false,
            wait: true,
            idempotency_key: format!("sim-{:x}-command-{caller}-{n}", fleet.nonce),
        };
        let began = fleet.clock.now();
        match command(&fleet, &services, caller, &send).await {
            Ok(Some(command)) if command.state() == CommandState::Done => {
                fleet.tally.done(Kind::Command, us(began, fleet.clock.now()));
                if command.answer_json() != payload {
                    fleet.tally.error("command_wrong_answer");
                }
            }
            Ok(Some(command)) => {
                fleet.tally.error(&command.state().as_str_name().to_lowercase());
            }
            Ok(None) => fleet.tally.error("command_empty"),
            Err(status) => fleet.tally.error(&reason(&status)),
        }
    }
}

/// Sends one command, with the same key until there is an answer, and waits until it is over.
async fn command(
    fleet: &Fleet,
    services: &Services,
    caller: usize,
    send: &SendCommandRequest,
) -> Result<Option<Command>, Status> {
    let mut tries = 0;
    loop {
        let mut again = request(fleet, send.clone());
        again.set_timeout(Duration::from_millis(COMMAND_MS + CALL_MS));
        let channel = services.channel(caller + tries as usize);
        let status = match CommandsClient::new(channel).send(again).await {
            Ok(answer) => {
                let command = answer.into_inner().command;
                // An answer that is repeated may tell of a command that is not over yet.
                return match command {
                    Some(command) if tries > 0 => {
                        over(fleet, services, caller, &send.device, command).await
                    }
                    command => Ok(command),
                };
            }
            Err(status) => status,
        };
        tries += 1;
        if tries >= CALLS_MAX || !passes(&status) {
            return Err(status);
        }
        fleet.tally.retry();
        pause(tries).await;
    }
}

/// Reads a command until it is over, or has had its time.
async fn over(
    fleet: &Fleet,
    services: &Services,
    caller: usize,
    device: &str,
    mut command: Command,
) -> Result<Option<Command>, Status> {
    let until = fleet.clock.now() + Duration::from_millis(COMMAND_MS);
    while matches!(command.state(), CommandState::Queued | CommandState::Delivering)
        && fleet.clock.now() < until
    {
        tokio::time::sleep(Duration::from_millis(COMMAND_READ_MS)).await;
        let get = GetCommandRequest {
            tenant: fleet.options.tenant.clone(),
            device: device.to_owned(),
            id: command.id,
        };
        if let Ok(answer) =
            CommandsClient::new(services.channel(caller)).get(request(fleet, get)).await
            && let Some(read) = answer.into_inner().command
        {
            command = read;
        }
    }
    Ok(Some(command))
}

/// One reader that reads one twin after the other.
async fn reads(fleet: Arc<Fleet>, services: Arc<Services>, reader: usize) {
    let mut chance = ChaCha8Rng::seed_from_u64(fleet.options.seed ^ (0x4ead + reader as u64));
    while fleet.is_running() {
        let index = chance.random_range(0..fleet.options.devices);
        let began = fleet.clock.now();
        match services.read(&fleet, reader, index).await {
            Ok(Some(_)) => fleet.tally.done(Kind::Read, us(began, fleet.clock.now())),
            Ok(None) => fleet.tally.error("not_found"),
            Err(status) => fleet.tally.error(&reason(&status)),
        }
    }
}

/// A device that only this caller writes to.
fn own(fleet: &Fleet, caller: usize, chance: &mut ChaCha8Rng) -> Option<u32> {
    let own = u32::try_from(caller).ok()?;
    let callers = u32::try_from(CALLERS).ok()?;
    let count = fleet.options.devices.checked_sub(own + 1)? / callers + 1;
    Some(own + callers * chance.random_range(0..count))
}

/// A caller's share of a rate.
struct Pace {
    due: Duration,
    step: Duration,
}

impl Pace {
    fn new(fleet: &Fleet, rate: f64) -> Self {
        let step = Duration::from_secs_f64(CALLERS as f64 / rate);
        Self { due: fleet.clock.now(), step }
    }

    /// Waits for its turn; false when the load has ended.
    async fn next(&mut self, fleet: &Fleet) -> bool {
        while fleet.is_running() {
            let now = fleet.clock.now();
            if self.due <= now {
                // What was missed is not caught up in a burst.
                self.due = (self.due + self.step).max(now);
                return true;
            }
            tokio::time::sleep((self.due - now).min(Duration::from_millis(100))).await;
        }
        false
    }
}

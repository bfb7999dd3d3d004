"""What calls answer: twins, commands, devices, subscriptions. Plain frozen values; those of watches are in `events`.

Contents of sections are plain dicts; times are milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Union


@dataclass(frozen=True)
class Leaf:
    """When one value of a section last changed."""

    at_ms: int
    observed_at_ms: Optional[int]
    """What the device itself said, if it said anything."""


@dataclass(frozen=True)
class Meta:
    """Who last changed a section, and when."""

    at_ms: int
    by: str
    """`device`, or the name of a service."""
    leaves: Dict[str, Leaf]
    """By JSON Pointer, such as `/engine/temperature`."""


@dataclass(frozen=True)
class Versions:
    """Versions of the sections; 0: never written."""

    tags: int = 0
    desired: int = 0
    reported: int = 0


@dataclass(frozen=True)
class Presence:
    """Whether the device is there."""

    connected: bool
    unknown: bool
    """Nobody knows, after a restart or another owner: ends when it is heard of, or after the idle timeout."""
    since_ms: int
    last_seen_ms: int
    node: int
    session: int
    """Number of the session that it has now; 0: none."""


@dataclass(frozen=True)
class Telemetry:
    """The latest value of one name."""

    value: Any
    at_ms: int
    observed_at_ms: Optional[int]
    volatile: bool
    """It was never acknowledged, and is gone if its node fails."""
    session: int


@dataclass(frozen=True)
class DesiredAck:
    """What the device did with what it was asked."""

    version: int
    refused: Optional[str]
    """Why it refused, if it did."""
    at_ms: int


@dataclass(frozen=True)
class Command:
    """A one-time request to a device."""

    id: int
    name: str
    payload: Any
    deadline_at_ms: int
    at_ms: int
    by: str
    state: str
    """`queued`, `delivering`, then one of `done`, `failed`, `expired`, `cancelled`, `unknown`."""
    answer: Any
    """What the device answered, if it is `done`."""
    reason: Optional[str]
    """Why it is `failed`."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state not in ("queued", "delivering")


@dataclass(frozen=True)
class Summary:
    """What a list shows of a twin."""

    tenant: str
    device: str
    version: int
    presence: Presence
    quarantined: bool


@dataclass(frozen=True)
class Twin:
    """A twin as it is."""

    tenant: str
    device: str
    version: int
    """Goes up by one with every accepted change of any section."""
    tags: Dict[str, Any]
    desired: Dict[str, Any]
    reported: Dict[str, Any]
    delta: Dict[str, Any]
    """What `desired` asks and `reported` does not yet show, as a merge patch."""
    versions: Versions
    meta: Dict[str, Meta]
    """Of the sections that were ever written."""
    presence: Presence
    telemetry: Dict[str, Telemetry]
    commands: List[Command]
    desired_ack: Optional[DesiredAck]
    quarantined: bool


@dataclass(frozen=True)
class Found:
    """A twin as a stale read found it, and what that stands for."""

    twin: Twin
    position: str
    """Everything up to here is in it; good as `min_position`."""
    age_ms: int
    """So long ago, at most, it was all that there was."""


@dataclass(frozen=True)
class Written:
    """A section after a write."""

    section: str
    version: int
    """As before if the write changed nothing."""


@dataclass(frozen=True)
class Row:
    """A twin that a query found."""

    tenant: str
    device: str
    values: Dict[str, Any]
    """By the expressions that were selected; what the twin has not is left out."""


@dataclass(frozen=True)
class Way:
    """How a query looked at one shard."""

    shard: int
    node: int
    index: Optional[str]
    """The path whose index was asked; `None`: all twins were looked at."""
    twins: int
    scanned: int
    matched: int


@dataclass(frozen=True)
class Answer:
    """A page of a query's answer."""

    rows: List[Row]
    matched: int
    """Twins for which the filter holds, on this page or not."""
    scanned: int
    next_cursor: Optional[str]
    """Where to go on; `None`: these were all."""
    position: str
    ways: List[Way] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Twins that do not differ in what they were grouped by."""

    by: Dict[str, Any]
    count: int


@dataclass(frozen=True)
class Credential:
    """What a device can prove itself by."""

    name: str
    kind: str
    """`token` or `certificate`."""
    sha256: Optional[str]
    """Of a certificate; hashes of tokens are not shown."""
    expires_at_ms: Optional[int]
    at_ms: int
    by: str


@dataclass(frozen=True)
class Device:
    """What the registry knows of a device."""

    tenant: str
    device: str
    standing: str
    """`unregistered`, `enabled` or `disabled`."""
    at_ms: int
    by: str
    reason: str
    """Why it is disabled."""
    credentials: List[Credential]


@dataclass(frozen=True)
class DeletedDevice:
    """A device whose twin was deleted, and what it held is kept."""

    tenant: str
    device: str
    restorable_until_ms: int
    deleted_at_ms: Optional[int]
    """`None` where it is there again."""
    deleted_by: str
    is_back: bool


@dataclass(frozen=True)
class DeletedDevices:
    """A page of such devices, by their names."""

    devices: List[DeletedDevice]
    next_page_token: str


@dataclass(frozen=True)
class NewDevice:
    """A device to import. `device` may be `tenant/device`."""

    device: str
    tags: Optional[Dict[str, Any]] = None
    desired: Optional[Dict[str, Any]] = None
    tokens: Dict[str, str] = field(default_factory=dict)
    """By name: SHA-256 of the device's token, as 64 hexadecimal digits."""
    certificates: Dict[str, str] = field(default_factory=dict)
    """By name: SHA-256 of the device's certificate in DER."""


@dataclass(frozen=True)
class Refusal:
    """A device that was not imported."""

    number: int
    """Its place among those given, from 0 on."""
    reason: str
    message: str


@dataclass(frozen=True)
class Imported:
    """How an import went."""

    registered: int
    refused: List[Refusal]


@dataclass(frozen=True)
class SubscriptionConsumer:
    """One of those that share a subscription."""

    name: str
    shards: int
    """How many it holds."""
    behind: Optional[int]
    """As that of the subscription, of its shards."""


@dataclass(frozen=True)
class Subscription:
    """A watch that the cluster remembers."""

    tenant: str
    name: str
    device: Optional[str]
    """What it is about: one device, or with `None` those whose name begins with `prefix`."""
    prefix: str
    filter: str
    picture: bool
    position: str
    turn: int
    telemetry: bool = False
    shared: bool = False
    consumers: List[SubscriptionConsumer] = field(default_factory=list)
    """Of a shared one: those that share it now."""
    behind: Optional[int] = None
    """Entries that its shards' logs have after what was acknowledged; only of `get`, and if known."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    id: int
    name: str
    zone: str
    state: str
    answers: bool
    devices: str
    grpc: str
    http: str
    peers: str
    owned: int
    replicas: int
    version: str


@dataclass(frozen=True)
class Shard:
    """A shard, and who has it."""

    shard: int
    owner: Optional[int]
    """The node that owns it; `None`: none answers."""
    open: bool
    voters: List[int]
    learners: List[int]
    twins: int
    lag: int


@dataclass(frozen=True)
class ClusterStatus:
    """How the cluster is, as the asked node finds it."""

    cluster: str
    node: int
    level: int
    settled: bool
    """Every node answers, every shard is open and has the replicas that it should have."""
    unsettled: str
    """Why it is not settled, for people."""
    notes: List[str]
    nodes: List[Node]
    shards: List[Shard]


@dataclass(frozen=True)
class Caller:
    """Who the caller is, as the node sees it."""

    principal: str
    via: str
    enforced: bool
    until_ms: Optional[int]
    """From when on its proof is worth nothing; `None`: it has no end."""

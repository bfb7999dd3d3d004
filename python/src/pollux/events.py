"""What a watch or a consumer tells: what happened to a twin, and what is said beside that. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Union

from .types import Telemetry, DesiredAck, Command, Twin, Device


# What happened to a twin.


@dataclass(frozen=True)
class Patched:
    """A section was written."""

    section: str
    version: int
    patch: Dict[str, Any]
    whole: bool
    """Whether `patch` is the whole new content, and not what was merged into it."""
    by: str
    observed_at_ms: Optional[int]


@dataclass(frozen=True)
class TelemetryReceived:
    """Telemetry came."""

    values: Dict[str, Telemetry]


@dataclass(frozen=True)
class Connected:
    """The device connected."""

    session: int
    node: int


@dataclass(frozen=True)
class Disconnected:
    """The device is gone."""

    session: int


@dataclass(frozen=True)
class CommandQueued:
    """A command was accepted."""

    command: Command


@dataclass(frozen=True)
class CommandMoved:
    """A command moved on."""

    id: int
    state: str
    answer: Any
    reason: Optional[str]


@dataclass(frozen=True)
class Registered:
    """The registry's entry of the device is another."""

    device: Device


@dataclass(frozen=True)
class Deleted:
    """The twin was deleted."""

    by: str


What = Union[
    Patched,
    TelemetryReceived,
    Connected,
    Disconnected,
    DesiredAck,
    CommandQueued,
    CommandMoved,
    Registered,
    Deleted,
    None,
]
"""What happened; `None`: nothing but that a filter's answer is another."""


# Events of a watch.


@dataclass(frozen=True)
class Changed:
    """A twin changed."""

    tenant: str
    device: str
    version: int
    """The twin's version after it."""
    at_ms: int
    what: What
    match: Optional[str]
    """Of a watch with a filter: `entered`, `stayed`, `left` or `undecided`."""
    twin: Optional[Twin]
    """With `entered`: the twin after the change."""


@dataclass(frozen=True)
class Pictured:
    """A part of the picture: a twin as it is."""

    twin: Twin


@dataclass(frozen=True)
class PictureComplete:
    """The picture is complete; only changes follow. Some of the first may be in it already."""


@dataclass(frozen=True)
class PositionLost:
    """What followed is no longer kept: forget what you know. The whole picture follows."""


@dataclass(frozen=True)
class TelemetryHeard:
    """Telemetry came as a datagram: told at most once. Of a subscription nothing that has to be acknowledged."""

    tenant: str
    device: str
    at_ms: int
    values: Dict[str, Any]
    left_out: int
    """So many messages before it were left out, since whoever watches is slow."""


@dataclass(frozen=True)
class Sharing:
    """What a consumer of a shared subscription holds from now on."""

    consumer: str
    """Its name."""
    shards: List[int]
    """The shards whose events come to it; none: it waits for one."""
    of: int
    """So many shards there are,"""
    consumers: int
    """and so many consumers that share them."""


@dataclass(frozen=True)
class Progress:
    """Nothing happened, but the position went on. Watches and consumers keep it to themselves."""


Event = Union[Changed, Pictured, PictureComplete, PositionLost, Progress, Sharing, TelemetryHeard]
"""What a watch tells."""

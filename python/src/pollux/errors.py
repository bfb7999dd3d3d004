"""What a call can fail with: one class for each way, and the node's own word in `reason`."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional, Tuple, Type


class PolluxError(Exception):
    """What everything that this package raises is."""


class InvalidValue(PolluxError, ValueError):
    """A value that no twin can hold, found before anything was sent; the message says where it is."""


class Unreachable(PolluxError):
    """No node answered in time. Nothing was to be changed by the call."""


class OutcomeUnknown(PolluxError):
    """No answer came in time: the call may have taken effect or not.

    Repeated with `idempotency_key` within five minutes, it takes effect at most once.
    """

    def __init__(self, message: str, idempotency_key: Optional[str] = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class TakenOver(PolluxError):
    """Another consumer has the subscription now, or it was deleted."""


class Failed(PolluxError):
    """A node, or something else at its address, failed in a way that no rejection stands for."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(PolluxError):
    """A node refused, and nothing was done. Each reason that there is has a class of its own below."""

    reason: str
    """The stable word for it, such as `version_mismatch`."""
    details: Mapping[str, Any]
    """The rejection's own fields."""
    retry_after: Optional[float]
    """In how many seconds the same call may be accepted without anything else having changed."""

    def __init__(self, message: str, reason: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details
        after = details.get("retry_after_ms")
        self.retry_after = after / 1000 if isinstance(after, int) else None


class NotFound(Rejected):
    """Nothing of that name; or it was deleted."""


class VersionMismatch(Rejected):
    """It has another version than was expected: read it again and decide anew."""

    @property
    def section(self) -> Optional[str]:
        """Which section; `None`: the whole twin."""
        return self.details.get("section")

    @property
    def expected(self) -> int:
        """The version that the call named."""
        return int(self.details["expected"])

    @property
    def actual(self) -> int:
        """The version that there is."""
        return int(self.details["actual"])


class InvalidArgument(Rejected, ValueError):
    """An argument has no sense; the message says which, and what would be right."""


class TooLarge(InvalidArgument):
    """A section or a value would be larger than allowed."""


class TooMany(Rejected):
    """There would be more of something than allowed."""


class DeviceOffline(Rejected):
    """The device is not connected, and the command was not to be queued."""


class UnknownCommand(NotFound):
    """No command of that number is known; those long over are forgotten."""


class CommandOver(Rejected):
    """The command is over or being delivered, so that it cannot be withdrawn."""


class KeyReused(Rejected):
    """The idempotency key was used for another call."""


class Overloaded(Rejected):
    """Too busy, or over a rate. See `retry_after`."""


class OutOfSpace(Rejected):
    """The node is short of disk space and takes no writes; reads go on."""


class Quarantined(Rejected):
    """The twin broke an invariant and was set aside until someone looks."""


class Passing(Rejected):
    """The cluster is between two owners, or a replica is behind: the same call is accepted in a moment."""


class TookTooLong(Rejected):
    """A node was not done with its part of a query in time: ask of fewer twins, or by a path that has an index."""


class UnknownCredential(NotFound):
    """The device has no credential of that name."""


class UnknownType(NotFound):
    """There is no device type of that name."""


class UnknownGroup(NotFound):
    """There is no group of that name."""


class NotEnrolled(Rejected):
    """A device got nothing by an enrolment; `details` says `why`."""


class LevelTooLow(Rejected):
    """The cluster runs at a level that does not have what was asked for."""


class Unauthenticated(Rejected):
    """The token is missing, or worth nothing."""


class Forbidden(Rejected):
    """No policy allows it, or one denies it; `details` says which action on what."""


_CLASSES: Dict[str, Type[Rejected]] = {
    "not_found": NotFound,
    "version_mismatch": VersionMismatch,
    "invalid": InvalidArgument,
    "not_an_object": InvalidArgument,
    "too_deep": InvalidArgument,
    "bad_key": InvalidArgument,
    "too_large": TooLarge,
    "too_many": TooMany,
    "device_offline": DeviceOffline,
    "unknown_command": UnknownCommand,
    "command_over": CommandOver,
    "key_reused": KeyReused,
    "overloaded": Overloaded,
    "out_of_space": OutOfSpace,
    "quarantined": Quarantined,
    "not_owner": Passing,
    "behind": Passing,
    "took_too_long": TookTooLong,
    "unknown_credential": UnknownCredential,
    "unknown_type": UnknownType,
    "unknown_group": UnknownGroup,
    "not_enrolled": NotEnrolled,
    "level_too_low": LevelTooLow,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
}


def rejection(text: str) -> Optional[Tuple[str, Mapping[str, Any]]]:
    """The reason and the fields of a rejection as a node sends them; `None`: that is something else."""
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("reason"), str):
        return None
    return fields["reason"], fields


def rejected(reason: str, details: Mapping[str, Any], message: str) -> Rejected:
    """The error that a rejection is. Reasons of newer nodes are plain `Rejected`."""
    return _CLASSES.get(reason, Rejected)(message, reason, details)

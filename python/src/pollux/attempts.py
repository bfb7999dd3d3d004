"""Whether a call that failed is made again, when, and where: decided here, done by the clients.

A call is made again only where that cannot do its work twice: nodes say of most refusals that nothing was done, reads
do nothing, and writes carry an idempotency key that is the same in every attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from .errors import (
    Failed,
    OutcomeUnknown,
    PolluxError,
    TakenOver,
    Unreachable,
    rejected,
    rejection,
)

#: A refusal that asks for a longer pause than this is the caller's to wait for, in seconds.
PAUSE_MAX = 2.0
#: The first pause after all nodes were tried, and the longest; they double in between.
BACKOFF = 0.05
BACKOFF_MAX = 1.0
#: Attempts of one call; with these pauses no usual patience allows more.
ATTEMPTS_MAX = 64

#: The entry of a refused call's metadata that says what was refused, as JSON.
REJECTION = "pollux-rejection"

# Codes of gRPC that say that no answer came.
_NO_ANSWER = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


@dataclass(frozen=True)
class NoAnswer:
    """An attempt that may or may not have done its work."""

    message: str


@dataclass(frozen=True)
class Refused:
    """An attempt that a node refused: nothing was done."""

    error: PolluxError
    retry_after: Optional[float]
    elsewhere: bool
    """Whether another node may well accept it now."""


Failure = Union[NoAnswer, Refused]


@dataclass(frozen=True)
class Again:
    """Make the call again."""

    pause: float
    elsewhere: bool


#: What the library says itself where it writes to a stream that has just broken.
_BROKEN = ("INTERNAL", "Internal error from Core")


def failure(code: str, message: str, detail: Optional[str]) -> Failure:
    """What the status of a failed attempt means."""
    found = rejection(detail) if detail else None
    if found is not None:
        reason, fields = found
        if reason == "unknown":
            return NoAnswer(message)
        error = rejected(reason, fields, message)
        return Refused(error, error.retry_after, elsewhere=reason in ("not_owner", "behind"))
    if code in _NO_ANSWER or (code, message) == _BROKEN:
        return NoAnswer(message or code.lower())
    if code == "NOT_FOUND":
        # What is no twin is named in words alone.
        return Refused(rejected("not_found", {}, message), None, elsewhere=False)
    if code == "ABORTED":
        return Refused(TakenOver(message), None, elsewhere=False)
    return Refused(Failed(message or code.lower(), code), None, elsewhere=False)


class Attempts:
    """The attempts of one call. Times are seconds since the first one began."""

    def __init__(self, patience: float, nodes: int, *, repeat: bool, changes: bool, key: str) -> None:
        self._patience = patience
        self._nodes = nodes
        self._repeat = repeat
        self._changes = changes
        self._key = key
        self._failed = 0
        # What was not answered may still have been done, whatever a later attempt is told.
        self._unsure = False

    def patience(self, elapsed: float) -> float:
        """For how long the next attempt waits: leaves room for another node, where there is one."""
        left = max(self._patience - elapsed, 0.001)
        return left / 2 if self._nodes > 1 and self._repeat else left

    def next(self, failure: Failure, elapsed: float, chance: float) -> Union[Again, PolluxError]:
        """What comes after a failed attempt: another one, or an error. `chance` is between 0 and 1."""
        self._failed += 1
        if isinstance(failure, NoAnswer):
            self._unsure = True
            again = self._backoff(chance) if self._repeat else None
        elif failure.retry_after is not None and failure.retry_after <= PAUSE_MAX:
            again = Again(failure.retry_after, failure.elsewhere)
        else:
            again = None
        if again is None or self._failed >= ATTEMPTS_MAX or elapsed + again.pause >= self._patience:
            return self._error(failure)
        return again

    def _backoff(self, chance: float) -> Again:
        round_of, place = divmod(self._failed, self._nodes)
        if self._nodes > 1 and place:
            return Again(0.0, elsewhere=True)
        pause = min(BACKOFF * 2 ** min(round_of - 1, 16), BACKOFF_MAX)
        return Again(pause * (0.5 + chance / 2), elsewhere=True)

    def _error(self, failure: Failure) -> PolluxError:
        if isinstance(failure, NoAnswer):
            return given_up(failure, self._changes, self._key)
        if self._unsure and self._changes and failure.retry_after is not None:
            return OutcomeUnknown(str(failure.error), self._key or None)
        return failure.error


def given_up(failure: Failure, changes: bool, key: str = "") -> PolluxError:
    """The error that a failed attempt is, if it is the last one."""
    if isinstance(failure, Refused):
        return failure.error
    if changes:
        return OutcomeUnknown(failure.message, key or None)
    return Unreachable(failure.message)

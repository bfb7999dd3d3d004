"""How a watch goes on after its stream broke: where, and which of the events that come again were told already.

Nodes tell events at least once: after the last position that came they tell again. Which those are is known here,
because the events of a device come in the same order each time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Dict, List, Tuple

from .v1 import twins_pb2

#: Events after the last position that are remembered; those beyond may be told twice. Nodes give positions far
#: more often.
REMEMBERED_MAX = 10_000

_Device = Tuple[str, str]
_LOST = twins_pb2.WatchResponse(position_lost=twins_pb2.PositionLost())


@dataclass(frozen=True)
class Opening:
    """What to ask a node for."""

    position: str
    picture: bool


def each(event: twins_pb2.WatchResponse) -> List[twins_pb2.WatchResponse]:
    """The changes of a batch one by one, the last of them with its position; all else as it came."""
    if event.WhichOneof("event") != "changes":
        return [event]
    changes = [twins_pb2.WatchResponse(changed=changed) for changed in event.changes.changes]
    if changes:
        changes[-1].position = event.position
    return changes


class Resume:
    """Keeps the place of one watch."""

    def __init__(self, position: str, picture: bool) -> None:
        self.position = position
        self._picture = picture
        # Whether a picture is due or under way: a part of one is nothing to go on from.
        self._drawing = picture and not position
        # Told since the last position, in order, and those of them that a new stream tells again.
        self._told: Dict[_Device, Deque[int]] = {}
        self._again: Dict[_Device, Deque[int]] = {}
        self._count = 0
        self._opened = False

    def opening(self) -> Opening:
        """What to ask a node for now."""
        if not self._opened or self._goes_on:
            return Opening(self.position, self._picture)
        return Opening("", True)

    def opened(self) -> List[twins_pb2.WatchResponse]:
        """The node agreed: what to tell the watcher before anything else."""
        first, self._opened = not self._opened, True
        if first:
            return []
        if self._goes_on:
            self._go_back()
            return []
        # What came before the break is no whole picture, or nobody can say what came in between.
        return [_LOST]

    @property
    def _goes_on(self) -> bool:
        return bool(self.position) and not self._drawing

    def take(self, event: twins_pb2.WatchResponse) -> bool:
        """Whether an event that came is news."""
        kind = event.WhichOneof("event")
        news = True
        if kind == "position_lost":
            self._forget()
            self._drawing = True
        elif kind == "picture_complete":
            self._drawing = False
        elif kind == "changed":
            news = self._take_change(event)
        if event.position and not self._drawing:
            self.position = event.position
            self._told.clear()
            self._count = sum(len(again) for again in self._again.values())
        return news

    def _take_change(self, event: twins_pb2.WatchResponse) -> bool:
        of = (event.changed.tenant, event.changed.device)
        print_of = hash(event.changed.SerializeToString(deterministic=True))
        again = self._again.get(of)
        news = True
        if again:
            if again[0] == print_of:
                again.popleft()
                self._count -= 1
                news = False
            else:
                # Not in the order in which it was told: rather twice than not at all.
                self._count -= len(again)
                del self._again[of]
        if not event.position and self._count < REMEMBERED_MAX:
            self._told.setdefault(of, deque()).append(print_of)
            self._count += 1
        return news

    def _go_back(self) -> None:
        for of, told in self._told.items():
            told.extend(self._again.pop(of, ()))
            self._again[of] = told
        self._told = {}

    def _forget(self) -> None:
        self._told.clear()
        self._again.clear()
        self._count = 0

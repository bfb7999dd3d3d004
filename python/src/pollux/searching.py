"""Looking for a node after a stream broke: for a while, with pauses, at all that there are. Streams are opened, and
pauses waited for, by those that go on so: blocking, and with asyncio."""

from __future__ import annotations

import random
import time
from typing import Any, Optional, Protocol

from .attempts import Attempts, Failure
from .errors import PolluxError
from .ways import Ways


class Nodes(Protocol):
    """The nodes that there are, of which one is asked now."""

    ways: Ways
    resume_timeout: float

    def leave(self, channel: Any) -> None: ...


class Searching:
    """What goes on by itself. A search begins with the first failure, and ends when a stream tells something."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._channel: Optional[Any] = None
        self._closed = False
        self._attempts: Optional[Attempts] = None
        self._began = 0.0

    def _found(self) -> None:
        """A stream tells something: what failed before counts no more."""
        self._attempts = None

    def _pause(self, failed: Failure) -> float:
        """How long to wait before a node is asked again, another one perhaps; an error ends the search."""
        now = time.monotonic()
        if self._attempts is None:
            nodes, patience = len(self._nodes.ways.targets), self._nodes.resume_timeout
            self._attempts = Attempts(patience, nodes, repeat=True, changes=False, key="")
            self._began = now
        after = self._attempts.next(failed, now - self._began, random.random())
        if isinstance(after, PolluxError):
            self._closed = True
            raise after from None
        if after.elsewhere and self._channel is not None:
            self._nodes.leave(self._channel)
        return after.pause

"""Which events of a subscription are out, and what an acknowledgement of one of them says to the node. Pure."""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional, Tuple


class Outstanding:
    """The events of one stream, counted from 1 on."""

    def __init__(self) -> None:
        self._out: Deque[Tuple[int, str]] = deque()
        self._sent = 0
        self._done = 0

    def came(self, position: str) -> int:
        """An event came; its number. Its position may be empty."""
        self._sent += 1
        if position:
            self._out.append((self._sent, position))
        return self._sent

    @property
    def newest(self) -> int:
        """Number of the last event that came."""
        return self._sent

    def passed(self, position: str) -> Optional[str]:
        """A place came that is no event: what to acknowledge, if nothing before it is left to be done."""
        return position if position and self._done == self._sent else None

    def acknowledge(self, number: int) -> Optional[str]:
        """An event, and all before it, are done: the position to acknowledge, if that says anything new.

        An event without a position is acknowledged with the next one that has one.
        """
        self._done = max(self._done, number)
        position = None
        while self._out and self._out[0][0] <= number:
            position = self._out.popleft()[1]
        return position

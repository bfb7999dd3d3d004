"""The channels of the asyncio client, and one call over them."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Dict, Optional, TypeVar

import grpc
import grpc.aio

from ..attempts import REJECTION, Attempts, Failure, NoAnswer, failure
from ..calls import Call
from ..errors import PolluxError
from ..ways import Ways

T = TypeVar("T")


class Line:
    """The channels to the nodes, and the one that is asked first."""

    def __init__(self, found: Ways, timeout: float, resume_timeout: float) -> None:
        self.ways = found
        self.timeout = timeout
        self.resume_timeout = resume_timeout
        self._channels: Dict[int, grpc.aio.Channel] = {}
        self._at = random.randrange(len(found.targets))

    def channel(self) -> grpc.aio.Channel:
        """The channel to the node that is asked now."""
        if self._at not in self._channels:
            self._channels[self._at] = self._dial(self._at)
        return self._channels[self._at]

    def _dial(self, at: int) -> grpc.aio.Channel:
        target, options = self.ways.targets[at], self.ways.options
        if target.tls and self.ways.credentials is not None:
            return grpc.aio.secure_channel(target.authority, self.ways.credentials, options)
        return grpc.aio.insecure_channel(target.authority, options)

    def leave(self, channel: grpc.aio.Channel) -> None:
        """Asks another node from now on, unless another call decided so already."""
        if self._channels.get(self._at) is channel:
            self._at = (self._at + 1) % len(self.ways.targets)

    async def close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def call(self, call: Call[T]) -> T:
        """Makes a call, again where it may be and helps."""
        attempts = Attempts(
            self.timeout + call.wait,
            len(self.ways.targets),
            repeat=call.repeat,
            changes=call.changes,
            key=call.key,
        )
        began = time.monotonic()
        while True:
            channel = self.channel()
            patience = attempts.patience(time.monotonic() - began)
            try:
                return call.read(await self._attempt(channel, call, patience))
            except grpc.aio.AioRpcError as error:
                failed = failure_of(error)
            except EOFError as error:
                failed = NoAnswer(str(error))
            after = attempts.next(failed, time.monotonic() - began, random.random())
            if isinstance(after, PolluxError):
                raise after from None
            if after.elsewhere:
                self.leave(channel)
            await asyncio.sleep(after.pause)

    async def _attempt(self, channel: grpc.aio.Channel, call: Call[Any], patience: float) -> Any:
        of = channel.unary_stream if call.streamed else channel.unary_unary
        stub: Any = of(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        answer = stub(call.request, timeout=patience, metadata=self.ways.metadata())
        return [part async for part in answer] if call.streamed else await answer


class Stream:
    """A stream of events. Whoever waits for one may be cancelled: the event is there for the next who asks."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._reading: "Optional[asyncio.Future[Any]]" = None

    async def begin(self) -> None:
        """Waits until the node agrees; what it refuses is raised."""
        await self._call.initial_metadata()
        if self._call.done() and await self._call.code() is not grpc.StatusCode.OK:
            # Raises what it ended with.
            await self._call.read()

    async def read(self) -> Any:
        """The next event; `None` at the end, and when it was cancelled."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        reading = self._reading
        try:
            event = await asyncio.shield(reading)
            return None if event is grpc.aio.EOF else event
        except asyncio.CancelledError:
            if reading.cancelled():
                return None
            raise
        finally:
            if reading.done():
                self._reading = None

    async def say(self, message: Any) -> None:
        """Sends a message; one that broke takes none, and reading tells why."""
        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass

    async def end(self) -> None:
        """Says that no more messages come."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass

    def cancel(self) -> None:
        """Ends the stream."""
        self._call.cancel()


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """What a failed attempt means."""
    detail = error.trailing_metadata().get(REJECTION)
    return failure(error.code().name, error.details() or "", detail if isinstance(detail, str) else None)

"""An asyncio watch that goes on by itself. Where it goes on, and what is no news, is in `resume`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, AsyncIterator, Deque, Optional

import grpc.aio

from .. import events, reading
from ..attempts import Failure, NoAnswer
from ..resume import Resume, each
from ..searching import Searching
from ..v1 import twins_pb2
from .line import Line, Stream, failure_of


class Watching(Searching):
    """The events of a watch, for as long as they are asked for: `async for` over it.

    Where its stream breaks it goes on, at another node if there is one, without a gap. Where that cannot be, since
    what followed is no longer kept, or a picture was not yet complete, `PositionLost` comes first and then the whole
    picture. It is opened with the first event that is asked for, or by `async with`.
    """

    def __init__(
        self, line: Line, request: twins_pb2.WatchRequest, position: str, picture: bool
    ) -> None:
        super().__init__(line)
        self._line = line
        self._request = request
        self._resume = Resume(position, picture)
        self._ready: Deque[twins_pb2.WatchResponse] = deque()
        self._call: Optional[Stream] = None

    @property
    def position(self) -> str:
        """Where to go on after the events that came so far; empty while a picture is not complete."""
        return self._resume.position

    def close(self) -> None:
        """Ends the watch; iterating ends, too."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> "Watching":
        if self._call is None:
            await self._open_again(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[events.Event]:
        return self

    async def __anext__(self) -> events.Event:
        while True:
            event = await self._next()
            if event is None:
                raise StopAsyncIteration
            if self._resume.take(event):
                told = reading.event(event)
                if not isinstance(told, events.Progress):
                    return told

    async def _next(self) -> Optional[twins_pb2.WatchResponse]:
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            if self._call is None:
                await self._open_again(None)
                continue
            try:
                event = await self._call.read()
            except grpc.aio.AioRpcError as error:
                if not self._closed:
                    await self._open_again(failure_of(error))
                continue
            if event is not None:
                # It works again: what failed before counts no more.
                self._found()
                assert isinstance(event, twins_pb2.WatchResponse)
                self._ready.extend(each(event))
                continue
            await self._open_again(NoAnswer("the node ended the watch"))
        return None

    async def _open_again(self, failed: Optional[Failure]) -> None:
        """Opens the stream, until it is open or must be given up."""
        while not self._closed:
            if failed is not None:
                await asyncio.sleep(self._pause(failed))
            self._channel = self._line.channel()
            opening = self._resume.opening()
            request = twins_pb2.WatchRequest()
            request.CopyFrom(self._request)
            request.position, request.picture = opening.position, opening.picture
            try:
                call = await self._open(self._channel, request)
                # A node tells at once where a watch begins, or the first of a picture.
                first = await call.read()
            except grpc.aio.AioRpcError as error:
                failed = failure_of(error)
                continue
            if first is None:
                failed = NoAnswer("the node ended the watch")
                continue
            self._call = call
            self._ready.extend(self._resume.opened())
            self._begin_with(first)
            return

    def _begin_with(self, first: twins_pb2.WatchResponse) -> None:
        if first.HasField("progress") and not self._ready:
            self._resume.take(first)
        else:
            self._ready.extend(each(first))

    async def _open(self, channel: grpc.aio.Channel, request: twins_pb2.WatchRequest) -> Stream:
        stub: Any = channel.unary_stream(
            "/pollux.v1.Twins/Watch",
            request_serializer=twins_pb2.WatchRequest.SerializeToString,
            response_deserializer=twins_pb2.WatchResponse.FromString,
        )
        stream = Stream(stub(request, metadata=self._line.ways.metadata()))
        await stream.begin()
        return stream

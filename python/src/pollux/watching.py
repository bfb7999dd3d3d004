"""A blocking watch that goes on by itself. Where it goes on, and what is no news, is in `resume`."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Deque, Iterator, Optional

import grpc

from . import events, reading
from .attempts import Failure, NoAnswer
from .line import Line, failure_of
from .resume import Resume, each
from .searching import Searching
from .v1 import twins_pb2


class Watching(Searching):
    """The events of a watch, for as long as they are asked for: iterate over it.

    Where its stream breaks it goes on, at another node if there is one, without a gap. Where that cannot be, since
    what followed is no longer kept, or a picture was not yet complete, `PositionLost` comes first and then the whole
    picture.
    """

    def __init__(
        self, line: Line, request: twins_pb2.WatchRequest, position: str, picture: bool
    ) -> None:
        super().__init__(line)
        self._line = line
        self._request = request
        self._resume = Resume(position, picture)
        self._ready: Deque[twins_pb2.WatchResponse] = deque()
        self._call: Optional[Any] = None
        self._open_again(None)

    @property
    def position(self) -> str:
        """Where to go on after the events that came so far; empty while a picture is not complete."""
        return self._resume.position

    def close(self) -> None:
        """Ends the watch; iterating ends, too."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[events.Event]:
        return self

    def __next__(self) -> events.Event:
        while True:
            event = self._next()
            if event is None:
                raise StopIteration
            if self._resume.take(event):
                told = reading.event(event)
                if not isinstance(told, events.Progress):
                    return told

    def _next(self) -> Optional[twins_pb2.WatchResponse]:
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            assert self._call is not None
            try:
                event: twins_pb2.WatchResponse = next(self._call)
                # It works again: what failed before counts no more.
                self._found()
                self._ready.extend(each(event))
            except StopIteration:
                self._open_again(NoAnswer("the node ended the watch"))
            except grpc.RpcError as error:
                if not self._closed:
                    self._open_again(failure_of(error))
        return None

    def _open_again(self, failed: Optional[Failure]) -> None:
        """Opens the stream, until it is open or must be given up."""
        while not self._closed:
            if failed is not None:
                time.sleep(self._pause(failed))
            self._channel = self._line.channel()
            opening = self._resume.opening()
            request = twins_pb2.WatchRequest()
            request.CopyFrom(self._request)
            request.position, request.picture = opening.position, opening.picture
            try:
                self._call = self._open(self._channel, request)
                # A node tells at once where a watch begins, or the first of a picture.
                first = next(self._call)
            except grpc.RpcError as error:
                failed = failure_of(error)
            except StopIteration:
                failed = NoAnswer("the node ended the watch")
            else:
                self._ready.extend(self._resume.opened())
                self._begin_with(first)
                return

    def _begin_with(self, first: twins_pb2.WatchResponse) -> None:
        if first.HasField("progress") and not self._ready:
            self._resume.take(first)
        else:
            self._ready.extend(each(first))

    def _open(self, channel: grpc.Channel, request: twins_pb2.WatchRequest) -> Any:
        stub = channel.unary_stream(
            "/pollux.v1.Twins/Watch",
            request_serializer=twins_pb2.WatchRequest.SerializeToString,
            response_deserializer=twins_pb2.WatchResponse.FromString,
        )
        return stub(request, metadata=self._line.ways.metadata())

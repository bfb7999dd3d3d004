"""The channels of the blocking client, and one call over them."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Dict, TypeVar

import grpc

from .attempts import REJECTION, Attempts, Failure, NoAnswer, failure
from .calls import Call
from .errors import PolluxError
from .ways import Ways

T = TypeVar("T")

#: How long a stream that seems open is looked at, since a refusal comes in two parts, in seconds.
REFUSED_WITHIN = 0.02


class Line:
    """The channels to the nodes, and the one that is asked first."""

    def __init__(self, found: Ways, timeout: float, resume_timeout: float) -> None:
        self.ways = found
        self.timeout = timeout
        self.resume_timeout = resume_timeout
        self._lock = threading.Lock()
        self._channels: Dict[int, grpc.Channel] = {}
        self._at = random.randrange(len(found.targets))

    def channel(self) -> grpc.Channel:
        """The channel to the node that is asked now."""
        with self._lock:
            if self._at not in self._channels:
                self._channels[self._at] = self._dial(self._at)
            return self._channels[self._at]

    def _dial(self, at: int) -> grpc.Channel:
        target = self.ways.targets[at]
        if target.tls and self.ways.credentials is not None:
            return grpc.secure_channel(target.authority, self.ways.credentials, self.ways.options)
        return grpc.insecure_channel(target.authority, self.ways.options)

    def leave(self, channel: grpc.Channel) -> None:
        """Asks another node from now on, unless somebody else decided so already."""
        with self._lock:
            if self._channels.get(self._at) is channel:
                self._at = (self._at + 1) % len(self.ways.targets)

    def close(self) -> None:
        with self._lock:
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    def call(self, call: Call[T]) -> T:
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
                return call.read(self._attempt(channel, call, patience))
            except grpc.RpcError as error:
                failed = failure_of(error)
            except EOFError as error:
                failed = NoAnswer(str(error))
            after = attempts.next(failed, time.monotonic() - began, random.random())
            if isinstance(after, PolluxError):
                raise after from None
            if after.elsewhere:
                self.leave(channel)
            time.sleep(after.pause)

    def _attempt(self, channel: grpc.Channel, call: Call[Any], patience: float) -> Any:
        of = channel.unary_stream if call.streamed else channel.unary_unary
        stub = of(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        answer = stub(call.request, timeout=patience, metadata=self.ways.metadata())
        return list(answer) if call.streamed else answer


def failure_of(error: grpc.RpcError) -> Failure:
    """What a failed attempt means."""
    code, message, detail = grpc.StatusCode.UNKNOWN, str(error), None
    if isinstance(error, grpc.Call):
        code, message = error.code(), error.details() or ""
        trailing = {name: value for name, value in error.trailing_metadata() or ()}
        found = trailing.get(REJECTION)
        detail = found if isinstance(found, str) else None
    return failure(code.name, message, detail)


def begun(call: Any) -> Any:
    """A stream that the node agreed to; what it refuses is raised."""
    done = threading.Event()
    call.add_done_callback(lambda _: done.set())
    # Comes when the node answers, with whatever.
    call.initial_metadata()
    if done.wait(REFUSED_WITHIN) and call.code() is not grpc.StatusCode.OK:
        raise call
    return call

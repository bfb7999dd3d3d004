"""A blocking consumer of a subscription, which goes on by itself. What an acknowledgement says is in `outstanding`."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Iterator, Optional

import grpc

from . import calls, events, reading
from .attempts import Failure, NoAnswer
from .errors import OutcomeUnknown, Unreachable
from .line import Line, begun, failure_of
from .outstanding import Outstanding
from .searching import Searching
from .v1 import subscriptions_pb2, twins_pb2


@dataclass(frozen=True)
class Delivery:
    """An event of a subscription. It, or one after it, is to be acknowledged, or it comes again."""

    event: events.Event
    shard: Optional[int]
    """Of a shared subscription: the shard that it is of."""
    _consumer: "Consumer"
    _stream: int
    _number: int

    def ack(self) -> None:
        """This event and all before it are done. The cluster remembers that twice a second."""
        self._consumer._acknowledge(self._stream, self._number)


class Consumer(Searching):
    """The events of a subscription: iterate over it, and `ack` what is done.

    Where its stream breaks it goes on, at another node if there is one: what was not acknowledged comes again.
    `TakenOver` ends it when another consumer takes the subscription, or its name in a shared one.
    """

    def __init__(
        self, line: Line, name: str, consumer: str, tenant: str, unacknowledged_max: int
    ) -> None:
        super().__init__(line)
        self._line = line
        self._named = (name, tenant, unacknowledged_max)
        self._name = consumer
        self._lock = threading.Lock()
        self._say: "queue.Queue[Optional[subscriptions_pb2.ConsumeRequest]]" = queue.Queue()
        self._out = Outstanding()
        self._stream = 0
        self._call: Optional[Any] = None
        self._finished = False
        # Acknowledged in the present stream, and perhaps not remembered yet.
        self._acknowledged: Optional[str] = None
        self._open_again(None)

    def close(self) -> None:
        """Ends the consumer when what was acknowledged is remembered; what was not comes to the next one."""
        if self._closed:
            return
        self._finished = True
        self._say.put(None)
        assert self._call is not None
        # The node ends the stream then. What still comes was not acknowledged.
        end = time.monotonic() + self._line.timeout
        timer = threading.Timer(self._line.timeout, self._call.cancel)
        timer.start()
        try:
            for _ in self._call:
                if time.monotonic() > end:
                    break
        except grpc.RpcError as error:
            acknowledged = self._acknowledged
            if acknowledged is not None and isinstance(failure_of(error), NoAnswer):
                self._remember(acknowledged)
        finally:
            timer.cancel()
            self._closed = True
            self._call.cancel()

    @property
    def name(self) -> str:
        """Its name among those that share; empty if it has the subscription alone, and before the first `Sharing`."""
        return self._name

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Delivery]:
        return self

    def __next__(self) -> Delivery:
        while not self._closed and not self._finished:
            assert self._call is not None
            try:
                event: twins_pb2.WatchResponse = next(self._call)
            except StopIteration:
                self._open_again(NoAnswer("the node ended the stream"))
                continue
            except grpc.RpcError as error:
                if not self._closed and not self._finished:
                    self._open_again(failure_of(error))
                continue
            self._found()
            told = reading.event(event)
            shard = event.shard if event.HasField("shard") else None
            if isinstance(told, events.Sharing):
                # Under that name it comes back.
                self._name = told.consumer
            if isinstance(told, (events.Sharing, events.TelemetryHeard)):
                # Neither has to be acknowledged.
                return Delivery(told, shard, self, self._stream, self._out.newest)
            if not isinstance(told, events.Progress):
                with self._lock:
                    number = self._out.came(event.position)
                return Delivery(told, shard, self, self._stream, number)
            self._pass(event.position)
        raise StopIteration

    def _pass(self, position: str) -> None:
        with self._lock:
            passed = self._out.passed(position)
            if passed is not None:
                self._tell(passed)

    def _acknowledge(self, stream: int, number: int) -> None:
        with self._lock:
            # What came by a stream that broke comes again, and is acknowledged then.
            if stream != self._stream or self._finished:
                return
            position = self._out.acknowledge(number)
            if position is not None:
                self._tell(position)

    def _tell(self, position: str) -> None:
        self._acknowledged = position
        self._say.put(subscriptions_pb2.ConsumeRequest(acknowledge=position))

    def _remember(self, position: str) -> None:
        name, tenant, _ = self._named
        self._line.call(calls.acknowledge(name, tenant, self._name, position))

    def _open_again(self, failed: Optional[Failure]) -> None:
        while not self._closed:
            if failed is not None:
                time.sleep(self._pause(failed))
            self._channel = self._line.channel()
            try:
                if self._acknowledged is not None:
                    # It may not have come to be remembered.
                    self._remember(self._acknowledged)
                    self._acknowledged = None
                self._call = self._open(self._channel)
            except grpc.RpcError as error:
                failed = failure_of(error)
                continue
            except (Unreachable, OutcomeUnknown) as error:
                failed = NoAnswer(str(error))
                continue
            with self._lock:
                self._out = Outstanding()
                self._stream += 1
            return

    def _open(self, channel: grpc.Channel) -> Any:
        stub = channel.stream_stream(
            "/pollux.v1.Subscriptions/Consume",
            request_serializer=subscriptions_pb2.ConsumeRequest.SerializeToString,
            response_deserializer=twins_pb2.WatchResponse.FromString,
        )
        name, tenant, most = self._named
        self._say.put(None)
        say: "queue.Queue[Optional[subscriptions_pb2.ConsumeRequest]]" = queue.Queue()
        self._say = say
        say.put(calls.consume_request(name, tenant, most, self._name))
        return begun(stub(iter(say.get, None), metadata=self._line.ways.metadata()))

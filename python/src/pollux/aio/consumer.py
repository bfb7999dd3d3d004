"""An asyncio consumer of a subscription, which goes on by itself. What an acknowledgement says is in
`outstanding`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, AsyncIterator, Optional

import grpc.aio

from .. import calls, events, reading
from ..attempts import Failure, NoAnswer
from ..errors import OutcomeUnknown, Unreachable
from ..outstanding import Outstanding
from ..searching import Searching
from ..v1 import subscriptions_pb2, twins_pb2
from .line import Line, Stream, failure_of


@dataclass(frozen=True)
class Delivery:
    """An event of a subscription. It, or one after it, is to be acknowledged, or it comes again."""

    event: events.Event
    shard: Optional[int]
    """Of a shared subscription: the shard that it is of."""
    _consumer: "Consumer"
    _stream: int
    _number: int

    async def ack(self) -> None:
        """This event and all before it are done. The cluster remembers that twice a second."""
        await self._consumer._acknowledge(self._stream, self._number)


class Consumer(Searching):
    """The events of a subscription: `async for` over it, and `ack` what is done.

    Where its stream breaks it goes on, at another node if there is one: what was not acknowledged comes again.
    `TakenOver` ends it when another consumer takes the subscription, or its name in a shared one. It is opened with the first event that is asked
    for, or by `async with`, which also ends it when what was acknowledged is remembered.
    """

    def __init__(
        self, line: Line, name: str, consumer: str, tenant: str, unacknowledged_max: int
    ) -> None:
        super().__init__(line)
        self._line = line
        self._named = (name, tenant, unacknowledged_max)
        self._name = consumer
        self._out = Outstanding()
        self._stream = 0
        self._call: Optional[Stream] = None
        # Acknowledged in the present stream, and perhaps not remembered yet.
        self._acknowledged: Optional[str] = None

    async def close(self) -> None:
        """Ends the consumer when what was acknowledged is remembered; what was not comes to the next one."""
        if self._closed or self._call is None:
            self._closed = True
            return
        self._closed = True
        try:
            await self._call.end()
            await asyncio.wait_for(self._drain(), self._line.timeout)
        except asyncio.TimeoutError:
            pass
        except grpc.aio.AioRpcError as error:
            acknowledged = self._acknowledged
            if acknowledged is not None and isinstance(failure_of(error), NoAnswer):
                await self._remember(acknowledged)
        finally:
            self._call.cancel()

    async def _drain(self) -> None:
        # The node ends the stream. What still comes was not acknowledged.
        assert self._call is not None
        while await self._call.read() is not None:
            pass

    @property
    def name(self) -> str:
        """Its name among those that share; empty if it has the subscription alone, and before the first `Sharing`."""
        return self._name

    async def __aenter__(self) -> "Consumer":
        if self._call is None:
            await self._open_again(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while not self._closed:
            if self._call is None:
                await self._open_again(None)
                continue
            try:
                event = await self._call.read()
            except grpc.aio.AioRpcError as error:
                if not self._closed:
                    await self._open_again(failure_of(error))
                continue
            if event is None:
                await self._open_again(NoAnswer("the node ended the stream"))
                continue
            self._found()
            assert isinstance(event, twins_pb2.WatchResponse)
            told = reading.event(event)
            shard = event.shard if event.HasField("shard") else None
            if isinstance(told, events.Sharing):
                # Under that name it comes back.
                self._name = told.consumer
            if isinstance(told, (events.Sharing, events.TelemetryHeard)):
                # Neither has to be acknowledged.
                return Delivery(told, shard, self, self._stream, self._out.newest)
            if not isinstance(told, events.Progress):
                return Delivery(told, shard, self, self._stream, self._out.came(event.position))
            passed = self._out.passed(event.position)
            if passed is not None:
                await self._tell(passed)
        raise StopAsyncIteration

    async def _acknowledge(self, stream: int, number: int) -> None:
        # What came by a stream that broke comes again, and is acknowledged then.
        if stream != self._stream or self._closed:
            return
        position = self._out.acknowledge(number)
        if position is not None:
            await self._tell(position)

    async def _tell(self, position: str) -> None:
        self._acknowledged = position
        assert self._call is not None
        # Where the stream broke, it is remembered before the next one begins.
        await self._call.say(subscriptions_pb2.ConsumeRequest(acknowledge=position))

    async def _remember(self, position: str) -> None:
        name, tenant, _ = self._named
        await self._line.call(calls.acknowledge(name, tenant, self._name, position))

    async def _open_again(self, failed: Optional[Failure]) -> None:
        while not self._closed:
            if failed is not None:
                await asyncio.sleep(self._pause(failed))
            self._channel = self._line.channel()
            try:
                if self._acknowledged is not None:
                    # It may not have come to be remembered.
                    await self._remember(self._acknowledged)
                    self._acknowledged = None
                self._call = await self._open(self._channel)
            except grpc.aio.AioRpcError as error:
                failed = failure_of(error)
                continue
            except (Unreachable, OutcomeUnknown) as error:
                failed = NoAnswer(str(error))
                continue
            self._out = Outstanding()
            self._stream += 1
            return

    async def _open(self, channel: grpc.aio.Channel) -> Stream:
        stub: Any = channel.stream_stream(
            "/pollux.v1.Subscriptions/Consume",
            request_serializer=subscriptions_pb2.ConsumeRequest.SerializeToString,
            response_deserializer=twins_pb2.WatchResponse.FromString,
        )
        name, tenant, most = self._named
        stream = Stream(stub(metadata=self._line.ways.metadata()))
        await stream.say(calls.consume_request(name, tenant, most, self._name))
        await stream.begin()
        return stream

"""The asyncio client against a real node: the same calls, and streams that survive a cut."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, List

import pytest

import pollux
from conftest import Node
from pollux import (
    Changed,
    DeviceOffline,
    NewDevice,
    NotFound,
    Patched,
    Sharing,
    Unreachable,
    aio,
)
from proxy import Proxy


def test_it_has_the_same_calls() -> None:
    of_client = ("Twins", "Commands", "Devices", "Subscriptions", "Cluster")
    of_package = ("Artifacts", "Enrolments", "Groups", "Jobs", "Tenants", "Types")
    for group in of_client + of_package:
        blocking: Any = getattr(pollux.client, group)
        asynchronous: Any = getattr(aio.client, group)
        public = [name for name in vars(blocking) if not name.startswith("_")]
        assert public == [name for name in vars(asynchronous) if not name.startswith("_")]
        for name in public:
            ours, theirs = (inspect.signature(getattr(one, name)) for one in (blocking, asynchronous))
            assert list(ours.parameters.values()) == list(theirs.parameters.values()), name


def test_calls(node: Node) -> None:
    async def run() -> None:
        async with aio.Client(["http://127.0.0.1:1", f"http://{node.grpc}"]) as client:
            await asyncio.gather(
                *(client.twins.patch(f"aio-{n}", "tags", {"n": 2**64 - 1 - n}) for n in range(5))
            )
            twin = await client.twins.get("aio-3")
            assert twin.tags == {"n": 2**64 - 4}
            names = [one.device async for one in client.twins.list(prefix="aio-")]
            assert names == [f"aio-{n}" for n in range(5)]
            rows = [row async for row in client.twins.rows('id.startsWith("aio-")', page_size=2)]
            assert [row.device for row in rows] == names
            assert await client.twins.count('id.startsWith("aio-")') == 5
            with pytest.raises(NotFound):
                await client.twins.get("aio-9")
            with pytest.raises(DeviceOffline):
                await client.commands.send("aio-1", "restart")
            imported = await client.devices.import_all([NewDevice("aio-5"), NewDevice("a b")])
            assert imported.registered == 1 and imported.refused[0].number == 1
            assert (await client.devices.disable("aio-5")).standing == "disabled"
            assert (await client.cluster.status()).nodes
            await client.twins.delete("aio-4")
        async with aio.Client("http://127.0.0.1:1", timeout=0.3) as nobody:
            with pytest.raises(Unreachable):
                await nobody.twins.get("aio-1")

    asyncio.run(run())


async def numbers(events: Any, count: int) -> List[int]:
    found = []
    for _ in range(count):
        event = await events.__anext__()
        assert isinstance(event, Changed) and isinstance(event.what, Patched)
        found.append(event.what.patch["n"])
    return found


def test_streams(node: Node) -> None:
    async def run() -> None:
        wire = Proxy(node.grpc)
        async with aio.Client(f"http://{wire.address}") as client, aio.Client(f"http://{node.grpc}") as direct:
            async with client.twins.watch("aio-watched") as events:
                # Whoever waits may be cancelled; nothing is lost by that.
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(events.__anext__(), 0.05)
                for n in range(20):
                    await direct.twins.patch("aio-watched", "tags", {"n": n}, idempotency_key="")
                    if n == 3:
                        assert await numbers(events, 4) == [0, 1, 2, 3]
                    if n % 7 == 3:
                        wire.cut()
                assert await numbers(events, 16) == list(range(4, 20))
                assert wire.taken > 1, "nothing was cut"
            await client.subscriptions.create("aio", device="aio-watched")
            for n in range(20, 30):
                await direct.twins.patch("aio-watched", "tags", {"n": n}, idempotency_key="")
            seen: List[int] = []
            async with client.subscriptions.consume("aio") as deliveries:
                async for delivery in deliveries:
                    event = delivery.event
                    assert isinstance(event, Changed) and isinstance(event.what, Patched)
                    n = event.what.patch["n"]
                    if n not in seen:
                        assert n == 20 + len(seen), "a gap"
                        seen.append(n)
                    await delivery.ack()
                    if n == 24:
                        wire.cut()
                    if len(seen) == 10:
                        break
            await direct.twins.patch("aio-watched", "tags", {"n": 99})
            async with direct.subscriptions.consume("aio") as deliveries:
                delivery = await deliveries.__anext__()
                event = delivery.event
                assert isinstance(event, Changed) and isinstance(event.what, Patched)
                assert event.what.patch["n"] == 99, "what was acknowledged does not come again"
            await direct.subscriptions.delete("aio")
            await direct.subscriptions.create("aio", prefix="aio-watched", shared=True)
            async with direct.subscriptions.consume("aio", consumer="a") as sharing:
                delivery = await sharing.__anext__()
                assert isinstance(delivery.event, Sharing) and sharing.name == "a"
                assert len(delivery.event.shards) == delivery.event.of
                await direct.twins.patch("aio-watched", "tags", {"n": 100})
                delivery = await sharing.__anext__()
                assert isinstance(delivery.event, Changed) and delivery.shard is not None
                await delivery.ack()
            assert (await direct.subscriptions.get("aio")).consumers == []
            await direct.subscriptions.delete("aio")
            await direct.jobs.create("aio", prefix="aio-watched", tags={"lot": 1}, rate_per_s=100)
            assert (await client.jobs.wait("aio")).totals.done == 1
            assert [one.device async for one in client.jobs.devices("aio")] == ["aio-watched"]
            await direct.jobs.delete("aio")
        wire.close()

    asyncio.run(run())

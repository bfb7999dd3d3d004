"""Watches and consumers against a real node, over a wire that is cut again and again."""

from __future__ import annotations

import threading
import time
from typing import Dict, Iterator, List

import pytest

from conftest import Node
from pollux import (
    Changed,
    Client,
    Consumer,
    InvalidArgument,
    Patched,
    PictureComplete,
    Pictured,
    Sharing,
    TakenOver,
)
from proxy import Proxy

WRITES = 90
CUTS = 2


@pytest.fixture()
def wire(node: Node) -> Iterator[Proxy]:
    proxy = Proxy(node.grpc)
    yield proxy
    proxy.close()


def write_all(pollux: Client, prefix: str, begin: int, end: int, pause: float = 0.0) -> None:
    for n in range(begin, end):
        time.sleep(pause)
        pollux.twins.patch(f"{prefix}-{n % 3}", "tags", {"n": n}, idempotency_key="")


def cut_often(wire: Proxy, done: threading.Event) -> None:
    while not done.wait(0.25):
        wire.cut()


def patched(event: object) -> "tuple[str, int]":
    assert isinstance(event, Changed) and isinstance(event.what, Patched), event
    return event.device, event.what.patch["n"]


def test_a_watch_goes_on_without_gap_or_double(pollux: Client, wire: Proxy) -> None:
    with Client(f"http://{wire.address}") as client:
        events = client.twins.watch(prefix="watched-")
        # It is known from the beginning from where to go on.
        assert events.position
        wire.cut()
        write_all(pollux, "watched", 0, 1)
        assert patched(next(events)) == ("watched-0", 0)
        done = threading.Event()
        cutter = threading.Thread(target=cut_often, args=(wire, done))
        writer = threading.Thread(target=write_all, args=(pollux, "watched", 1, WRITES, 0.02))
        cutter.start()
        writer.start()
        seen: Dict[str, List[int]] = {}
        try:
            for _ in range(1, WRITES):
                device, n = patched(next(events))
                seen.setdefault(device, []).append(n)
            assert wire.taken > CUTS, "too little was cut"
        finally:
            done.set()
            cutter.join()
            writer.join()
        expected = {f"watched-{k}": [n for n in range(1, WRITES) if n % 3 == k] for k in range(3)}
        assert seen == expected
        # And it goes on from its position in another watch.
        position = events.position
        events.close()
        assert list(events) == []
        write_all(pollux, "watched", WRITES, WRITES + 1)
        with client.twins.watch(prefix="watched-", position=position) as later:
            assert patched(next(later)) == (f"watched-{WRITES % 3}", WRITES)


def test_a_picture_comes_first_and_filters_tell_who_enters(pollux: Client) -> None:
    for n in range(3):
        pollux.twins.patch(f"pictured-{n}", "tags", {"level": n})
    with pollux.twins.watch(prefix="pictured-", picture=True, filter="tags.level > 0") as events:
        twins = set()
        for event in events:
            if isinstance(event, PictureComplete):
                break
            assert isinstance(event, Pictured)
            twins.add(event.twin.device)
        assert twins == {"pictured-1", "pictured-2"}
        pollux.twins.patch("pictured-0", "tags", {"level": 9})
        event = next(events)
        assert isinstance(event, Changed) and event.match == "entered"
        assert event.twin is not None and event.twin.tags == {"level": 9}
        pollux.twins.patch("pictured-0", "tags", {"level": -1})
        event = next(events)
        assert isinstance(event, Changed) and event.match == "left"
    with pytest.raises(InvalidArgument, match="filter"):
        pollux.twins.watch(filter="tags.level >")


def test_a_subscription_loses_nothing_and_remembers(pollux: Client, wire: Proxy) -> None:
    made = pollux.subscriptions.create("billing", prefix="billed-")
    assert made == pollux.subscriptions.create("billing", prefix="billed-")
    assert "billing" in [one.name for one in pollux.subscriptions.list()]
    done = threading.Event()
    cutter = threading.Thread(target=cut_often, args=(wire, done))
    write_all(pollux, "billed", 0, WRITES)
    seen: Dict[str, List[int]] = {}
    count = 0
    with Client(f"http://{wire.address}") as client:
        with client.subscriptions.consume("billing", unacknowledged_max=7) as deliveries:
            cutter.start()
            try:
                for delivery in deliveries:
                    device, n = patched(delivery.event)
                    count += 1
                    # At least once: one that comes again was seen before.
                    if n not in seen.setdefault(device, []):
                        assert not seen[device] or n == seen[device][-1] + 3, "a gap"
                        seen[device].append(n)
                    time.sleep(0.01)
                    delivery.ack()
                    if sum(map(len, seen.values())) == WRITES:
                        break
            finally:
                done.set()
                cutter.join()
    assert seen == {f"billed-{k}": list(range(k, WRITES, 3)) for k in range(3)}
    # All of it is remembered: the next consumer begins after it.
    pollux.twins.patch("billed-0", "tags", {"n": -1})
    with pollux.subscriptions.consume("billing") as deliveries:
        assert patched(next(deliveries).event) == ("billed-0", -1)
    # That was not acknowledged, so it comes again.
    with pollux.subscriptions.consume("billing") as deliveries:
        delivery = next(deliveries)
        assert patched(delivery.event) == ("billed-0", -1)
        delivery.ack()
        newer = pollux.subscriptions.consume("billing")
        with pytest.raises(TakenOver):
            next(deliveries)
        newer.close()
    pollux.subscriptions.delete("billing")


def held(deliveries: Consumer) -> List[int]:
    """The next shards that a consumer is told it holds."""
    for delivery in deliveries:
        if isinstance(delivery.event, Sharing):
            return delivery.event.shards
    raise AssertionError("it ended")


def test_consumers_share_a_subscription(pollux: Client) -> None:
    made = pollux.subscriptions.create("orders", prefix="ordered-", telemetry=True, shared=True)
    assert made.shared and made.telemetry and made.consumers == []
    with pollux.subscriptions.consume("orders", consumer="a") as first:
        delivery = next(first)
        told = delivery.event
        assert isinstance(told, Sharing) and told.consumer == first.name == "a"
        assert len(told.shards) == told.of, "it is alone"
        with pollux.subscriptions.consume("orders") as second:
            mine: List[int] = []
            while len(mine) < told.of // 2:
                mine = held(second)
            assert second.name not in ("", "a")
            rest = told.shards
            while len(rest) > told.of - told.of // 2:
                rest = held(first)
            assert sorted(mine + rest) == told.shards, "each shard is with one"
            pollux.twins.patch("ordered-1", "tags", {"n": 1})
            kept = pollux.subscriptions.get("orders")
            assert {one.name for one in kept.consumers} == {"a", second.name}
            assert sum(one.shards for one in kept.consumers) == told.of
            newer = pollux.subscriptions.consume("orders", consumer=second.name)
            with pytest.raises(TakenOver):
                held(second)
            newer.close()
        # What the other held is its own again.
        while len(rest) < told.of:
            rest = held(first)
    with pollux.subscriptions.consume("orders", consumer="b") as deliveries:
        assert len(held(deliveries)) == told.of
        delivery = next(deliveries)
        assert patched(delivery.event) == ("ordered-1", 1) and delivery.shard is not None
        delivery.ack()
    pollux.subscriptions.create("billing")
    with pytest.raises(InvalidArgument):
        pollux.subscriptions.consume("billing", consumer="a")
    pollux.subscriptions.delete("billing")
    pollux.subscriptions.delete("orders")


def test_writes_are_made_once_over_a_wire_that_is_cut(pollux: Client, wire: Proxy) -> None:
    done = threading.Event()
    cutter = threading.Thread(target=cut_often, args=(wire, done))
    cutter.start()
    try:
        with Client(f"http://{wire.address}") as client:
            for n in range(WRITES):
                client.twins.patch("written", "tags", {"n": n})
                time.sleep(0.01)
    finally:
        done.set()
        cutter.join()
    assert wire.taken > CUTS, "too little was cut"
    assert pollux.twins.get("written").versions.tags == WRITES

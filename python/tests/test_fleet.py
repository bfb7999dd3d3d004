"""Tenants, types, groups, enrolments and artifacts, and what can be restored, against a real node."""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, List

import grpc
import pytest

from conftest import Node
from pollux import (
    Client,
    Failed,
    InvalidValue,
    NotFound,
    TenantLimits,
    Unreachable,
    aio,
    device_key,
)
from pollux.artifact_files import Part
from pollux.errors import NotEnrolled, PolluxError, TooMany
from pollux.v1 import artifacts_pb2
from proxy import Proxy

#: Of more than one message, and no round number of them.
FIRMWARE = bytes(range(256)) * 5000 + b"the end"


def test_a_deleted_twin_is_listed_and_comes_back(pollux: Client) -> None:
    for number in range(3):
        pollux.devices.register(f"gone-{number}", tags={"n": number})
    for name in ("gone-0", "gone-2"):
        pollux.twins.delete(name)
    gone = list(pollux.devices.deleted(prefix="gone-"))
    assert [one.device for one in gone] == ["gone-0", "gone-2"]
    assert all(one.deleted_by and not one.is_back for one in gone)
    week = 7 * 24 * 3600 * 1000
    assert all(one.restorable_until_ms - (one.deleted_at_ms or 0) == week for one in gone)
    pollux.devices.restore("gone-0")
    assert pollux.twins.get("gone-0").tags == {"n": 0}
    pollux.twins.patch("gone-2", "tags", {"n": 9})
    (back,) = pollux.devices.deleted(prefix="gone-")
    assert (back.device, back.is_back, back.deleted_at_ms) == ("gone-2", True, None)
    assert list(pollux.devices.deleted(tenant="acme")) == []


def test_tenants_have_limits(pollux: Client) -> None:
    limited = pollux.tenants.limit("acme", devices=1, messages_per_s=50, note="a trial")
    assert limited.limits == TenantLimits(devices=1, messages_per_s=50)
    assert [one.tenant for one in pollux.tenants.list()] == ["acme"]
    pollux.devices.register("acme/pump-1")
    with pytest.raises(TooMany):
        pollux.devices.register("acme/pump-2")
    seen = pollux.tenants.get("acme")
    assert (seen.note, seen.use.devices, seen.limits.bytes) == ("a trial", 1, None)
    assert pollux.tenants.limit("acme").limits == TenantLimits()
    assert pollux.tenants.list() == []


def test_types_and_groups(pollux: Client) -> None:
    schemas = {"desired": {"type": "object", "properties": {"hz": {"type": "integer"}}}}
    made = pollux.types.put("pump", schemas=schemas, note="a pump")
    assert (made.version, made.schemas) == (1, schemas)
    assert pollux.types.get("pump") == made and pollux.types.list() == [made]
    pollux.types.delete("pump")
    with pytest.raises(NotFound):
        pollux.types.get("pump")

    pollux.groups.put("north")
    pollux.groups.put("wet", filter="tags.wet == true")
    assert [one.name for one in pollux.groups.list()] == ["north", "wet"]
    for name in ("group-1", "group-2"):
        pollux.devices.register(name, tags={"wet": name == "group-2"})
    changed = pollux.groups.add("north", ["group-1", "group-2", "a b"])
    assert changed.done == 2 and [one.device for one in changed.refused] == ["a b"]
    assert list(pollux.groups.members("north")) == ["group-1", "group-2"]
    assert list(pollux.groups.members("wet")) == ["group-2"]
    assert pollux.groups.take_out("north", ["group-1", "group-2"]).done == 2
    with pytest.raises(InvalidValue):
        pollux.groups.add("north", "group-1")
    for name in ("north", "wet"):
        pollux.groups.delete(name)
    with pytest.raises(NotFound):
        pollux.groups.get("north")


def test_a_device_enrols(pollux: Client) -> None:
    put = pollux.enrolments.put("spring", prefix="enrolled-", tags={"batch": 7}, most=1)
    assert put.key is not None and put.enrolment.tags == {"batch": 7}
    own = device_key(put.key, "enrolled-1")
    got = pollux.enrolments.provision("spring", "enrolled-1", device_key=own)
    assert got.token and got.certificate is None and "BEGIN CERTIFICATE" in got.server_ca
    assert pollux.twins.get("enrolled-1").tags == {"batch": 7}
    for device, key, why in (
        ("enrolled-2", own, "wrong_proof"),
        ("enrolled-2", device_key(put.key, "enrolled-2"), "exhausted"),
        ("other", device_key(put.key, "other"), "wrong_name"),
    ):
        with pytest.raises(NotEnrolled) as refused:
            pollux.enrolments.provision("spring", device, device_key=key)
        assert refused.value.details["why"] == why
    again = pollux.enrolments.put("spring", prefix="enrolled-")
    assert again.key is None and again.enrolment.enrolled == 1 and again.enrolment.most is None
    assert pollux.enrolments.put("spring", new_key=True).key not in (None, put.key)
    assert [one.name for one in pollux.enrolments.list()] == ["spring"]
    pollux.enrolments.delete("spring")
    with pytest.raises(NotFound):
        pollux.enrolments.get("spring")
    with pytest.raises(InvalidValue, match="64 hexadecimal"):
        device_key("12", "enrolled-1")


def test_artifacts_come_and_go(pollux: Client, tmp_path: Path) -> None:
    file, to = tmp_path / "firmware.bin", tmp_path / "taken.bin"
    file.write_bytes(FIRMWARE)
    put = pollux.artifacts.put("pump-fw", "2.1.0", file, media_type="application/x-fw")
    assert (put.size, put.sha256) == (len(FIRMWARE), hashlib.sha256(FIRMWARE).hexdigest())
    assert pollux.artifacts.put("pump-fw", "2.1.0", FIRMWARE, media_type="application/x-fw") == put
    with pytest.raises(PolluxError):
        pollux.artifacts.put("pump-fw", "2.1.0", b"something else")
    assert pollux.artifacts.get("pump-fw", "2.1.0") == put
    assert list(pollux.artifacts.list(prefix="pump")) == [put]

    # What had come is gone on with; what is no part of it is found out.
    part = Part(put, to)
    part.take(FIRMWARE[:70_000])
    part.close()
    assert pollux.artifacts.download("pump-fw", "2.1.0", to) == put
    assert to.read_bytes() == FIRMWARE and sorted(tmp_path.iterdir()) == [file, to]
    part = Part(put, to)
    part.take(b"wrong")
    part.close()
    with pytest.raises(Failed, match="SHA-256"):
        pollux.artifacts.download("pump-fw", "2.1.0", to)
    assert to.read_bytes() == FIRMWARE and sorted(tmp_path.iterdir()) == [file, to]
    with pytest.raises(NotFound):
        pollux.artifacts.download("pump-fw", "9", to)

    key = pollux.artifacts.put_key("release", bytes(range(32)), note="of the works")
    assert pollux.artifacts.list_keys() == [key] and key.public_key == bytes(range(32))
    with pytest.raises(PolluxError):
        pollux.artifacts.put("pump-fw", "2.2.0", b"not signed")
    with pytest.raises(InvalidValue, match="32"):
        pollux.artifacts.put_key("short", b"12")
    pollux.artifacts.delete_key("release")
    pollux.artifacts.delete("pump-fw", "2.1.0")
    assert list(pollux.artifacts.list()) == []


@pytest.mark.parametrize("way", ["blocking", "asyncio"])
def test_a_download_that_has_come_far_goes_on_where_it_breaks(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    proxy, to, version = Proxy(node.grpc), tmp_path / "long.bin", f"1-{way}"
    take, content = Part.take, bytes(range(256)) * 20_000
    pieces: List[int] = []

    def break_once(part: Part, piece: bytes) -> None:
        take(part, piece)
        pieces.append(len(piece))
        if len(pieces) == 1:
            # Longer than a call may take in all.
            time.sleep(1.5)
            proxy.cut()

    async def for_asyncio() -> None:
        async with aio.Client([f"http://{proxy.address}"], timeout=1.0) as client:
            await client.artifacts.download("long-fw", version, to)

    with Client([f"http://{proxy.address}"], timeout=1.0) as client:
        client.artifacts.put("long-fw", version, content)
        monkeypatch.setattr(Part, "take", break_once)
        if way == "asyncio":
            asyncio.run(for_asyncio())
        else:
            client.artifacts.download("long-fw", version, to)
        assert to.read_bytes() == content
        client.artifacts.delete("long-fw", version)
    proxy.close()


@pytest.mark.parametrize("way", ["blocking", "asyncio"])
def test_a_node_that_gives_no_more_is_not_asked_for_long(tmp_path: Path, way: str) -> None:
    told = artifacts_pb2.Artifact(name="half", version="1", size=3, sha256=bytes(32))

    def get(asked: Any, _: grpc.ServicerContext) -> Iterator[artifacts_pb2.GetArtifactResponse]:
        yield artifacts_pb2.GetArtifactResponse(artifact=told)
        yield artifacts_pb2.GetArtifactResponse(data=b"ab"[asked.offset :])

    handlers = {
        "Describe": grpc.unary_unary_rpc_method_handler(
            lambda *_: told, response_serializer=artifacts_pb2.Artifact.SerializeToString
        ),
        "Get": grpc.unary_stream_rpc_method_handler(
            get,
            request_deserializer=artifacts_pb2.GetArtifactRequest.FromString,
            response_serializer=artifacts_pb2.GetArtifactResponse.SerializeToString,
        ),
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("pollux.v1.Artifacts", handlers),)
    )
    address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    async def for_asyncio() -> None:
        async with aio.Client(address, resume_timeout=1.0) as client:
            await client.artifacts.download("half", "1", tmp_path / "half.bin")

    with Client(address, resume_timeout=1.0) as client, pytest.raises(Unreachable):
        if way == "asyncio":
            asyncio.run(for_asyncio())
        else:
            client.artifacts.download("half", "1", tmp_path / "half.bin")
    server.stop(None)


def test_the_same_for_asyncio(node: Node, tmp_path: Path) -> None:
    async def run() -> None:
        async with aio.Client(["http://127.0.0.1:1", f"http://{node.grpc}"]) as client:
            await client.tenants.get("acme")
            to = tmp_path / "taken.bin"
            put = await client.artifacts.put("fleet-fw", "1", FIRMWARE)
            assert await client.artifacts.download("fleet-fw", "1", to) == put
            assert to.read_bytes() == FIRMWARE
            names: List[str] = [one.name async for one in client.artifacts.list(prefix="fleet-")]
            assert names == ["fleet-fw"]
            await client.artifacts.delete("fleet-fw", "1")
            await client.devices.register("fleet-gone")
            await client.twins.delete("fleet-gone")
            gone = [one.device async for one in client.devices.deleted(prefix="fleet-gone")]
            assert gone == ["fleet-gone"]
            await client.groups.put("fleet-group")
            assert [one async for one in client.groups.members("fleet-group")] == []
            await client.groups.delete("fleet-group")
            key = (await client.enrolments.put("fleet-spring")).key
            assert key is not None
            own = device_key(key, "fleet-enrolled")
            got = await client.enrolments.provision("fleet-spring", "fleet-enrolled", device_key=own)
            assert got.token
            await client.enrolments.delete("fleet-spring")

    asyncio.run(run())

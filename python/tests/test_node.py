"""The blocking client against a real node."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import trustme

from conftest import Node
from pollux import (
    Client,
    DeviceOffline,
    Forbidden,
    InvalidArgument,
    InvalidValue,
    KeyReused,
    NewDevice,
    NotFound,
    Unauthenticated,
    Unreachable,
    VersionMismatch,
)


def test_a_twin_is_written_read_and_deleted(pollux: Client) -> None:
    big = {"serial": 2**64 - 1, "low": -(2**63), "ratio": 0.1, "whole": 1.0, "list": [None, True, "å"]}
    written = pollux.twins.patch("pump-1", "desired", big)
    assert (written.section, written.version) == ("desired", 1)
    twin = pollux.twins.get("pump-1")
    assert twin.desired == big and isinstance(twin.desired["whole"], float)
    assert twin.delta == big and twin.reported == {} and twin.versions.desired == 1
    assert twin.meta["desired"].by == "anonymous" and "/serial" in twin.meta["desired"].leaves
    pollux.twins.patch("pump-1", "desired", {"list": None})
    assert "list" not in pollux.twins.get("default/pump-1").desired
    assert pollux.twins.replace("pump-1", "desired", {"a": 1}).version == 3
    assert pollux.twins.get("pump-1").desired == {"a": 1}
    found = pollux.twins.get_stale("pump-1", max_age_ms=60_000)
    assert found.twin.device == "pump-1" and found.position
    assert pollux.twins.delete("pump-1") > 3
    with pytest.raises(NotFound) as gone:
        pollux.twins.get("pump-1")
    assert gone.value.reason == "not_found"


def test_versions_and_keys_keep_writers_apart(pollux: Client) -> None:
    pollux.twins.patch("pump-2", "tags", {"n": 1}, expected_version=0)
    with pytest.raises(VersionMismatch) as mismatch:
        pollux.twins.patch("pump-2", "tags", {"n": 2}, expected_version=7)
    assert (mismatch.value.section, mismatch.value.expected, mismatch.value.actual) == ("tags", 7, 1)
    first = pollux.twins.patch("pump-2", "tags", {"n": 3}, idempotency_key="once")
    again = pollux.twins.patch("pump-2", "tags", {"n": 3}, idempotency_key="once")
    assert first == again
    with pytest.raises(KeyReused):
        pollux.twins.patch("pump-2", "tags", {"n": 4}, idempotency_key="once")
    assert pollux.twins.patch("pump-2", "tags", {"n": 5}, idempotency_key="").version == 3


def test_what_is_wrong_is_said_before_it_travels(pollux: Client) -> None:
    with pytest.raises(InvalidValue, match="desired.t: nan"):
        pollux.twins.patch("pump-3", "desired", {"t": float("nan")})
    with pytest.raises(InvalidValue, match="reported is the device's"):
        pollux.twins.patch("pump-3", "reported", {})
    with pytest.raises(InvalidArgument, match="device: id"):
        pollux.twins.get("pump 3")
    with pytest.raises(InvalidValue, match="write it as"):
        Client("ftp://node")
    with pytest.raises(InvalidValue, match="in the clear"):
        Client("http://node.example:4434", token="secret")
    with pytest.raises(InvalidValue, match="for TLS"):
        Client("http://127.0.0.1:4434", ca=b"")
    with pytest.raises(InvalidValue, match="a list of them"):
        pollux.twins.query(select="tags.a")


def test_many_twins_are_listed_found_and_counted(pollux: Client) -> None:
    devices = [NewDevice(f"fleet/valve-{n}", tags={"n": n, "odd": n % 2 == 1}) for n in range(25)]
    imported = pollux.devices.import_all([*devices, NewDevice("fleet/bad name")])
    assert imported.registered == 25
    assert [(one.number, one.reason) for one in imported.refused] == [(25, "invalid")]
    names = [twin.device for twin in pollux.twins.list(tenant="fleet", prefix="valve-2")]
    assert names == ["valve-2", "valve-20", "valve-21", "valve-22", "valve-23", "valve-24"]
    full = {twin.device: twin.tags["n"] for twin in pollux.twins.list_full(tenant="fleet")}
    assert len(full) == 25 and full["valve-7"] == 7
    rows = list(
        pollux.twins.rows(
            "tags.n >= 10", select=["tags.n", "tags.none"], order_by=[("tags.n", "desc")], tenant="fleet", page_size=4
        )
    )
    assert [row.values for row in rows] == [{"tags.n": n} for n in range(24, 9, -1)]
    page = pollux.twins.query("tags.n < 3", limit=2, tenant="fleet", explain=True)
    assert page.matched == 3 and len(page.rows) == 2 and page.next_cursor and page.ways
    assert pollux.twins.count("tags.odd", tenant="fleet") == 12
    groups = pollux.twins.groups(["tags.odd"], tenant="fleet")
    assert [(group.by["tags.odd"], group.count) for group in groups] == [(False, 13), (True, 12)]
    with pytest.raises(InvalidArgument, match="column"):
        pollux.twins.query("tags.n = 1")


def test_the_import_tells_what_its_own_source_raised(pollux: Client) -> None:
    def devices() -> Iterator[NewDevice]:
        yield NewDevice("pump-4")
        raise RuntimeError("the file is gone")

    with pytest.raises(RuntimeError, match="the file is gone"):
        pollux.devices.import_all(devices())


def test_commands_are_sent_waited_for_and_withdrawn(pollux: Client) -> None:
    deadline = time.monotonic() + 30
    while not all(pollux.twins.get(f"sim-{n}").presence.connected for n in range(2)):
        assert time.monotonic() < deadline, "the simulated devices do not come"
        time.sleep(0.1)
    done = pollux.commands.send("sim-0", "echo", {"n": 2**63}, wait=True)
    assert done.state == "done" and done.is_over
    assert pollux.commands.get("sim-0", done.id) == done
    pollux.twins.patch("pump-5", "tags", {})
    with pytest.raises(DeviceOffline):
        pollux.commands.send("pump-5", "restart")
    queued = pollux.commands.send("pump-5", "restart", queue=True, deadline=3600)
    assert queued.state == "queued"
    assert pollux.commands.cancel("pump-5", queued.id).state == "cancelled"
    assert [one.id for one in pollux.commands.list("pump-5")] == [queued.id]
    with pytest.raises(NotFound):
        pollux.commands.get("pump-5", 99)


def test_devices_are_registered_and_kept_out(pollux: Client) -> None:
    device = pollux.devices.register("pump-6", tags={"site": "Oslo"}, tokens={"spring": "0f" * 32})
    assert device.standing == "enabled" and [one.kind for one in device.credentials] == ["token"]
    token = pollux.devices.give_token("pump-6", "autumn")
    assert len(token) == 64
    pinned = pollux.devices.give_credential("pump-6", "field", certificate_sha256="ab" * 32)
    assert [one.name for one in pinned.credentials] == ["spring", "autumn", "field"]
    assert pinned.credentials[2].sha256 == "ab" * 32
    assert len(pollux.devices.revoke_credential("pump-6", "spring").credentials) == 2
    assert pollux.devices.disable("pump-6", "stolen").reason == "stolen"
    assert pollux.devices.get("pump-6").standing == "disabled"
    assert pollux.devices.enable("pump-6").standing == "enabled"
    with pytest.raises(NotFound):
        pollux.devices.revoke_credential("pump-6", "winter")
    with pytest.raises(InvalidArgument, match="64 hexadecimal digits"):
        pollux.devices.give_credential("pump-6", "bad", token_sha256="00")


def test_the_cluster_tells_how_it_is(pollux: Client) -> None:
    status = pollux.cluster.status()
    assert len(status.nodes) == 1 and status.nodes[0].answers
    assert len(status.shards) == 16 and all(shard.owner == status.node for shard in status.shards)
    caller = pollux.who_am_i()
    assert not caller.enforced and caller.until_ms is None


def test_another_node_is_asked_where_one_is_not_there(node: Node) -> None:
    addresses = ["http://127.0.0.1:1", f"http://{node.grpc}"]
    for _ in range(4):
        with Client(addresses) as pollux:
            pollux.twins.patch("pump-7", "tags", {"here": True})
    with Client("http://127.0.0.1:1", timeout=0.5) as nobody, pytest.raises(Unreachable):
        nobody.twins.get("pump-7")


def test_callers_prove_who_they_are_and_do_what_they_may(tmp_path: Path) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "node.pem", tmp_path / "node.key"
    chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    variables = {
        "POLLUX_ACCESS__MODE": "enforced",
        "POLLUX_SERVICES__CERT": str(chain),
        "POLLUX_SERVICES__KEY": str(key),
    }
    node = Node(tmp_path / "data", ["start"], variables)
    try:
        address, trusted = f"https://{node.grpc}", ca.cert_pem.bytes()
        root = (node.data / "root.token").read_text().strip()
        with Client(address, ca=trusted, token=lambda: root) as pollux:
            assert pollux.who_am_i().enforced
            pollux.twins.patch("pump-1", "tags", {"site": "Oslo"})
        with Client(address, ca=trusted) as nobody, pytest.raises(Unauthenticated):
            nobody.twins.get("pump-1")
        with Client(address, ca=trusted, token="wrong") as wrong:
            with pytest.raises(Unauthenticated):
                wrong.twins.get("pump-1")
            with pytest.raises(Unauthenticated):
                wrong.twins.watch("pump-1")
        with Client(address, timeout=1.0) as stranger, pytest.raises(Unreachable):
            stranger.cluster.status()
    finally:
        node.stop()


def test_the_readme_does_what_it_says(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.setenv("POLLUX_GRPC", node.grpc)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "{'interval_s': 10} {'interval_s': 10} True", lines
    assert "pump-7 {'desired.interval_s': 10}" in lines[1:], lines


def test_refusals_name_what_was_missing() -> None:
    from pollux.errors import rejected

    error = rejected("forbidden", {"reason": "forbidden", "action": "twin:read", "on": "a/b"}, "no")
    assert isinstance(error, Forbidden) and error.details["action"] == "twin:read"


def test_a_job_acts_on_many(pollux: Client) -> None:
    for number in range(3):
        pollux.devices.register(f"jobbed-{number}")
    made = pollux.jobs.create("tagging", prefix="jobbed-", tags={"lot": 7}, canary=1)
    again = pollux.jobs.create("tagging", prefix="jobbed-", tags={"lot": 7}, canary=1)
    assert (made.name, made.created_at_ms) == (again.name, again.created_at_ms)
    done = pollux.jobs.wait("tagging")
    assert (done.state, done.is_over, done.totals.devices, done.totals.done) == ("finished", True, 3, 3)
    assert pollux.twins.get("jobbed-2").tags == {"lot": 7}
    devices = list(pollux.jobs.devices("tagging", state="done"))
    assert [one.device for one in devices] == ["jobbed-0", "jobbed-1", "jobbed-2"]
    assert all(one.state == "done" and one.attempts == 1 for one in devices)
    assert list(pollux.jobs.devices("tagging", state="failed")) == []
    assert [one.name for one in pollux.jobs.list()] == ["tagging"]
    with pytest.raises(VersionMismatch):
        pollux.jobs.create("tagging", prefix="jobbed-", tags={"lot": 8}, canary=1)

    # Its device is not there: it can be paused, and never begins with anybody else.
    pollux.jobs.create("turn", devices=["jobbed-0"], command="turn", payload={"by": 90})
    assert pollux.jobs.pause("turn").state in ("selecting", "paused", "running")
    assert not pollux.jobs.resume("turn").is_over
    pollux.jobs.cancel("turn")
    assert pollux.jobs.wait("turn").state == "cancelled"
    for name in ("tagging", "turn"):
        pollux.jobs.delete(name)
    with pytest.raises(NotFound):
        pollux.jobs.get("turn")


def test_what_makes_no_job_is_refused(pollux: Client) -> None:
    cases: List[Dict[str, Any]] = [
        {"prefix": "a"},
        {"tags": {}},
        {"prefix": "a", "devices": ["b"], "tags": {}},
        {"prefix": "a", "tags": {}, "command": "turn"},
        {"prefix": "a", "tags": {"x": float("nan")}},
    ]
    for wrong in cases:
        with pytest.raises(InvalidValue):
            pollux.jobs.create("wrong", **wrong)
    with pytest.raises(InvalidValue, match="takes waiting"):
        list(pollux.jobs.devices("wrong", state="ready"))
    with pytest.raises(InvalidArgument):
        pollux.jobs.create("wrong", prefix="a", tags={"x": 1}, retries=11)
    with pytest.raises(NotFound):
        pollux.jobs.get("wrong")

"""Who may do what: principals, tokens, policies and the audit, at a node that enforces it."""

from __future__ import annotations

import asyncio
from typing import Iterator

import pytest

from conftest import Node
from pollux import (
    Client,
    Failed,
    Forbidden,
    InvalidValue,
    NotFound,
    Subject,
    Unauthenticated,
    access_calls,
    aio,
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that lets nobody in without a token."""
    folder = tmp_path_factory.mktemp("guarded")
    running = Node(folder / "data", ["start"], {"POLLUX_ACCESS__MODE": "enforced"})
    yield running
    running.stop()


@pytest.fixture()
def operator(guarded: Node) -> Iterator[Client]:
    """A client that may do everything."""
    with Client(f"http://{guarded.grpc}", token=root_of(guarded)) as client:
        yield client


def root_of(node: Node) -> str:
    return (node.data / "root.token").read_text().strip()


def test_a_principal_may_do_what_its_policy_says(guarded: Node, operator: Client) -> None:
    access = operator.access
    before = len(list(access.audit()))
    subject = Subject("https://id.example", "7")
    for _ in range(2):
        access.put_principal("tuner", note="of a test", subjects=[subject])
    issued = access.issue_token("tuner", good_for=3600, note="here")
    assert issued.token not in repr(issued) and issued.id in repr(issued)
    (tuner,) = access.list_principals()
    assert (tuner.name, tuner.note, tuner.subjects) == ("tuner", "of a test", [subject])
    (token,) = tuner.tokens
    assert (token.id, token.note, token.expires_ms) == (issued.id, "here", issued.expires_ms)
    assert token.expires_ms - token.issued_ms == 3_600_000
    access.put_policy(
        "tuners",
        principals=["tuner"],
        actions=["twin:write"],
        on=["default/pump-*"],
        sections=["desired"],
    )
    (policy,) = access.list_policies()
    assert (policy.name, policy.principals, policy.on) == ("tuners", ["tuner"], ["default/pump-*"])
    assert (policy.deny, policy.sections, policy.filter) == (False, ["desired"], "")

    with Client(f"http://{guarded.grpc}", token=issued.token) as service:
        assert service.who_am_i().principal == "tuner"
        service.twins.patch("pump-1", "desired", {"interval_s": 10})
        with pytest.raises(Forbidden) as refused:
            service.twins.get("pump-1")
        assert refused.value.details["action"] == "twin:read"
        with pytest.raises(Forbidden):
            list(service.access.audit())
        may = access.check("tuner", "twin:write", "default/pump-1", section="desired")
        assert may.allowed and may.why == "allowed by policy tuners"
        may_not = access.check("tuner", "twin:read", "default/pump-1")
        assert not may_not.allowed and "no policy allows it" in may_not.why
        access.revoke_token(issued.id)
        with pytest.raises(Unauthenticated):
            service.twins.patch("pump-1", "desired", {"interval_s": 20})

    access.delete_policy("tuners")
    access.delete_principal("tuner")
    assert access.list_policies() == [] and access.list_principals() == []
    done = [
        "principal put",
        "principal put",
        "token issue",
        "policy put",
        "token revoke",
        "policy remove",
        "principal remove",
    ]
    entries = [one for one in access.audit() if one.number > before]
    assert [one.what for one in reversed(entries)] == done
    assert {(one.who, one.address, one.result) for one in entries} == {("root", "127.0.0.1", "done")}
    assert entries[0].on == "tuner"


def test_the_audit_is_read_page_after_page(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        operator.access.put_principal(f"one-{number}")
    whole = list(operator.access.audit())
    monkeypatch.setattr(access_calls, "PAGE_SIZE", 2)
    assert list(operator.access.audit()) == whole and len(whole) >= 5
    assert [one.number for one in whole] == list(range(len(whole), 0, -1))
    assert list(operator.access.audit(before=whole[0].number)) == whole[1:]
    for number in range(5):
        operator.access.delete_principal(f"one-{number}")


def test_what_makes_no_sense_is_refused(operator: Client) -> None:
    access = operator.access
    for gone in (access.delete_principal, access.delete_policy, access.issue_token):
        with pytest.raises(NotFound):
            gone("nobody")
    with pytest.raises(NotFound):
        access.revoke_token("0123456789abcdef")
    with pytest.raises(Failed, match="add it first"):
        access.put_policy("p", principals=["nobody"], actions=["twin:read"], on=["*"])
    with pytest.raises(InvalidValue, match="principals: is one text"):
        access.put_policy("p", principals="nobody", actions=["twin:read"], on=["*"])
    with pytest.raises(InvalidValue, match="a second at least"):
        access.issue_token("nobody", good_for=0)


def test_the_same_for_asyncio(guarded: Node) -> None:
    async def run() -> None:
        address = f"http://{guarded.grpc}"
        async with aio.Client(address, token=root_of(guarded)) as operator:
            access = operator.access
            await access.put_principal("reader")
            issued = await access.issue_token("reader")
            every = ["*"]
            await access.put_policy("readers", principals=every, actions=["twin:query"], on=every)
            async with aio.Client(address, token=issued.token) as reader:
                assert await reader.twins.count('id == "nobody"') == 0
                with pytest.raises(Forbidden):
                    await reader.access.list_principals()
                await access.revoke_token(issued.id)
                with pytest.raises(Unauthenticated):
                    await reader.who_am_i()
            assert (await access.check("reader", "twin:query", "default/*")).allowed
            assert [one.name for one in await access.list_policies()] == ["readers"]
            assert [one.name for one in await access.list_principals()] == ["reader"]
            await access.delete_policy("readers")
            await access.delete_principal("reader")
            newest = [one async for one in access.audit()][0]
            assert (newest.what, newest.on, newest.result) == ("principal remove", "reader", "done")

    asyncio.run(run())

"""The HTTP API against its own OpenAPI document: schemathesis makes requests of it, good and bad ones, and every
answer must be one that the document has, and never a fault of the node.

What a schema cannot say, such as whether an expression is one or what versions there are, is not held against it:
that good requests are accepted is what the other tests show.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from conftest import Node

#: Requests that are made up for each operation, beside those that the schema's edges give.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))
#: Paths of a tenant do what those of the default one do: one of them is enough. Streams have no end, and
#: lines of many devices are no value that could be made up.
EXCLUDED = r"^/v1/tenants/\{tenant\}/(?!twins/\{device\}$)|/(watch|events|devices)$"


@pytest.fixture()
def alone(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "data", ["start"], {})
    yield node
    node.stop()


def test_every_answer_is_documented_and_none_is_a_fault(alone: Node, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    found = str(program) if program.exists() else shutil.which("schemathesis")
    assert found, "schemathesis is missing; pip install 'schemathesis>=4'"
    arguments = [
        *(found, "run", f"http://{alone.http}/openapi.json"),
        *("--seed", "1", "--max-examples", str(EXAMPLES), "--phases", "coverage,fuzzing"),
        *("--exclude-path-regex", EXCLUDED, "--exclude-checks", "positive_data_acceptance"),
        *("--request-timeout", "30", "--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": tests}
    run = subprocess.run(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(run.stdout[-4000:])
    assert run.returncode == 0, run.stdout


def test_streams_are_what_they_are_said_to_be(alone: Node) -> None:
    def ask(path: str, method: str = "GET", body: object = None) -> "tuple[int, str, bytes]":
        connection = http.client.HTTPConnection(alone.http, timeout=30)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        first = answer.readline() if answer.status == 200 else answer.read()
        kind = answer.headers.get("content-type", "")
        connection.close()
        return answer.status, kind, first

    assert ask("/v1/twins/pump-1/tags", "PUT", {"a": 1})[0] == 200
    for path in ("/v1/watch?picture", "/v1/twins/pump-1/watch?picture"):
        status, kind, first = ask(path)
        assert (status, kind) == (200, "text/event-stream"), path
        assert first.startswith((b"event: ", b"data: ")), first
    assert ask("/v1/subscriptions/all", "PUT", {"picture": True})[0] == 200
    status, kind, _ = ask("/v1/subscriptions/all/events")
    assert (status, kind) == (200, "text/event-stream")
    for path in (
        "/v1/watch?position=nowhere",
        "/v1/watch?picture=perhaps",
        "/v1/watch?filter=tags.a%20%3D%201",
        "/v1/twins/pump-1/watch?prefix=a",
        "/v1/subscriptions/none/events",
    ):
        status, kind, _ = ask(path)
        assert status in (400, 404) and kind == "application/problem+json", (path, status)

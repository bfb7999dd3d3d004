"""A real node for the tests: `POLLUX_BIN`, or what is built in the project's target folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from pollux import Client

ROOT = Path(__file__).resolve().parents[2]


def binary() -> Path:
    """The program under test."""
    given = os.environ.get("POLLUX_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target")))
    places = [Path(given)] if given else [target / "debug" / "pollux", target / "release" / "pollux"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"no pollux at {places}; build it with `cargo build`, or name it in POLLUX_BIN")


class Node:
    """A running node; its devices are simulated ones, `sim-0` and on."""

    def __init__(self, data: Path, verb: List[str], variables: Dict[str, str]) -> None:
        self.data = data
        arguments = [str(binary()), *verb, "--output", "json", "--data-dir", str(data)]
        for door in ("devices", "grpc", "http", "peers"):
            arguments += [f"--{door}-listen", "127.0.0.1:0"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("POLLUX_")}
        with open(data.with_suffix(".said"), "wb") as said:
            self._process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=said, env={**environment, **variables}
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"no node: {data.with_suffix('.said').read_text()}")
        listening = json.loads(line)["listening"]
        self.grpc: str = listening["grpc"]
        self.http: str = listening["http"]

    def stop(self) -> None:
        """Ends it in order."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with two devices, which answer the command `echo` with its payload."""
    folder = tmp_path_factory.mktemp("node")
    running = Node(folder / "data", ["dev", "--devices", "2", "--rate", "2"], {})
    yield running
    running.stop()


@pytest.fixture()
def pollux(node: Node) -> Iterator[Client]:
    """A client of that node."""
    with Client(f"http://{node.grpc}") as client:
        yield client

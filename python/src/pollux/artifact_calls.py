"""The calls about artifacts, and artifacts as values; `artifacts` makes the calls."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, List, Optional, Union

from .calls import Call
from .errors import Failed, InvalidValue
from .v1 import artifacts_pb2

#: Artifacts of a page.
PAGE_SIZE = 1000
#: Bytes sent, or read, at once.
PIECE_BYTES = 256 * 1024

Source = Union[bytes, "os.PathLike[str]", str]
"""Bytes, or the path of a file that has them."""

PUT = "/pollux.v1.Artifacts/Put"
GET = "/pollux.v1.Artifacts/Get"


@dataclass(frozen=True)
class Artifact:
    """Firmware or other software for devices. It has a name and a version, and never changes."""

    tenant: str
    name: str
    version: str
    size: int
    sha256: str
    """64 hexadecimal digits."""
    media_type: str
    signature: Optional[bytes]
    """Ed25519, if it is signed."""
    key: str
    """The name of the key that this was checked by."""
    at_ms: int
    by: str


@dataclass(frozen=True)
class ArtifactKey:
    """A key by which artifacts of a tenant are signed."""

    tenant: str
    name: str
    public_key: bytes
    """Ed25519, 32 bytes."""
    note: str
    at_ms: int
    by: str


@dataclass(frozen=True)
class ArtifactPage:
    """A page of artifacts, by name and version."""

    artifacts: List[Artifact]
    next_page_token: str


class Upload:
    """What is sent to bring an artifact: what it is, and then its bytes."""

    def __init__(
        self,
        name: str,
        version: str,
        tenant: str,
        source: Source,
        media_type: str,
        signature: Optional[bytes],
        key: str,
    ) -> None:
        self._source = source
        size, digest = 0, hashlib.sha256()
        for piece in self._pieces():
            size += len(piece)
            digest.update(piece)
        self._first = artifacts_pb2.NewArtifact(
            tenant=tenant,
            name=name,
            version=version,
            media_type=media_type,
            sha256=digest.digest(),
            signature=signature or b"",
            key=key,
            size=size,
        )

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self._source, bytes):
            for at in range(0, len(self._source), PIECE_BYTES):
                yield self._source[at : at + PIECE_BYTES]
            return
        with open(self._source, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def requests(self) -> Iterator[artifacts_pb2.PutArtifactRequest]:
        """The messages, from the first on each time."""
        yield artifacts_pb2.PutArtifactRequest(artifact=self._first)
        for piece in self._pieces():
            yield artifacts_pb2.PutArtifactRequest(data=piece)


class Part:
    """What has come of an artifact: kept beside the file that it will be, and gone on with by who comes again."""

    def __init__(self, artifact: Artifact, to: Path) -> None:
        self._artifact, self._to = artifact, to
        # Named by the digest: a part of another artifact is not gone on with.
        self._path = to.with_name(f"{to.name}.{artifact.sha256[:16]}.part")
        self._digest = hashlib.sha256()
        self.size = 0
        self._file: BinaryIO = open(self._path, "a+b")
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            self._count(piece)

    @property
    def missing(self) -> bool:
        """Whether more has to come."""
        return self.size < self._artifact.size

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size += len(piece)

    def take(self, piece: bytes) -> None:
        """Keeps what came next."""
        self._file.write(piece)
        self._count(piece)

    def close(self) -> None:
        """Leaves it as it is."""
        self._file.close()

    def finish(self) -> None:
        """It is whole: gives it its name, if it is what it should be; what is not is thrown away."""
        if self.size != self._artifact.size or self._digest.hexdigest() != self._artifact.sha256:
            self._file.close()
            self._path.unlink()
            raise Failed(f"what came has not the SHA-256 {self._artifact.sha256}; nothing of it is kept", "DATA_LOSS")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._path, self._to)


def reading(
    name: str, version: str, tenant: str, offset: int
) -> artifacts_pb2.GetArtifactRequest:
    """What is asked for the bytes from the offset on."""
    return artifacts_pb2.GetArtifactRequest(tenant=tenant, name=name, version=version, offset=offset)


def get(name: str, version: str, tenant: str) -> Call[Artifact]:
    request = artifacts_pb2.DescribeArtifactRequest(tenant=tenant, name=name, version=version)
    return Call("/pollux.v1.Artifacts/Describe", request, artifacts_pb2.Artifact, read)


def page(prefix: str, tenant: str, page_token: str) -> Call[ArtifactPage]:
    request = artifacts_pb2.ListArtifactsRequest(
        tenant=tenant, prefix=prefix, page_size=PAGE_SIZE, page_token=page_token
    )
    answer: Callable[[Any], ArtifactPage] = lambda page: ArtifactPage(
        [read(one) for one in page.artifacts], page.next_page_token
    )
    return Call("/pollux.v1.Artifacts/List", request, artifacts_pb2.ListArtifactsResponse, answer)


def delete(name: str, version: str, tenant: str) -> Call[None]:
    request = artifacts_pb2.RemoveArtifactRequest(tenant=tenant, name=name, version=version)
    response = artifacts_pb2.RemoveArtifactResponse
    return Call("/pollux.v1.Artifacts/Remove", request, response, lambda _: None, True)


def put_key(name: str, public_key: bytes, note: str, tenant: str) -> Call[ArtifactKey]:
    if len(public_key) != 32:
        raise InvalidValue(f"public_key: has {len(public_key)} bytes; an Ed25519 key has 32")
    request = artifacts_pb2.PutArtifactKeyRequest(
        tenant=tenant, name=name, public_key=public_key, note=note
    )
    response = artifacts_pb2.ArtifactKey
    return Call("/pollux.v1.Artifacts/PutKey", request, response, _key, True, always=True)


def list_keys(tenant: str) -> Call[List[ArtifactKey]]:
    each: Callable[[Any], List[ArtifactKey]] = lambda answer: [_key(one) for one in answer.keys]
    request = artifacts_pb2.ListArtifactKeysRequest(tenant=tenant)
    return Call("/pollux.v1.Artifacts/ListKeys", request, artifacts_pb2.ListArtifactKeysResponse, each)


def delete_key(name: str, tenant: str) -> Call[None]:
    request = artifacts_pb2.RemoveArtifactKeyRequest(tenant=tenant, name=name)
    response = artifacts_pb2.RemoveArtifactKeyResponse
    return Call("/pollux.v1.Artifacts/RemoveKey", request, response, lambda _: None, True)


def read(of: artifacts_pb2.Artifact) -> Artifact:
    """An artifact."""
    return Artifact(
        tenant=of.tenant,
        name=of.name,
        version=of.version,
        size=of.size,
        sha256=of.sha256.hex(),
        media_type=of.media_type,
        signature=of.signature or None,
        key=of.key,
        at_ms=of.at_ms,
        by=of.by,
    )


def _key(of: artifacts_pb2.ArtifactKey) -> ArtifactKey:
    return ArtifactKey(of.tenant, of.name, of.public_key, of.note, of.at_ms, of.by)

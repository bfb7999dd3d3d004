"""The calls about artifacts, and artifacts as values; `artifacts` makes the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional

from .calls import PAGE_SIZE, Call
from .errors import InvalidValue
from .v1 import artifacts_pb2

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

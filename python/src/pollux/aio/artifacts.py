"""The asyncio calls about artifacts: firmware and other software for devices. What they ask is in `artifact_calls`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, AsyncIterator, List, Optional, Union

import grpc.aio

from .. import artifact_calls
from ..artifact_calls import Artifact, ArtifactKey
from ..artifact_files import Part, Source, Upload
from ..attempts import Failure, NoAnswer, given_up
from ..searching import Searching
from .line import Line, failure_of
from ..v1 import artifacts_pb2


class Download(Searching):
    """The bytes of an artifact that are missing. Where the stream breaks it goes on, at another node if there is one."""

    def __init__(self, line: Line, part: Part) -> None:
        super().__init__(line)
        self._line = line
        self._part = part

    async def run(self) -> None:
        """Takes them; ends when all have come, or no node has given any for as long as watches look for one."""
        part = self._part
        while part.missing:
            self._channel = self._line.channel()
            stub: Any = self._channel.unary_stream(
                artifact_calls.GET,
                request_serializer=artifacts_pb2.GetArtifactRequest.SerializeToString,
                response_deserializer=artifacts_pb2.GetArtifactResponse.FromString,
            )
            failed: Failure = NoAnswer("the node ended the artifact")
            try:
                async for message in stub(part.asked(), metadata=self._line.ways.metadata()):
                    # What it is comes first, and is no progress.
                    if message.data:
                        await asyncio.to_thread(part.take, message.data)
                        self._found()
            except grpc.aio.AioRpcError as error:
                failed = failure_of(error)
            if part.missing:
                await asyncio.sleep(self._pause(failed))


class Artifacts:
    """Calls about artifacts."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def put(
        self,
        name: str,
        version: str,
        source: Source,
        *,
        media_type: str = "",
        signature: Optional[bytes] = None,
        key: str = "",
        tenant: str = "",
    ) -> Artifact:
        """Brings an artifact, from bytes or the file at a path, which is read piece by piece.

        Nothing bounds how long it takes, and it is not repeated by itself; to bring the same again is safe. Its SHA-256
        is told first, so that what is broken on the way is refused.
        """
        upload = await asyncio.to_thread(
            Upload, name, version, tenant, source, media_type, signature, key
        )
        stub: Any = self._line.channel().stream_unary(
            artifact_calls.PUT,
            request_serializer=artifacts_pb2.PutArtifactRequest.SerializeToString,
            response_deserializer=artifacts_pb2.Artifact.FromString,
        )
        try:
            answer = await stub(upload.requests(), metadata=self._line.ways.metadata())
            return artifact_calls.read(answer)
        except grpc.aio.AioRpcError as error:
            raise given_up(failure_of(error), changes=True) from None

    async def get(self, name: str, version: str, *, tenant: str = "") -> Artifact:
        """What an artifact is, without its bytes."""
        return await self._line.call(artifact_calls.get(name, version, tenant))

    async def list(self, *, prefix: str = "", tenant: str = "") -> AsyncIterator[Artifact]:
        """The artifacts of a tenant, by name and version: asks page after page."""
        page_token = ""
        while True:
            page = await self._line.call(artifact_calls.page(prefix, tenant, page_token))
            for artifact in page.artifacts:
                yield artifact
            page_token = page.next_page_token
            if not page_token:
                return

    async def download(
        self, name: str, version: str, to: Union[str, "os.PathLike[str]"], *, tenant: str = ""
    ) -> Artifact:
        """Writes an artifact to a file, for as long as it takes while bytes come.

        What has come is kept beside the file, and gone on with, at another node too, and by the next call if this one
        fails. The file has its name only once its SHA-256 is right.
        """
        artifact = await self.get(name, version, tenant=tenant)
        part = await asyncio.to_thread(Part, artifact, Path(to))
        try:
            await Download(self._line, part).run()
            await asyncio.to_thread(part.finish)
        finally:
            part.close()
        return artifact

    async def delete(self, name: str, version: str, *, tenant: str = "") -> None:
        """Takes an artifact away that no job names."""
        await self._line.call(artifact_calls.delete(name, version, tenant))

    async def put_key(
        self, name: str, public_key: bytes, *, note: str = "", tenant: str = ""
    ) -> ArtifactKey:
        """Adds an Ed25519 key: from then on what comes must be signed by it, or by another of the tenant's."""
        return await self._line.call(artifact_calls.put_key(name, public_key, note, tenant))

    async def list_keys(self, *, tenant: str = "") -> List[ArtifactKey]:
        """The keys of a tenant."""
        return await self._line.call(artifact_calls.list_keys(tenant))

    async def delete_key(self, name: str, *, tenant: str = "") -> None:
        """Takes a key away. What was signed by it stays."""
        await self._line.call(artifact_calls.delete_key(name, tenant))

"""Artifacts as files: what is sent of one, piece by piece, and what has come of another, kept until it is whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Union

from .artifact_calls import Artifact
from .errors import Failed
from .v1 import artifacts_pb2

#: Bytes sent, or read, at once.
PIECE_BYTES = 256 * 1024

Source = Union[bytes, "os.PathLike[str]", str]
"""Bytes, or the path of a file that has them."""


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

    def asked(self) -> artifacts_pb2.GetArtifactRequest:
        """What is asked for what is missing."""
        artifact = self._artifact
        return artifacts_pb2.GetArtifactRequest(
            tenant=artifact.tenant, name=artifact.name, version=artifact.version, offset=self.size
        )

    @property
    def missing(self) -> bool:
        """Whether more has to come."""
        return self.size < self._artifact.size

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size += len(piece)

    def take(self, piece: bytes) -> None:
        """Keeps what came next: no more than there should be."""
        if self.size + len(piece) > self._artifact.size:
            raise self._damaged(f"more came than its {self._artifact.size} bytes")
        self._file.write(piece)
        self._count(piece)

    def close(self) -> None:
        """Leaves it as it is."""
        self._file.close()

    def finish(self) -> None:
        """It is whole: gives it its name, if it is what it should be; what is not is thrown away."""
        if self.size != self._artifact.size or self._digest.hexdigest() != self._artifact.sha256:
            raise self._damaged(f"what came has not the SHA-256 {self._artifact.sha256}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._path, self._to)

    def _damaged(self, what: str) -> Failed:
        """Throws away what came."""
        self._file.close()
        self._path.unlink()
        return Failed(f"{what}; nothing of it is kept", "DATA_LOSS")

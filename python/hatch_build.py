"""Makes the messages of `pollux.v1` of the .proto files when a wheel is built.

They are not kept in the repository: the .proto files are what there is to read. In the project they are in
`../proto/proto`, in a source distribution in `proto`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MessagesHook(BuildHookInterface[Any]):
    """Runs the compiler of grpcio-tools; its output lies beside the package's own modules."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        from grpc_tools import protoc

        root = Path(self.root)
        places = [root / "proto", root.parent / "proto" / "proto"]
        source = next((place for place in places if (place / "pollux" / "v1").is_dir()), None)
        if source is None:
            raise FileNotFoundError(
                f"no .proto files in {places[0]} or {places[1]}; build in the project's folder, or from a "
                "source distribution"
            )
        files = sorted(str(path.relative_to(source)) for path in source.glob("pollux/v1/*.proto"))
        out = root / "src"
        arguments = ["protoc", f"-I{source}", f"--python_out={out}", f"--pyi_out={out}", *files]
        if protoc.main(arguments) != 0:
            raise RuntimeError("the compiler of .proto files failed; it says why above")

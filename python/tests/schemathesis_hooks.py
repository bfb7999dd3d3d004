"""What the fuzzer of the HTTP API must not wait for: the ends of commands that live for days."""

from __future__ import annotations

from typing import Any

import schemathesis

#: Milliseconds that a command lives whose end is waited for.
WAITED_MS = 200


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """A command that is waited for is over soon."""
    if isinstance(body, dict) and body.get("wait") is True:
        return {**body, "deadline_ms": WAITED_MS}
    return body

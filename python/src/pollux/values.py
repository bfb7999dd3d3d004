"""Values of twins: plain `dict`, `list`, `str`, `int`, `float`, `bool` and `None`, to JSON and back.

What JSON or a twin cannot hold is refused here, with the place where it stands, rather than made into something
else on the way: NaN and infinity, integers beyond 64 bits, keys that are no strings.
"""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Mapping, Union

from .errors import InvalidValue

INT_MIN = -(2**63)
INT_MAX = 2**64 - 1
#: Deeper than any twin may be configured to take.
DEPTH_MAX = 60


def to_json(value: Any, field: str) -> str:
    """The JSON of a value; `field` begins the place that an error names."""
    _check(value, field, 0)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def object_to_json(value: Mapping[str, Any], field: str) -> str:
    """The same of what has to be an object."""
    if not isinstance(value, dict):
        raise InvalidValue(f"{field}: is {_kind(value)}; give a dict")
    return to_json(value, field)


def from_json(text: str) -> Any:
    """The value of a JSON text; integers stay exact."""
    return json.loads(text)


def object_from_json(text: str) -> Dict[str, Any]:
    """The value of a JSON text that is an object; an empty text is an empty one."""
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise InvalidValue(f"a node sent {text[:80]!r} where an object belongs")
    return value


def _check(value: Any, at: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidValue(f"{at}: nests deeper than {DEPTH_MAX} levels")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, at)
    elif isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise InvalidValue(f"{at}: {value} does not fit into 64 bits; send it as a string")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue(f"{at}: {value} is no JSON; leave it out, or send null or a string")
    elif isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise InvalidValue(f"{at}: the key {key!r} is {_kind(key)}; keys are strings")
            _check_text(key, at)
            _check(member, f"{at}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        _check_items(value, at, depth)
    else:
        raise InvalidValue(f"{at}: {_kind(value)} has no JSON; use dict, list, str, int, float, bool or None")


def _check_items(items: Union[List[Any], "tuple[Any, ...]"], at: str, depth: int) -> None:
    for number, item in enumerate(items):
        _check(item, f"{at}[{number}]", depth + 1)


def _check_text(text: str, at: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{at}: has half a surrogate pair at character {error.start}") from None


def _kind(value: Any) -> str:
    return type(value).__name__

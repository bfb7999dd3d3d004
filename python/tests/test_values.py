"""What a twin cannot hold is refused with its place; all else goes there and back."""

from __future__ import annotations

from typing import Any

import pytest

from pollux import InvalidValue
from pollux.values import from_json, object_to_json, to_json


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**64 - 1, 2**53 + 1, 1.0, 1e300, "", "å🚰\u0000", [], {}, {"a": [1, {"b": None}]}],
)
def test_values_go_there_and_back(value: Any) -> None:
    back = from_json(to_json(value, "x"))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, float("nan")]}, "desired.a[1]: nan"),
        ({"a": float("-inf")}, "desired.a: -inf"),
        ({"n": 2**64}, "desired.n: 18446744073709551616 does not fit"),
        ({"n": -(2**63) - 1}, "desired.n: -9223372036854775809 does not fit"),
        ({1: "x"}, "desired: the key 1 is int"),
        ({"a": {"b"}}, "desired.a: set has no JSON"),
        ({"a": "\ud800"}, "desired.a: has half a surrogate"),
        ({"a": b"x"}, "desired.a: bytes has no JSON"),
        ([], "desired: is list; give a dict"),
    ],
)
def test_what_no_twin_holds_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(InvalidValue) as error:
        object_to_json(value, "desired")
    assert str(error.value).startswith(said)


def test_depth_is_bounded() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(InvalidValue, match="nests deeper"):
        to_json(deep, "payload")

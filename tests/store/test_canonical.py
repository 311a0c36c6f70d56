"""Canonical JSON of whatever a program holds."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.store.canonical import (
    LARGEST,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    TOO_MANY,
    canonical,
    flat,
    plain_text,
)

few = settings(max_examples=60, deadline=None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ASCII = st.text(st.characters(max_codepoint=127))
WHOLE = st.integers(-LARGEST, LARGEST)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXTS | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
FLAT = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(ASCII, inner),
    max_leaves=20,
)
ANY = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)  # fmt: skip


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Thing(Enum):
    PAIR = (1, "two")


@few
@given(JSON)
def test_what_json_knows_is_written_as_rfc_8785_has_it(value: Any) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)
    assert json.loads(canonical(value)) == value


@few
@given(FLAT)
def test_without_floats_and_odd_keys_the_fast_way_writes_the_same_bytes(value: Any) -> None:
    assert flat(value).encode() == rfc8785.dumps(value)


@few
@given(ANY)
def test_anything_else_is_written_too_and_the_same_each_time(value: Any) -> None:
    text = canonical(value)
    assert text == canonical(value)
    assert rfc8785.dumps(json.loads(text)).decode() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), '"nan"'),
        (float("-inf"), '"-inf"'),
        (1e300, '"1e+300"'),
        (-0.0, "0"),
        (1.0, "1"),
        (LARGEST, "9007199254740991"),
        (LARGEST + 1, '"9007199254740992"'),
        (2**2_000, f'"{hex(2**2_000)}"'),
        ("a\ud800", '"a\\\\ud800"'),
        (b"\xff\0", '"ff00"'),
        ({"\ud800": 1}, '{"\\\\ud800":1}'),
        ({1: "a", "1": "b", None: "c"}, '{"1":"a","1\'":"b","null":"c"}'),
        ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'),
        ({3, 1, 2}, "[1,2,3]"),
        ((1, (2,)), "[1,[2]]"),
        (Colour.RED, '"red"'),
        (Number.ONE, "1"),
        (Thing.PAIR, '[1,"two"]'),
        (Decimal("0.10"), '"0.10"'),
        (datetime(2026, 11, 22, tzinfo=UTC), '"2026-11-22T00:00:00+00:00"'),
        (date(2026, 11, 22), '"2026-11-22"'),
        (Path("/a"), '"/a"'),
        (UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (object(), '"<builtins.object>"'),
    ],
)
def test_each_kind_of_value_has_one_way_to_be_written(value: object, text: str) -> None:
    assert canonical(value) == text


def test_a_value_that_holds_itself_is_cut_at_a_depth() -> None:
    value: list[Any] = []
    value.append(value)
    text = canonical(value)
    assert text == "[" * MAX_DEPTH + f'"{TOO_DEEP}"' + "]" * MAX_DEPTH


def test_lists_that_hold_each_other_a_billion_times_are_cut() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value, value]
    text = canonical(value)
    assert TOO_MANY in text
    assert len(text) < 100 * MAX_VALUES


def test_a_text_for_a_column_has_no_surrogate_and_no_nul() -> None:
    assert plain_text("a\ud800\0☃") == "a\\ud800\N{REPLACEMENT CHARACTER}☃"
